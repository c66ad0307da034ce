"""GENIA 3.02: the XML of the distributor, and the JSON lines of later releases.

The five types of the task: DNA, RNA, protein (with all their kinds), cell_line, cell_type. Coordinated terms
(``sem="(AND G#... G#...)"``) and their parts are left out, as in the published preprocessing, which keeps only
contiguous terms.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from genner.data.folders import files_below
from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.loaders.reading import read_lines
from genner.data.offsets import Mention
from genner.data.prepare.request import Request, assign, read_lists
from genner.data.schema import Entity, Example, Segment, sort_entities
from genner.data.splits import find_split_files
from genner.data.tally import Tally
from genner.data.text import build_examples, words_in
from genner.errors import DataFormatError

__all__ = ["genia"]

_TYPE = re.compile(r"G#(?:(DNA|RNA|protein)(?:_.*)?|(cell_line|cell_type))")
_TEST_SHARE = 10  # the published run tests on the last tenth of the sentences

Document = tuple[str, list[Example]]


def genia(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """Read ``GENIAcorpus3.02*.xml`` below the folder, or train, dev and test files of JSON lines in it.

    Without lists the XML is split as in the published run: the first nine tenths of the sentences are train, the rest
    is test, and dev is taken from train on loading (``data.dev_every``).

    Raises:
        DataFormatError: no such files, several XML files, or a file cannot be read.
    """
    paths = [request.raw]
    if not request.raw.is_file():
        paths = [path for path in files_below(request.raw, tally) if path.suffix.lower() == ".xml"]
    if not paths:
        required = ("train", "test")
        files = find_split_files(request.raw, "nested", required, option="--raw")
        return {split: _json_lines(path, tally) for split, path in request.progress(files.items(), "files")}
    if len(paths) > 1:
        raise DataFormatError(
            f"{request.raw}: {', '.join(path.name for path in paths[:5])}. Expected one GENIA file. Give it with --raw."
        )
    documents = list(request.progress(_documents(paths[0], tally), "articles"))
    if request.splits is not None:
        return _by_documents(documents, request, tally)
    examples = [example for _, rows in documents for example in rows]
    for name, count in Counter(name for name, _ in documents).items():
        if count > 1:
            tally.add("duplicate document, both kept, as in the published run", name)
    n_test = len(examples) // _TEST_SHARE
    if not n_test:
        raise DataFormatError(
            f"{paths[0]}: {len(examples)} sentences. Expected at least {_TEST_SHARE} to take a test split from. "
            "Give lists of documents with --splits."
        )
    return {"train": examples[:-n_test], "test": examples[-n_test:]}


def _by_documents(documents: list[Document], request: Request, tally: Tally) -> dict[str, list[Example]]:
    by_name: dict[str, list[Example]] = {}
    for name, rows in documents:
        if name in by_name:
            tally.add("duplicate document, the later one taken, as published", name)
        by_name[name] = rows
    splits = assign(dict.fromkeys(by_name), read_lists(request.splits), tally, request.raw)
    return {split: [example for name in names for example in by_name[name]] for split, names in splits.items()}


def _documents(path: Path, tally: Tally) -> Iterator[Document]:
    """Name and sentences of every article; the tree is freed article by article."""
    number = 0
    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag != "article":
                continue
            name = (element.findtext(".//bibliomisc") or f"article {number + 1}").strip()
            examples = []
            for row, sentence in enumerate(element.iter("sentence"), 1):
                examples += _sentence(sentence, f"{name}, sentence {row}", number, tally)
            yield name, examples
            number += 1
            element.clear()
    except (ElementTree.ParseError, OSError) as error:
        raise DataFormatError(f"{path}: cannot be read ({error}). Expected GENIA in XML. Copy it again.") from None
    if not number:
        raise DataFormatError(f"{path}: no <article>. Expected the GENIA corpus 3.02 in XML. Check --raw.")


def _sentence(sentence: ElementTree.Element, place: str, document: int, tally: Tally) -> list[Example]:
    pieces: list[str] = []
    tokens: list[tuple[int, int]] = []
    terms: list[tuple[int, int, str | None]] = []
    _walk(sentence, pieces, 0, tokens, terms)
    text = "".join(pieces)
    words = _all_words(text, tokens)
    if not words:
        tally.add("sentence without words, skipped", place)
        return []
    mentions = []
    for start, end, kind in terms:
        match = _TYPE.fullmatch(kind or "")
        if kind is None or kind.startswith("("):
            tally.add("coordinated term or a part of one, left out", place)
        elif match is None:
            tally.add("term of another type, left out", place)
        else:
            mentions.append(Mention(match[1] or match[2], ((start, end),), place))
    return build_examples(text, [words], mentions, document, tally)


def _walk(
    element: ElementTree.Element,
    pieces: list[str],
    at: int,
    tokens: list[tuple[int, int]],
    terms: list[tuple[int, int, str | None]],
) -> int:
    """Collect the text of an element and the spans of its words and terms; returns the end of the text."""
    start = at
    pieces.append(element.text or "")
    at += len(pieces[-1])
    for child in element:
        at = _walk(child, pieces, at, tokens, terms)
        pieces.append(child.tail or "")
        at += len(pieces[-1])
    if element.tag == "w":
        tokens.append((start, at))
    elif element.tag == "cons":
        terms.append((start, at, element.get("sem")))
    return at


def _all_words(text: str, tokens: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The words marked in the file, and those of the text between them; if it marks none, all are our own."""
    words: list[tuple[int, int]] = []
    at = 0
    for start, end in [*sorted(tokens), (len(text), len(text))]:
        words += words_in(text, at, max(at, start))
        word = text[start:end]
        if word.strip():
            words.append((start + len(word) - len(word.lstrip()), end - len(word) + len(word.rstrip())))
        at = max(at, end)
    return words


def _json_lines(path: Path, tally: Tally) -> list[Example]:
    """A file of JSON lines: a document each (``sentences``, ``ners``) or a sentence each (``tokens``)."""
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    if not lines or '"tokens"' not in lines[0][1]:
        examples, report = LOADERS["nested"](path, LoaderOptions(max_words=None, is_training=False))
        tally.merge(report)
        return examples
    examples = []
    documents: dict[object, int] = {}
    for number, line in lines:
        place = f"{path}:{number}"
        row = _json_row(line, place)
        words = tuple(row["tokens"])
        entities = dict.fromkeys(_entity(mention, len(words), place) for mention in row["entity_mentions"])
        for _ in range(len(row["entity_mentions"]) - len(entities)):
            tally.add("duplicate annotation, counted once", place)
        document = documents.setdefault(row.get("doc_id", number), len(documents))
        examples.append(Example(words, sort_entities(entities), document))
    return examples


def _json_row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataFormatError(f"{place}: not JSON ({error}). Expected one object per line. Copy it again.") from None
    lists = [row.get(key) for key in ("tokens", "entity_mentions")] if isinstance(row, dict) else [None]
    if not all(isinstance(value, list) for value in lists) or not all(isinstance(word, str) for word in lists[0]):
        raise DataFormatError(
            f"{place}: {line[:60]!r}. Expected an object with the lists 'tokens' (words) and 'entity_mentions'. "
            "Fix the line."
        )
    return row


def _entity(mention: object, n_words: int, place: str) -> Entity:
    found = [mention.get(key) for key in ("start", "end", "entity_type")] if isinstance(mention, dict) else [None]
    if list(map(type, found)) != [int, int, str] or not 0 <= found[0] < found[1] <= n_words or not found[2]:
        raise DataFormatError(
            f"{place}: mention {mention!r:.60} in a sentence of {n_words} words. Expected start, end (exclusive) and "
            "entity_type. Fix the line."
        )
    return Entity(found[2], (Segment(found[0], found[1]),))
