"""Texts with brat stand-off annotation: CADEC, and any folder of ``.txt`` and ``.ann`` files.

``T1<tab>LABEL 3 9;15 20<tab>covered text``: offsets count characters, ends are exclusive, fragments
are separated by ``;``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from genner.data.prepare.request import Request, Tally, progress, read_raw
from genner.data.prepare.splitting import assign, by_shares, part_of, plain_name, read_lists, unique_names
from genner.data.prepare.text import Mention, best_reading, build_examples, sentence_words
from genner.data.schema import Example
from genner.errors import DataFormatError

__all__ = ["brat", "brat_text", "cadec", "read_terms"]

_TERM = re.compile(r"T\S*\t(?P<label>\S+) (?P<offsets>\d+ \d+(?: ?; ?\d+ \d+)*) *(?:\t(?P<text>.*))?")
_OWN_SPLIT = "document assigned to a split by our own 70/15/15 shares (no --splits): not a published split"


def cadec(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """CADEC v2: ``text/*.txt`` with ``original/*.ann``; only adverse drug reactions (ADR) by default.

    Raises:
        DataFormatError: the folders are not there, or a file cannot be read.
    """
    folders = {}
    for name in ("text", "original"):
        found = sorted(path for path in request.raw.rglob(name) if path.is_dir())
        if len(found) != 1:
            raise DataFormatError(
                f"{request.raw}: {len(found)} folders called {name!r}. Expected CADEC v2 with its folders 'text' and "
                "'original'. Set --raw."
            )
        folders[name] = found[0]
    texts = unique_names(sorted(folders["text"].glob("*.txt")), tally)
    annotations = unique_names(sorted(folders["original"].glob("*.ann")), tally)
    labels = ("ADR",) if request.labels is None else request.labels
    return _read_all(texts, annotations, dict.fromkeys(texts), labels, request, tally)


def brat(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """Every ``.txt`` below the folder, with the ``.ann`` file of the same name.

    Folders called train, dev and test are the splits, unless there are lists.

    Raises:
        DataFormatError: there are no texts or no annotations, or a file cannot be read.
    """
    paths = [path for path in sorted(request.raw.rglob("*.txt")) if path.is_file()]
    texts, annotations, parts = {}, {}, {}
    names = unique_names(paths, tally) if request.splits else {str(p.relative_to(request.raw)): p for p in paths}
    for name, path in names.items():
        beside = path.with_suffix(".ann")
        if beside.is_file():
            annotations[name] = beside
        texts[name] = path
        parts[name] = part_of(path.parent, request.raw)
    return _read_all(texts, annotations, parts, request.labels or (), request, tally)


def _read_all(
    texts: Mapping[str, Path],
    annotations: Mapping[str, Path],
    parts: Mapping[str, str | None],
    labels: Collection[str],
    request: Request,
    tally: Tally,
) -> dict[str, list[Example]]:
    if not texts or not annotations:
        raise DataFormatError(
            f"{request.raw}: {len(texts)} texts and {len(annotations)} annotations. Expected .txt files with .ann "
            "files of the same names. Set --raw."
        )
    for name in sorted(annotations.keys() - texts.keys()):
        tally.add("annotation file without a text, left out", annotations[name].name)
    lists = read_lists(request.splits) if request.splits else None
    if lists is None and not any(parts.values()):
        lists = by_shares(map(plain_name, texts))
        lists = {name: lists[plain_name(name)] for name in texts}
        tally.add(_OWN_SPLIT, request.raw.name, len(texts))
    result: dict[str, list[Example]] = {}
    for split, names in assign(parts, lists, tally, request.raw).items():
        result[split] = []
        for number, name in enumerate(progress(names, f"{split} documents")):
            result[split] += _document(texts[name], annotations.get(name), number, labels, request, tally)
    return result


def _document(
    path: Path, annotation: Path | None, number: int, labels: Collection[str], request: Request, tally: Tally
) -> list[Example]:
    raw = read_raw(path)
    mentions: list[Mention] = []
    if annotation is None:
        tally.add("text without an annotation file, read as having no entities", path.name)
    else:
        mentions = list(read_terms(annotation, labels, tally))
    text, inside = brat_text(raw, mentions, tally)
    lines = True if request.lines is None else request.lines
    return build_examples(text, sentence_words(text, lines=lines), inside, number, tally, across=request.across)


def brat_text(raw: str, mentions: Sequence[Mention], tally: Tally) -> tuple[str, list[Mention]]:
    """The text as its annotations count it, and the annotations within it.

    Args:
        raw: the file's content with its line ends.
        mentions: from :func:`read_terms`.
        tally: counts those that do not fit.
    """
    readings = [raw, raw.replace("\r\n", "\n")] if "\r" in raw else [raw]
    text = best_reading(readings, mentions, tally)
    inside = []
    for mention in mentions:
        if max(end for _, end in mention.fragments) > len(text):
            tally.add("annotation that ends after its text, dropped", mention.place)
        else:
            inside.append(mention)
    return text, inside


def read_terms(path: Path, labels: Collection[str], tally: Tally) -> Iterator[Mention]:
    """The text-bound annotations of an ``.ann`` file.

    Args:
        path: the file.
        labels: keep only these; if empty, all.
        tally: counts everything else in the file.

    Raises:
        DataFormatError: the file cannot be read, or a line is not an annotation.
    """
    for number, line in enumerate(read_raw(path).replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        if not line.startswith("T"):
            what = "note" if line.startswith("#") else "relation, event or attribute"
            tally.add(f"{what}, no entity, left out", place)
            continue
        match = _TERM.fullmatch(line)
        if match is None:
            raise DataFormatError(
                f"{path}:{number}: {line[:60]!r}. Expected 'T1<tab>LABEL start end[;start end...]<tab>text' with "
                "character offsets. Fix the line."
            )
        if labels and match["label"] not in labels:
            tally.add(f"annotation of type {match['label']}, left out", place)
            continue
        pairs = [pair.split() for pair in match["offsets"].split(";")]
        fragments = tuple((int(start), int(end)) for start, end in pairs)
        if any(end <= start for start, end in fragments):
            tally.add("annotation with a fragment that ends before it starts, dropped", place)
            continue
        yield Mention(match["label"], fragments, place, match["text"] or "")
