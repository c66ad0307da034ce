"""Flat entities in columns: a word and its BIO tag per line, an empty line after each sentence.

Fields are separated by blanks and tabs; the first is the word, the last the tag. IOB1 is read as
well: ``I-X`` whose predecessor is neither ``B-X`` nor ``I-X`` starts an entity. Sentences that consist of the one word
``-DOCSTART-`` mark documents and are skipped. A line that starts with ``#`` is a word like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from genner.data.loaders.reading import LoaderOptions, LoadReport, open_lines, split_fields
from genner.data.schema import Entity, Example, Segment
from genner.errors import DataFormatError

__all__ = ["DOCSTART", "Row", "bio_entities", "column_sentences", "is_docstart", "load", "read_sentence"]

DOCSTART = "-DOCSTART-"
LOOSE_TAG = "I-X with neither B-X nor I-X before it, read as B-X"

Row = tuple[int, list[str]]  # line number from 1, fields

_TAG = re.compile(r"O|[BI]-\S.*", re.DOTALL)
_SEVERAL = re.compile(r"[,;|/+&][BI]-|[,;|]O$")


def load(path: Path, options: LoaderOptions = LoaderOptions()) -> tuple[list[Example], LoadReport]:  # noqa: B008
    """Read a file of columns.

    With ``options.compat``: any white space separates fields, lines starting with ``#`` and sentences starting with
    ``-DOCSTART-`` are dropped, tags are lower-cased.

    Raises:
        DataFormatError: the file is not UTF-8, a line lacks a column or has one too many, a tag is not BIO.
    """
    lines, report = open_lines(path, "conll")
    examples = []
    n_documents = 0
    n_columns = None
    for rows in column_sentences(lines, report, options):
        if is_docstart(rows, options):
            n_documents += 1
            continue
        n_columns = n_columns or len(rows[0][1])
        examples.append(read_sentence(rows, n_columns, report, options, n_documents - 1 if n_documents else None))
    return examples, report


def read_sentence(
    rows: list[Row], n_columns: int, report: LoadReport, options: LoaderOptions, document: int | None = None
) -> Example:
    """The example of one sentence's rows.

    Args:
        rows: at least one.
        n_columns: expected in every row: those of the file's first row.
        report: counts repairs.
        options: columns to read.
        document: number of the document.

    Raises:
        DataFormatError: a line lacks a column or has one too many, a tag is not BIO.
    """
    if rows[0][1][0] == DOCSTART:
        report.add_line(f"{DOCSTART} with further words in its sentence, kept as a word", rows[0][0])
    for number, fields in rows:
        _check_row(f"{report.path}:{number}", fields, n_columns, options)
    words = tuple(fields[options.word_column] for _, fields in rows)
    entities, repaired = bio_entities([fields[options.tag_column] for _, fields in rows])
    for index in repaired:
        report.add_line(LOOSE_TAG, rows[index][0])
    if options.compat:
        entities = [Entity(entity.label.lower(), entity.segments) for entity in entities]
    return Example(words, tuple(entities), document)


def bio_entities(tags: Sequence[str]) -> tuple[list[Entity], list[int]]:
    """The entities of the BIO tags of a sentence, and where :data:`LOOSE_TAG` applies.

    >>> bio_entities(["I-LOC", "I-LOC", "B-LOC", "O"])[0][0].flat
    [0, 2]
    """
    entities, repaired = [], []
    start, label = 0, ""  # the open entity, if there is a label
    for index, tag in enumerate([*tags, "O"]):
        if label and tag != f"I-{label}":
            entities.append(Entity(label, (Segment(start, index),)))
            label = ""
        if tag != "O" and not label:
            start, label = index, tag[2:]
            if tag[0] == "I":
                repaired.append(index)
    return entities, repaired


def column_sentences(lines: Iterable[str], report: LoadReport, options: LoaderOptions) -> Iterator[list[Row]]:
    """The sentences of a column file as rows of fields; none is empty."""
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        if options.compat and line.startswith("#"):
            report.add_line("line that starts with '#', skipped", number)
            continue
        fields = line.split() if options.compat else split_fields(line)
        if fields:
            rows.append((number, fields))
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows


def is_docstart(rows: list[Row], options: LoaderOptions) -> bool:
    """Whether a sentence only marks the start of a document."""
    fields = rows[0][1]
    if fields[0] != DOCSTART:
        return False
    return options.compat or (len(rows) == 1 and not fields[-1].startswith(("B-", "I-")))


def _check_row(where: str, fields: list[str], n_columns: int, options: LoaderOptions) -> None:
    n_found = len(fields)
    needed = max(column if column >= 0 else -1 - column for column in (options.word_column, options.tag_column)) + 1
    if n_found < max(needed, 2):
        raise DataFormatError(
            f"{where}: {n_found} column{'s' * (n_found > 1)} in {_shown(fields)}. Expected a word and a tag separated "
            "by space or tab; an empty line ends a sentence. If they are in other columns, set data.word_column and "
            "data.tag_column."
        )
    # A blank inside a word would cut it in two, a missing column would shift the others.
    if n_found != n_columns and not options.compat:
        raise DataFormatError(
            f"{where}: {n_found} columns in {_shown(fields)}, but {n_columns} in the first sentence. Expected the same "
            "number in every line; a word cannot contain a blank. Fix the line."
        )
    tag = fields[options.tag_column]
    if _TAG.fullmatch(tag) is None or _SEVERAL.search(tag):
        raise DataFormatError(f"{where}: tag {tag!r} of {_shown(fields)} {_tag_problem(tag)}")


def _tag_problem(tag: str) -> str:
    """The problem of a tag that is not BIO, and what to do."""
    if _SEVERAL.search(tag):
        return "holds several tags. Expected one label per word. Keep one, or use a nested file (--kind nested)."
    if re.fullmatch(r"[BIESMLU]-?", tag):
        return "has no type. Expected O, B-type or I-type. Add a type, e.g. B-ENT."
    if re.match(r"[ESMLU]-", tag):
        return (
            "is of a BIOES, BMES or BILOU scheme. Expected O, B-type or I-type. "
            "Change E-, M- and L- to I-, S- and U- to B-."
        )
    if re.fullmatch(r"o|[biesmlu](-.*)?", tag):
        return "is in lower case. Expected O, B-type or I-type. Write the O, B and I in upper case."
    return (
        "is not a BIO tag. Expected O, B-type or I-type in the last column. For other columns set data.tag_column "
        "and data.word_column. Remove comment lines."
    )


def _shown(fields: list[str]) -> str:
    text = " ".join(fields)
    return repr(text if len(text) <= 60 else text[:57] + "...")
