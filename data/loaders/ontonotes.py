"""Flat entities in the layout of OntoNotes 5 and CoNLL-2012 (``*_gold_conll``).

Each line has at least twelve fields separated by blanks: document, part, word number, WORD, part of speech, parse,
predicate, frameset, sense, speaker, NAME, ... Names are in brackets, ``(DATE*``, ``*``, ``*)``, ``(GPE)``. Lines
``#begin document ...`` and ``#end document`` enclose documents. As in the published preprocessing
(https://github.com/yhcc/OntoNotes-5.0-NER) all files of a split are collected in ``train.txt``, ``dev.txt`` and
``test.txt``, and the Penn Treebank's escapes are undone: ``-LRB-`` is ``(``, ``/.`` is ``.``.

Re-exports of OntoNotes as a word, further columns and a BIO tag are read as well, see :mod:`genner.data.loaders.conll`.
"""

from __future__ import annotations

import re
from pathlib import Path

from genner.data.loaders.conll import load as load_columns
from genner.data.loaders.layout import Layout, Row, read_rows
from genner.data.loaders.reading import LoaderOptions, LoadReport, clean_word, read_lines, split_fields
from genner.data.schema import Entity, Example, Segment
from genner.errors import DataFormatError

__all__ = ["load"]

WORD_COLUMN, NAME_COLUMN = 3, 10
ESCAPES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}", "/.": ".", "/?": "?"}

_NAME = re.compile(r"(?:\((?P<label>[^()*]+))?(?:\*?(?P<close>\))|\*)")


def load(path: Path, options: LoaderOptions = LoaderOptions()) -> tuple[list[Example], LoadReport]:  # noqa: B008
    """Read a file of the CoNLL-2012 layout, or of BIO columns.

    Raises:
        DataFormatError: a line lacks columns, a name is not in brackets, or the brackets of a sentence do not match.
    """
    path = Path(path)
    lines = read_lines(path)
    if not _has_names_in_brackets(lines):
        return load_columns(path, options)
    report = LoadReport(path)
    examples = []
    document = -1
    block: list[str] = []
    first = 1  # line number of the block's first line
    for number, line in enumerate([*lines, "#end document"], 1):
        if not line.startswith(("#begin document", "#end document")):
            block.append(line)
            continue
        examples += _read_block(block, first - 1, document if document >= 0 else None, report, options)
        document += line.startswith("#begin document")
        block, first = [], number + 1
    return examples, report


def _read_block(
    lines: list[str], offset: int, document: int | None, report: LoadReport, options: LoaderOptions
) -> list[Example]:
    """The sentences of one document; ``offset`` lines of the file are before it."""
    examples = []
    comments = "always" if options.compat else "never"
    for rows in read_rows(lines, Layout(comments=comments, is_lax=options.compat), report):
        numbered = [(offset + number, fields) for number, fields in rows]
        for number, fields in numbered:
            if len(fields) <= NAME_COLUMN:
                raise DataFormatError(
                    f"{report.path}:{number}: {len(fields)} columns. Expected the CoNLL-2012 layout, at least "
                    f"{NAME_COLUMN + 1} columns with the word in the 4th and the name in the 11th. Fix the line."
                )
        words = tuple(_word(fields[WORD_COLUMN], report, number, options) for number, fields in numbered)
        examples.append(Example(words, _read_names(numbered, report, options), document))
    return examples


def _read_names(rows: list[Row], report: LoadReport, options: LoaderOptions) -> tuple[Entity, ...]:
    entities = []
    start, label = 0, None  # the open name, if label is not None
    for index, (number, fields) in enumerate(rows):
        name = fields[NAME_COLUMN]
        match = _NAME.fullmatch(name)
        if match is None:
            raise _bracket_error(report, number, name, "is not a name in brackets")
        if match["label"]:
            if label is not None:
                raise _bracket_error(report, number, name, f"opens a name inside ({label}")
            start, label = index, match["label"]
        if match["close"]:
            if label is None:
                raise _bracket_error(report, number, name, "closes a name that was not opened")
            entities.append(Entity(label.lower() if options.compat else label, (Segment(start, index + 1),)))
            label = None
    if label is not None:
        raise _bracket_error(report, rows[start][0], rows[start][1][NAME_COLUMN], "is not closed in its sentence")
    return tuple(entities)


def _bracket_error(report: LoadReport, number: int, name: str, what: str) -> DataFormatError:
    return DataFormatError(
        f"{report.path}:{number}: name {name!r:.60} {what}. Expected *, (TYPE), (TYPE* or *) in the 11th column, names "
        "not nested. Fix the line."
    )


def _word(word: str, report: LoadReport, line: int, options: LoaderOptions) -> str:
    """The word without the Treebank's escapes."""
    if options.compat:
        word = word.replace("/.", ".")
        return word if word == "/?" else ESCAPES.get(word, word)
    return ESCAPES.get(word) or clean_word(word, report, line)


def _has_names_in_brackets(lines: list[str]) -> bool:
    """Whether the first line with words has the CoNLL-2012 layout."""
    for line in lines:
        fields = split_fields(line)
        if line.startswith(("#begin document", "#end document")):
            return True
        if fields:
            return len(fields) > NAME_COLUMN and _NAME.fullmatch(fields[NAME_COLUMN]) is not None
    return False
