"""Texts with stand-off annotation: brat's ``.ann`` files (CADEC, any folder of them) and the pipes of ShARe/CLEF.

ShARe/CLEF 2013 task 1 and 2014 task 2 are clinical notes with disorders, some of them discontinuous. 2013:
``note.txt||Disease_Disorder||C0000000||12||17||30||36``; 2014: ``note.txt|12-17,30-36|C0000000|...``. All of them get
the label ``Disorder``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from genner.data.brat import read_terms
from genner.data.folders import files_below
from genner.data.offsets import EMPTY, Mention, find_reading, to_characters
from genner.data.prepare.offsets_check import reading_of, refuse_misplaced
from genner.data.prepare.request import SPLITS, Request, assign, plain_name, read_lists
from genner.data.prepare.shares import USUAL, advice, by_shares, check_shares, in_words
from genner.data.schema import Example
from genner.data.tally import Tally
from genner.data.text import build_examples, sentence_words
from genner.data.utf8 import read_raw
from genner.errors import ConfigError, DataFormatError

__all__ = ["brat", "cadec", "part_of", "share"]

_PARTS = {
    "train": re.compile(r"(?<![a-z])train"),
    "dev": re.compile(r"(?<![a-z])(?:dev|devel|development|valid|validation)(?![a-z])"),
    "test": re.compile(r"(?<![a-z])test"),
}
_LEFT_OUT = re.compile(r"annotation of type (.+), left out")
_LABEL = "Disorder"
_OLD = re.compile(r"(?P<note>[^|]+)\|\|(?P<kind>[^|]*)\|\|(?P<cui>[^|]*)(?P<offsets>(?:\|\|\d+\|\|\d+)+)(?:\|\|)?")
_NEW = re.compile(r"(?P<note>[^|]+)\|(?P<offsets>\d+-\d+(?:,\d+-\d+)*)\|.*")
_NUMBER = re.compile(r"\d+")
_DEV_EVERY = 10  # of the training notes, without a list for dev


def cadec(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """CADEC v2: ``text/*.txt`` with ``original/*.ann``; only adverse drug reactions (ADR) by default.

    Raises:
        DataFormatError: the folders are not there, or a file cannot be read.
    """
    files = files_below(request.raw, tally)
    folders = {}
    for name in ("text", "original"):
        found = sorted({path.parent for path in files if path.parent.name == name})
        if len(found) != 1:
            raise DataFormatError(
                f"{request.raw}: {len(found)} folders called {name!r}. Expected CADEC v2 with its folders 'text' and "
                "'original'. Set --raw."
            )
        folders[name] = found[0]
    texts = unique_names((path for path in files if path.parent == folders["text"] and _is(path, ".txt")), tally)
    marked = unique_names((path for path in files if path.parent == folders["original"] and _is(path, ".ann")), tally)
    labels = ("ADR",) if request.labels is None else request.labels
    for name in sorted(marked.keys() - texts.keys()):
        tally.add("annotation file without a text, left out", marked[name].name)
    return _read_brat(texts, marked, dict.fromkeys(texts), labels, request, tally)


def brat(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """Every ``.txt`` below the folder, with the ``.ann`` file of the same name.

    Folders called train, dev and test are the splits, unless there are lists.

    Raises:
        DataFormatError: there are no texts or no annotations, or a file cannot be read.
    """
    files = files_below(request.raw, tally)
    paths = [path for path in files if _is(path, ".txt")]
    beside = {path.with_suffix(""): path for path in files if _is(path, ".ann")}
    for stem in sorted(beside.keys() - {path.with_suffix("") for path in paths}):
        tally.add("annotation file without a text, left out", beside[stem].name)
    for path in files:
        if path.suffix.lower() not in (".txt", ".ann"):
            tally.add("file that ends neither in .txt nor in .ann, left out", path.name)
    names = unique_names(paths, tally) if request.splits else {str(p.relative_to(request.raw)): p for p in paths}
    annotations = {name: beside[path.with_suffix("")] for name, path in names.items() if path.with_suffix("") in beside}
    parts = {name: part_of(path.parent, request.raw) for name, path in names.items()}
    return _read_brat(names, annotations, parts, request.labels or (), request, tally, repair=True)


def _read_brat(
    texts: Mapping[str, Path],
    annotations: Mapping[str, Path],
    parts: Mapping[str, str | None],
    labels: Collection[str],
    request: Request,
    tally: Tally,
    *,
    repair: bool = False,
) -> dict[str, list[Example]]:
    if not texts or not annotations:
        raise DataFormatError(
            f"{request.raw}: {len(texts)} texts and {len(annotations)} annotations. Expected .txt files with .ann "
            "files of the same names. Set --raw."
        )
    lists = read_lists(request.splits) if request.splits else _divided(parts, request, tally)

    def mentions(name: str) -> list[Mention]:
        if name in annotations:
            return list(read_terms(annotations[name], labels, tally))
        tally.add("text without an annotation file, read as having no entities", texts[name].name)
        return []

    given = zip(SPLITS, request.shares or USUAL, strict=True)
    wanted = [split for split, share in given if share or split in parts.values()]
    missing = [split for split in wanted if split not in parts.values() and split != "train"]
    n_free = sum(part in (None, "train") for part in parts.values())
    cure = f"Give lists of documents with --splits, or write {advice(missing, n_free)}."
    splits = assign(parts, lists, tally, request.raw, wanted=wanted, cure=cure)
    return _read_texts(texts, mentions, splits, "documents", request, tally, repair=repair)


def _check_labels(wanted: Sequence[str], found: Collection[str], tally: Tally) -> None:
    """Refuse labels that no annotation has.

    Raises:
        ConfigError: there is one.
    """
    unknown = [label for label in wanted if label not in found]
    if unknown:
        counts = Counter(found)
        for reason, count in tally.counts.items():
            if match := _LEFT_OUT.fullmatch(reason):
                counts[match[1]] += count
        known = ", ".join(f"{label} ({count:,})" for label, count in counts.most_common())
        raise ConfigError(
            f"--labels: no annotation of type {' or '.join(unknown)}. Expected types of the source: {known or 'none'}. "
            f"Leave out {' and '.join(unknown)}, or correct the name."
        )


def _divided(parts: Mapping[str, str | None], request: Request, tally: Tally) -> dict[str, str] | None:
    """Document -> split for those that our shares divide; None if the folders divide them all."""
    if request.shares is None and any(parts.values()):
        return None
    own = {part: f"folder {part}" for part in parts.values() if part}
    shares = request.shares or USUAL
    check_shares(shares, own)
    names = [name for name, part in parts.items() if part in (None, "train")]
    chosen = by_shares(map(plain_name, names), shares, seed=request.seed)
    stated = in_words(shares) if request.shares else "our own 70/15/15 shares (no --splits)"
    tally.add(f"document assigned to a split by {stated}: not a published split", request.raw.name, len(names))
    return {name: chosen[plain_name(name)] for name in names}


def share(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """Notes (``.txt``) and annotations (names with ``.pipe``) anywhere below folders named train and test.

    The distributor has no dev part: lists name its notes, or every tenth training note is taken.

    Raises:
        DataFormatError: there are no notes or annotations, a note is annotated in several folders, a line is malformed.
    """
    files = files_below(request.raw, tally)
    paths = [path for path in files if _is(path, ".txt") and re.match(r"\d", path.name)]
    notes = unique_names([path for path in paths if ".pipe" not in path.name], tally)
    parts = {name: part_of(path.parent, request.raw) for name, path in notes.items()}
    mentions = _annotations(request.raw, files, tally)
    for name in sorted(mentions.keys() - notes.keys()):
        tally.add("annotated note without a text, left out", name, len(mentions[name]))
    if not mentions.keys() & notes.keys():
        raise DataFormatError(
            f"{request.raw}: {len(notes)} notes, {len(mentions)} annotated notes, none in both. Expected .txt notes "
            "and pipe-delimited annotations (.pipe, .pipe.txt) of the same names. Set --raw."
        )
    lists = read_lists(request.splits) if request.splits else _tenth(parts, tally)

    def mentions_of(name: str) -> list[Mention]:
        if name not in mentions:
            tally.add("note without annotations, read as having no entities", name)
        return mentions.get(name, [])

    return _read_texts(notes, mentions_of, assign(parts, lists, tally, request.raw), "notes", request, tally)


def _read_texts(
    texts: Mapping[str, Path],
    mentions: Callable[[str], list[Mention]],
    splits: Mapping[str, Sequence[str]],
    what: str,
    request: Request,
    tally: Tally,
    *,
    repair: bool = False,
) -> dict[str, list[Example]]:
    """The sentences of every split's documents, given by their names; ``repair`` as in :func:`to_characters`."""
    chosen = [name for names in splits.values() for name in names]
    documents = {name: (read_raw(texts[name]), mentions(name)) for name in request.progress(chosen, "documents")}
    _check_labels(request.labels or (), [one.label for _, some in documents.values() for one in some], tally)
    pairs = list(documents.values())
    reading = reading_of(pairs, request, str(request.raw)) if repair else find_reading(pairs)
    result: dict[str, list[Example]] = {}
    for split, names in splits.items():
        result[split] = []
        for number, name in enumerate(request.progress(names, f"{split} {what}")):
            text, inside = documents[name]
            inside = to_characters(text, inside, tally, reading=reading, repair=repair)
            sentences = sentence_words(text, lines=request.lines is not False)
            result[split] += build_examples(text, sentences, inside, number, tally, across=request.across)
    refuse_misplaced(sum(len(some) for _, some in documents.values()), tally, str(request.raw))
    return result


def _annotations(root: Path, files: Iterable[Path], tally: Tally) -> dict[str, list[Mention]]:
    mentions: dict[str, list[Mention]] = {}
    folders: dict[str, Path] = {}
    for path in files:
        if ".pipe" not in path.name:
            continue
        for mention, note in _read_pipe(path, tally):
            other = folders.setdefault(note, path.parent)
            if other != path.parent:
                raise DataFormatError(
                    f"{root}: note {note} is annotated in {other.name} and in {path.parent.name}. Expected one "
                    "annotation. Move one of them away (published for 2013: Gold_SN2012)."
                )
            mentions.setdefault(note, []).append(mention)
    return mentions


def _read_pipe(path: Path, tally: Tally) -> Iterator[tuple[Mention, str]]:
    for number, line in enumerate(read_raw(path).splitlines(), 1):
        if not line.strip():
            continue
        match = _OLD.fullmatch(line.strip()) or _NEW.fullmatch(line.strip())
        if match is None:
            raise DataFormatError(
                f"{path}:{number}: {line[:60]!r}. Expected 'note.txt||type||CUI||start||end...' (2013) or "
                "'note.txt|start-end,start-end|CUI|...' (2014). Fix the line."
            )
        offsets = list(map(int, _NUMBER.findall(match["offsets"])))
        fragments = tuple(sorted(zip(offsets[::2], offsets[1::2], strict=True)))
        place = f"{path.name}:{number}"
        if any(end <= start for start, end in fragments):
            tally.add(EMPTY, place)
            continue
        yield Mention(_LABEL, fragments, place), plain_name(match["note"].strip())


def _tenth(parts: Mapping[str, str | None], tally: Tally) -> dict[str, str] | None:
    """Every tenth training note as dev, if there is no dev part."""
    if "dev" in parts.values():
        return None
    train = [name for name, part in parts.items() if part == "train"]
    chosen = train[_DEV_EVERY - 1 :: _DEV_EVERY] or train[-1:]
    for name in chosen:
        tally.add("training note moved to dev, one in ten (no --splits): not the published split", name)
    return dict.fromkeys(chosen, "dev")


def _is(path: Path, ending: str) -> bool:
    return path.suffix.lower() == ending


def part_of(path: Path, root: Path) -> str | None:
    """The split named by the folders of a path below ``root``, if it is just one."""
    text = str(path.relative_to(root)).lower()
    found = [split for split, pattern in _PARTS.items() if pattern.search(text)]
    return found[0] if len(found) == 1 else None


def unique_names(paths: Iterable[Path], tally: Tally) -> dict[str, Path]:
    """Files by plain name; of several with one name the first is taken, the others are counted."""
    result: dict[str, Path] = {}
    for path in paths:
        if result.setdefault(plain_name(path.name), path) != path:
            tally.add("further file of a document, left out", str(path))
    return result
