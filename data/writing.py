"""Examples -> the three file formats of docs/own_data.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

from genner.data.loaders.conll import DOCSTART
from genner.data.schema import Entity, Example
from genner.data.tally import Tally
from genner.data.utf8 import without_edge_signs
from genner.errors import DataFormatError
from genner.files import replace_file

__all__ = ["DOCSTART", "FORMATS", "format_examples", "write_split"]

_BLANK = re.compile(r"[ \t\r\n\0]")
_BAD_LABEL = re.compile(r"[\s|,;\0]|^[0-9]*$|[,;|/+&][BI]-")

#: Loader -> file ending.
FORMATS = {"conll": ".txt", "nested": ".jsonlines", "discontinuous": ".txt"}


def write_split(folder: Path, split: str, loader: str, examples: Sequence[Example], tally: Tally) -> Path:
    """Write a split for a loader and return its file.

    White space inside words, which columns and three-line records cannot hold, becomes ``_``, as does an empty word;
    signs of no width at the edges of words, which would be taken off in reading, are left out. Characters in labels
    that would not read back become ``_`` as well. All of this is counted.

    Args:
        folder: for the file, which is replaced atomically.
        split: its name, and that of the file.
        loader: a key of ``FORMATS``.
        examples: the sentences, in order; those of a document together.
        tally: counts changes.

    Raises:
        DataFormatError: entities that the format cannot hold, or text that UTF-8 cannot hold.
    """
    path = folder / (split + FORMATS[loader])
    with replace_file(path) as file:
        for text in format_examples(loader, examples, str(path), split, tally):
            try:
                file.write(text.encode("utf-8"))
            except UnicodeEncodeError as error:
                raise DataFormatError(
                    f"{path}: {text[max(0, error.start - 20) : error.end]!r} contains a lone surrogate. Expected "
                    "text that UTF-8 can hold. Fix the source."
                ) from None
    return path


def format_examples(loader: str, examples: Iterable[Example], where: str, source: str, tally: Tally) -> Iterator[str]:
    """The text of some sentences in a format, in parts; changes are those of :func:`write_split`.

    Args:
        loader: a key of ``FORMATS``.
        examples: the sentences, in order; those of a document together.
        where: name of the output, for errors.
        source: name of the input, for the tally.
        tally: counts changes.

    Raises:
        DataFormatError: entities that the format cannot hold.
    """
    numbered = enumerate(examples, 1)
    clean = [_clean(example, f"{source}, sentence {number}", loader, tally) for number, example in numbered]
    yield from _WRITERS[loader](clean, where)


def _clean(example: Example, place: str, loader: str, tally: Tally) -> Example:
    words, entities = example.words, example.entities
    if "" in words or (loader != "nested" and any(_BLANK.search(word) for word in words)):
        tally.add("word that is empty or has white space inside, written with '_'", place)
        words = tuple((word if loader == "nested" else _BLANK.sub("_", word)) or "_" for word in words)
    visible = words if loader == "nested" else tuple(map(without_edge_signs, words))
    if visible != words:
        tally.add("word with signs of no width at its edges, written without them", place)
        words = visible
    if any(_BAD_LABEL.search(entity.label) for entity in entities):
        tally.add("label with characters that do not read back, written with '_'", place)
        entities = tuple(Entity(_plain_label(entity.label), entity.segments) for entity in entities)
    return replace(example, words=words, entities=entities)


def _plain_label(label: str) -> str:
    plain = re.sub(r"[\s|,;/+&\0]+", "_", label)
    return f"_{plain}" if plain.isdigit() or not plain else plain


def _columns(examples: Sequence[Example], where: str) -> Iterator[str]:
    """``word TAG`` lines; ``-DOCSTART-`` before every document."""
    document = None
    for number, example in enumerate(examples, 1):
        if example.document is not None and example.document != document:
            document = example.document
            yield f"{DOCSTART} O\n\n"
        tags = ["O"] * len(example.words)
        for left, right in pairwise(example.entities):
            if right.start < left.end:
                _refuse(where, number, "nested or overlapping", "nested")
        for entity in example.entities:
            if entity.is_discontinuous:
                _refuse(where, number, "discontinuous", "discontinuous")
            tags[entity.start] = f"B-{entity.label}"
            tags[entity.start + 1 : entity.end] = [f"I-{entity.label}"] * (entity.end - entity.start - 1)
        yield "".join(f"{word} {tag}\n" for word, tag in zip(example.words, tags, strict=True)) + "\n"


def _json_documents(examples: Sequence[Example], where: str) -> Iterator[str]:
    """One JSON object per document; a sentence without a document is one of its own."""
    numbered = enumerate(examples, 1)
    for _, rows in groupby(numbered, key=lambda pair: pair[0] if pair[1].document is None else (pair[1].document,)):
        sentences, ners = [], []
        for number, example in rows:
            if any(entity.is_discontinuous for entity in example.entities):
                _refuse(where, number, "discontinuous", "discontinuous")
            sentences.append(example.words)
            ners.append([[entity.start, entity.end - 1, entity.label] for entity in example.entities])
        yield json.dumps({"ners": ners, "sentences": sentences}, ensure_ascii=False) + "\n"


def _records(examples: Sequence[Example], _: str) -> Iterator[str]:
    """Three lines per sentence: words, mentions, an empty line."""
    for example in examples:
        mentions = (
            f"{','.join(f'{start},{end - 1}' for start, end in entity.segments)} {entity.label}"
            for entity in example.entities
        )
        yield f"{' '.join(example.words)}\n{'|'.join(mentions)}\n\n"


_WRITERS: dict[str, Callable[[Sequence[Example], str], Iterable[str]]] = {
    "conll": _columns,
    "nested": _json_documents,
    "discontinuous": _records,
}


def _refuse(where: str, number: int, what: str, loader: str) -> None:
    raise DataFormatError(
        f"{where}: sentence {number} has {what} entities. Expected what this format holds. Write the format {loader!r}."
    )
