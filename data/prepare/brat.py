"""Texts with brat stand-off annotation: CADEC, and any folder of ``.txt`` and ``.ann`` files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from genner.data.brat import brat_text, read_terms
from genner.data.prepare.request import Request
from genner.data.prepare.splitting import assign, by_shares, part_of, plain_name, read_lists, unique_names
from genner.data.schema import Example
from genner.data.tally import Tally
from genner.data.text import Mention, build_examples, sentence_words
from genner.data.utf8 import read_raw
from genner.errors import DataFormatError

__all__ = ["brat", "cadec"]

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
        for number, name in enumerate(request.progress(names, f"{split} documents")):
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
