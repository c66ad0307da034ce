"""The demo corpus is reproducible, well-formed, rich, and its test split really is new."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from genner.data.demo import DEMO_SIZES, demo_corpus, is_held_out, write_demo
from genner.data.demo_grammar import CLAUSES, JOINERS, LEXICON, MARKS, PHRASES
from genner.data.schema import Entity, Example
from genner.errors import DataFormatError
from genner.evaluation.span_f1 import entity_surfaces

SMALL = {"train": 40, "dev": 10, "test": 20}


@pytest.fixture(scope="module")
def corpus() -> dict:
    return demo_corpus()


def test_sizes_lengths_and_no_sentence_twice(corpus: dict) -> None:
    assert {split: len(sentences) for split, sentences in corpus.items()} == DEMO_SIZES
    words = [sentence.example.words for sentences in corpus.values() for sentence in sentences]
    assert len(set(words)) == len(words)
    assert all(8 <= len(sentence) <= 18 for sentence in words)
    assert all(word and not set(word) & set("{}/|+ ") for sentence in words for word in sentence)


def test_every_split_has_every_structure_and_label(corpus: dict) -> None:
    for split, sentences in corpus.items():
        entities = [(entity, s.example) for s in sentences for entity in s.example.entities]
        discontinuous = sum(entity.is_discontinuous for entity, _ in entities) / len(entities)
        nested = sum(_is_nested(entity, example) for entity, example in entities) / len(entities)
        empty = sum(not s.example.entities for s in sentences) / len(sentences)
        assert {entity.label for entity, _ in entities} == set(MARKS.values()), split
        assert 0.10 <= discontinuous <= 0.25, split
        assert 0.30 <= nested <= 0.65, split
        assert 0.08 <= empty <= 0.17, split


def _is_nested(entity: Entity, example: Example) -> bool:
    words = set(entity.word_indices())
    others = (set(other.word_indices()) for other in example.entities)
    return any(words < other or words > other for other in others)


def test_entities_are_well_formed(corpus: dict) -> None:
    for sentences in corpus.values():
        for example in (sentence.example for sentence in sentences):
            assert len(set(example.entities)) == len(example.entities)
            for entity in example.entities:
                assert entity.flat == sorted(set(entity.flat)) and entity.end < len(example.words)


def test_grammar_is_rich() -> None:
    phrases = [phrase for group in PHRASES.values() for _, phrase in group]
    cores = [core for domain in ("news", "health") for core in CLAUSES[domain].cores]
    marked = [template for template in (*phrases, *cores) if "/" in template]
    assert sum(_has_gap(template) for template in marked) >= 12
    assert sum(_has_inner(template) for template in marked) >= 12
    assert sum(not _has_gap(template) and not _has_inner(template) for template in marked) >= 12
    assert len(cores) >= 24 and len(CLAUSES["nothing"].cores) >= 12


def _letters(template: str) -> list[set[str]]:
    return [set(item.partition("/")[2]) for item in template.split()]


def _has_gap(template: str) -> bool:
    """Whether a mention of the template is interrupted."""
    words = _letters(template)
    for letter in set().union(*words):
        at = [index for index, letters in enumerate(words) if letter in letters]
        if at[-1] - at[0] >= len(at):
            return True
    return False


def _has_inner(template: str) -> bool:
    return any(len({MARKS[letter] for letter in letters}) > 1 for letters in _letters(template))


def test_slots_are_known() -> None:
    templates = [phrase for group in PHRASES.values() for _, phrase in group]
    templates += [t for domain in CLAUSES.values() for t in (*domain.openings, *domain.cores, *domain.endings)]
    slots = {item.partition("/")[0] for template in templates for item in template.split() if item.startswith("{")}
    assert slots <= {f"{{{name}}}" for name in (*LEXICON, *PHRASES)}
    assert {letter for template in templates for letters in _letters(template) for letter in letters} <= set(MARKS)


def test_fresh_words_never_occur_in_training(corpus: dict) -> None:
    train = [sentence.example for sentence in corpus["train"]]
    train_text = {f" {' '.join(example.words).casefold()} " for example in train}
    train_words = {word for text in train_text for word in text.split()}
    surfaces = {entity.surface_key(example.words) for example in train for entity in example.entities}
    slots = {name: entries for name, entries in LEXICON.items() if entries.test}
    assert set(slots) == {"first", "last", "place", "county", "brand", "joint", "joints", "trunk"}
    for entries in slots.values():
        for split in ("dev", "test"):
            assert not set(entries.fresh(split)) & set(entries.train)
            for entry in map(str.casefold, entries.fresh(split)):
                assert entry not in surfaces
                assert " " in entry or entry not in train_words


def test_much_of_the_test_split_is_new(corpus: dict) -> None:
    examples = {split: [s.example for s in sentences] for split, sentences in corpus.items()}
    seen = entity_surfaces(examples["train"])
    unseen = [entity.surface_key(e.words) not in seen for e in examples["test"] for entity in e.entities]
    share = sum(unseen) / len(unseen)
    assert 0.4 < share < 0.8
    train_words = {word.casefold() for example in examples["train"] for word in example.words}
    with_new_word = sum(
        any(word.casefold() not in train_words for word in entity.surface(example.words))
        for example in examples["test"]
        for entity in example.entities
    )
    assert with_new_word / len(unseen) > 0.15


def test_held_out_patterns_recombine_clauses_of_training(corpus: dict) -> None:
    patterns = {split: {sentence.pattern for sentence in sentences} for split, sentences in corpus.items()}
    new = patterns["test"] - patterns["train"]
    held_out = {pattern for pattern in patterns["test"] if is_held_out(pattern)}
    assert len(held_out) >= 100 and held_out <= new
    assert not any(map(is_held_out, patterns["train"] | patterns["dev"]))
    assert patterns["test"] & patterns["train"], "some patterns stay, to compare with"
    train_clauses = {clause for pattern in patterns["train"] for clause in pattern.split(" + ")}
    assert {clause for pattern in patterns["test"] for clause in pattern.split(" + ")} <= train_clauses
    assert len(train_clauses) >= 70 and set(JOINERS) <= train_clauses


def test_all_phrases_occur_in_training(corpus: dict) -> None:
    used = {phrase for sentence in corpus["train"] for phrase in sentence.phrases}
    assert used == {phrase for group in PHRASES.values() for _, phrase in group}


def test_files_are_reproducible_and_left_alone(tmp_path: Path) -> None:
    first = write_demo(tmp_path / "a" / "demo", seed=5, sizes=SMALL)
    again = write_demo(tmp_path / "b", seed=5, sizes=SMALL)
    assert first == again == json.loads((tmp_path / "b" / "demo.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "README.md", "demo.json", "dev.txt", "test.txt", "train.txt",
    ]  # fmt: skip
    for name, digest in first["sha256"].items():
        assert hashlib.sha256((tmp_path / "b" / name).read_bytes()).hexdigest() == digest
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").iterdir()}
    write_demo(tmp_path / "b", seed=5, sizes=SMALL)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "b").iterdir()} == before
    assert write_demo(tmp_path / "b", seed=6, sizes=SMALL)["sha256"] != first["sha256"]


def test_the_default_corpus_stays_what_it_is(corpus: dict) -> None:
    """A change of the grammar changes published demo numbers: change this digest with them."""
    text = "\n".join(" ".join(s.example.words) + repr(s.example.entities) for ss in corpus.values() for s in ss)
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "ad9517ad7849"


def test_file_reads_back(tmp_path: Path) -> None:
    write_demo(tmp_path, seed=5, sizes=SMALL)
    lines = (tmp_path / "test.txt").read_bytes().decode().split("\n")
    sentences = demo_corpus(5, SMALL)["test"]
    assert len(lines) == 3 * len(sentences) + 1 and not any(lines[2::3])
    for words, mentions, sentence in zip(lines[0::3], lines[1::3], sentences, strict=False):
        assert tuple(words.split(" ")) == sentence.example.words
        entities = []
        for mention in mentions.split("|") if mentions else ():
            offsets, label = mention.split(" ")
            numbers = list(map(int, offsets.split(",")))
            entities.append(Entity.from_flat(label, [n + i % 2 for i, n in enumerate(numbers)]))
        assert tuple(entities) == sentence.example.entities


def test_several_may_be_the_first_to_use_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from genner.data.demo import write_demo\n"
        "write_demo(Path(sys.argv[1]), sizes={'train': 300, 'dev': 20, 'test': 20})"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "caches" / "demo")]
    started = [subprocess.Popen(arguments, stderr=subprocess.PIPE) for _ in range(4)]
    assert [(one.communicate()[1], one.returncode) for one in started] == [(b"", 0)] * 4


def test_what_a_killed_process_left_is_written_again(tmp_path: Path) -> None:
    write_demo(tmp_path, sizes=SMALL)
    (tmp_path / "train.txt").unlink()
    (tmp_path / "dev.txt").write_text("half", encoding="utf-8")
    digests = write_demo(tmp_path, sizes=SMALL)["sha256"]
    assert {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in digests} == digests


def test_a_users_corpus_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataFormatError, match=r"holds 'train\.txt' but no 'demo\.json'.*Choose another folder"):
        write_demo(tmp_path, sizes=SMALL)
    assert (tmp_path / "train.txt").read_text(encoding="utf-8") == "mine"
