"""The demo corpus: sentences drawn from our own grammar, with flat, nested and discontinuous mentions.

It needs no download and contains every structure that the repository handles. Its test split is harder than training:
a fifth of its fillers are names, places and body parts that never occur in training, so that most of its entities have
an unseen surface, and two fifths of its sentences follow patterns (combinations of clauses) that never occur there.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

from filelock import FileLock

from genner.data.demo_grammar import CLAUSES, JOINERS, LEXICON, MARKS, PHRASES, Clauses
from genner.data.schema import Entity, Example, merge_segments, sort_entities
from genner.data.tally import Tally
from genner.data.writing import format_examples
from genner.errors import DataFormatError
from genner.files import write_text

__all__ = ["DEMO_SIZES", "DemoSentence", "demo_corpus", "is_held_out", "write_demo"]

#: Sentences per split.
DEMO_SIZES = {"train": 9600, "dev": 300, "test": 300}

_SEED = 13
_FILES = {"train": "train.txt", "dev": "dev.txt", "test": "test.txt"}
_FINGERPRINT = "demo.json"
_FEWEST_WORDS, _MOST_WORDS = 8, 18
#: Share of fillers that never occur in training, in the splits that have some.
_FRESH_SHARE = 0.2
#: Share of test sentences with a pattern that never occurs in training.
_HELD_OUT_SHARE = 0.4
_DOMAINS = ((52, "health"), (38, "news"), (10, "nothing"))
_TIMES = ("{day}", "{season}", "{month}", "{event}", "two days later")
_README = """\
# Demo corpus

Invented sentences, drawn from the grammar in `data/demo_grammar.py`; `data/demo.py` writes this folder on first use.
Three lines per sentence: the words, the mentions (`start,end[,start,end...] LABEL`, ends inclusive, separated by `|`),
an empty line. `demo.json` holds the seed, the sizes and the digests of the files. Delete the folder to recreate it.
"""

_Choice = TypeVar("_Choice")


class DemoSentence(NamedTuple):
    """A sentence and its derivation."""

    example: Example
    pattern: str
    phrases: tuple[str, ...]


class _Word(NamedTuple):
    """A word and its mentions, each given by the number of the phrase and a letter."""

    text: str
    mentions: frozenset[tuple[int, str]]


@dataclass
class _Draft:
    """One sentence while it is generated."""

    rng: random.Random
    split: str
    used: set[str] = field(default_factory=set)
    phrases: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def pick(self, choices: Sequence[_Choice]) -> _Choice:
        """A random choice, by ``random()`` alone, whose numbers are the same in every version of Python."""
        return choices[int(self.rng.random() * len(choices))]

    def weighted(self, choices: Sequence[tuple[int, str]]) -> str:
        """A random choice, weighted."""
        return self.pick([choice for weight, choice in choices for _ in range(weight)])

    def entry(self, slot: str) -> str:
        """A lexicon entry that is not in the sentence yet."""
        entries = LEXICON[slot]
        fresh = entries.fresh(self.split)
        pool = fresh if fresh and self.rng.random() < _FRESH_SHARE else entries.train
        # No entry occurs twice in a sentence, so that a mention is identified by its words.
        entry = self.pick([entry for entry in pool if entry not in self.used] or pool)
        self.used.add(entry)
        return entry

    def expand(self, template: str) -> list[_Word]:
        """The words of a phrase or clause; see :mod:`genner.data.demo_grammar` for the notation."""
        number = next(self.numbers)
        words: list[_Word] = []
        for item in template.split():
            text, _, letters = item.partition("/")
            mentions = frozenset((number, letter) for letter in letters)
            name = text.strip("{}")
            if name in PHRASES:
                phrase = self.weighted(PHRASES[name])
                self.phrases.append(phrase)
                words += [_Word(word.text, word.mentions | mentions) for word in self.expand(phrase)]
            else:
                parts = self.entry(name).split() if name in LEXICON and text != name else [text]
                words += [_Word(part, mentions) for part in parts]
        return words


def demo_corpus(seed: int = _SEED, sizes: Mapping[str, int] | None = None) -> dict[str, list[DemoSentence]]:
    """Generate the corpus; the same seed and sizes give the same sentences on every machine.

    Args:
        seed: of the generator; every split has its own stream, so the size of one does not change the others.
        sizes: sentences of ``train``, ``dev`` and ``test``; by default :data:`DEMO_SIZES`.

    Returns:
        The sentences by split. No sentence occurs twice, in one split or in two.
    """
    seen: set[tuple[str, ...]] = set()
    corpus: dict[str, list[DemoSentence]] = {}
    # The small splits first: their sentences are then excluded from training.
    for split, size in reversed({**DEMO_SIZES, **(sizes or {})}.items()):
        rng = random.Random(f"{seed}/{split}")
        corpus[split] = []
        while len(corpus[split]) < size:
            sentence = _draw(rng, split)
            words = sentence.example.words
            if words not in seen and _FEWEST_WORDS <= len(words) <= _MOST_WORDS:
                seen.add(words)
                corpus[split].append(sentence)
    return {split: corpus[split] for split in DEMO_SIZES}


def write_demo(root: Path, *, seed: int = _SEED, sizes: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Write the corpus to ``root`` in the three-line discontinuous format, unless it already exists.

    Args:
        root: folder; created if missing.
        seed: see :func:`demo_corpus`.
        sizes: see :func:`demo_corpus`.

    Returns:
        The fingerprint: ``seed``, ``sizes``, digest of the ``grammar`` and ``sha256`` by file name.

    Raises:
        DataFormatError: the folder holds files that this function did not write.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):  # two commands may be the first to use it
        return _write_demo(root, seed, sizes)


def is_held_out(pattern: str) -> bool:
    """Whether a pattern is reserved for the test split; a quarter of the combinations, for any seed."""
    return crc32(pattern.encode()) % 4 == 0


def _write_demo(root: Path, seed: int, sizes: Mapping[str, int] | None) -> dict[str, Any]:
    wanted = {"seed": seed, "sizes": {**DEMO_SIZES, **(sizes or {})}, "grammar": _grammar_digest()}
    marker = root / _FINGERPRINT
    found = _complete(root, marker)
    if found is not None and {key: found.get(key) for key in wanted} == wanted:
        return found
    _refuse_foreign(root, marker)
    texts = {}
    for split, sentences in demo_corpus(seed, sizes).items():
        rows = [sentence.example for sentence in sentences]
        texts[_FILES[split]] = "".join(format_examples("discontinuous", rows, str(root), split, Tally()))
    texts["README.md"] = _README
    fingerprint = {**wanted, "sha256": {name: _sha256(text.encode()) for name, text in sorted(texts.items())}}
    # First, so that a process killed in between leaves a folder that is known as ours, and not complete.
    texts = {_FINGERPRINT: json.dumps(fingerprint, indent=1) + "\n"} | texts
    for name, text in texts.items():
        write_text(root / name, text)
    return fingerprint


def _draw(rng: random.Random, split: str) -> DemoSentence:
    """One sentence."""
    draft = _Draft(rng, split)
    wants_held_out = split == "test" and rng.random() < _HELD_OUT_SHARE
    domain = CLAUSES[draft.weighted(_DOMAINS)]
    pattern = _pattern(draft, domain)
    while is_held_out(pattern) != wants_held_out:
        pattern = _pattern(draft, domain)
    # Clause by clause, because letters mean different mentions in different clauses.
    words = [word for clause in pattern.split(" + ") for word in draft.expand(clause)] + [_Word(".", frozenset())]
    texts = [word.text for word in words]
    texts[0] = texts[0][0].upper() + texts[0][1:]
    return DemoSentence(Example(tuple(texts), _entities(words)), pattern, tuple(draft.phrases))


def _pattern(draft: _Draft, domain: Clauses) -> str:
    """Clauses joined by `` + ``: an opening, a core and an ending, or two cores."""
    core = draft.pick(domain.cores)
    if draft.rng.random() < 0.2:
        return " + ".join([core, draft.pick(JOINERS), draft.pick([other for other in domain.cores if other != core])])
    opening, ending = draft.pick(domain.openings), draft.pick(domain.endings)
    if any(slot in opening for slot in _TIMES) and any(slot in ending for slot in _TIMES):
        ending = ""  # not "in May, ... in June"
    return " + ".join(part for part in (opening, core, ending) if part)


def _entities(words: Sequence[_Word]) -> tuple[Entity, ...]:
    """The entities given by the marks of the words."""
    places: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for index, word in enumerate(words):
        for mention in word.mentions:
            places.setdefault(mention, []).append((index, index + 1))
    return sort_entities(Entity(MARKS[letter], merge_segments(spans)) for (_, letter), spans in places.items())


def _refuse_foreign(root: Path, marker: Path) -> None:
    """Raise if writing would overwrite a corpus of the user."""
    theirs = sorted(path.name for path in root.iterdir()) if root.is_dir() and not marker.is_file() else []
    if theirs and set(theirs) & set(_FILES.values()):
        raise DataFormatError(
            f"{root}: holds {theirs[0]!r} but no {_FINGERPRINT!r}. Expected an empty folder or an earlier demo corpus. "
            "Choose another folder with --data_root."
        )


def _complete(root: Path, marker: Path) -> dict[str, Any] | None:
    """The fingerprint of a demo corpus whose files are all unchanged, else None."""
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        is_whole = all(_sha256((root / name).read_bytes()) == digest for name, digest in found["sha256"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if is_whole else None


def _grammar_digest() -> str:
    """Changes with the code that generates the corpus."""
    sources = (Path(__file__), Path(__file__).with_name("demo_grammar.py"))
    return _sha256(b"".join(source.read_bytes() for source in sources))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
