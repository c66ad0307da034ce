"""Flat entities in columns: a word and its tag per line, an empty line after each sentence.

Fields are separated by blanks and tabs, or as in CSV; the first is the word, the last the tag, unless the options or
the first row say otherwise, see :mod:`genner.data.loaders.layout`. Tags may be of any scheme, see
:mod:`genner.data.schemes`. Sentences that consist of the one word ``-DOCSTART-`` mark documents and are skipped.
Comments before sentences are skipped and counted; a line with ``#`` that is a proper row is a word like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genner.data.loaders.layout import NO_TAG, Layout, Row, find_layout, read_rows
from genner.data.loaders.reading import LoaderOptions, LoadReport, clean_word, open_lines
from genner.data.schema import Entity, Example
from genner.data.schemes import TagError, TagReader
from genner.errors import DataFormatError

__all__ = ["DOCSTART", "ColumnReader", "is_docstart", "load"]

DOCSTART = "-DOCSTART-"


def load(path: Path, options: LoaderOptions = LoaderOptions()) -> tuple[list[Example], LoadReport]:  # noqa: B008
    """Read a file of columns. A file whose words have no tags has no entities, and its report is not ``is_labelled``.

    With ``options.compat``: any white space separates fields, lines starting with ``#`` and sentences starting with
    ``-DOCSTART-`` are dropped, tags are lower-cased.

    Raises:
        DataFormatError: the file is not UTF-8, a line lacks a column or has one too many, a tag is of no scheme.
    """
    lines, report = open_lines(path, "conll")
    reader = ColumnReader(find_layout(report.path, lines, options), report, options)
    sentences = list(reader.sentences(lines))
    marks = [is_docstart(rows, options) for rows in sentences]
    report.is_labelled = not sentences or any(
        reader.is_labelled(rows) for rows, is_mark in zip(sentences, marks, strict=True) if not is_mark
    )
    examples: list[Example] = []
    n_documents = 0
    for rows, is_mark in zip(sentences, marks, strict=True):
        if is_mark:
            n_documents += 1
            continue
        document = n_documents - 1 if n_documents else None
        examples.append(reader.example(rows, document, is_labelled=report.is_labelled))
    reader.finish()
    return examples, report


@dataclass
class ColumnReader:
    """Reads the sentences of one file.

    Args:
        layout: what the columns are.
        report: counts repairs.
        options: what the recipe says.
    """

    layout: Layout
    report: LoadReport
    options: LoaderOptions
    tags: TagReader = field(init=False)

    def __post_init__(self) -> None:
        self.tags = TagReader(self.options.scheme)
        columns = [column for column in (self.layout.word, self.layout.tag) if column is not None]
        self._fewest = max(len(columns), *(column + 1 if column >= 0 else -column for column in columns))
        if self.layout.is_numbered:
            self.report.add_line("first column counts the words, so the second is taken for the word", 1)

    def sentences(self, lines: Iterable[str]) -> Iterator[list[Row]]:
        """The sentences as rows of fields; none is empty."""
        return read_rows(lines, self.layout, self.report)

    def is_labelled(self, rows: Sequence[Row]) -> bool:
        """Whether any word of a sentence has a tag; ``_`` is none."""
        tag = self.layout.tag
        return tag is not None and any(len(row) < 2 or row[tag : tag + 1 or None] != [NO_TAG] for _, row in rows)

    def example(self, rows: Sequence[Row], document: int | None = None, *, is_labelled: bool = True) -> Example:
        """The example of one sentence's rows; without tags it has no entities.

        Raises:
            DataFormatError: a line lacks a column or has one too many, a tag is of no scheme.
        """
        if rows[0][1][0] == DOCSTART:
            self.report.add_line(f"{DOCSTART} with further words in its sentence, kept as a word", rows[0][0])
        expected = self.layout.n_columns
        for number, fields in rows:
            if len(fields) < self._fewest or (expected is not None and len(fields) != expected):
                raise self._refused(number, fields)
        words = tuple(self._word(fields[self.layout.word], number) for number, fields in rows)
        entities = self._entities(rows) if is_labelled else []
        if self.options.compat:
            entities = [Entity(entity.label.lower(), entity.segments) for entity in entities]
        return Example(words, tuple(entities), document)

    def finish(self) -> None:
        """Count what only the whole file shows: the scheme of its tags."""
        self.tags.report(self.report)

    def _entities(self, rows: Sequence[Row]) -> list[Entity]:
        tags = [fields[self.layout.tag].strip(" \t") for _, fields in rows]
        try:
            return self.tags.entities(tags, lambda index: f"{self.report.path.name}:{rows[index][0]}")
        except TagError as error:
            number, fields = rows[error.index]
            hint = self._hint(number, fields) if "is not a BIO tag" in error.problem else ""
            raise DataFormatError(
                f"{self.report.path}:{number}: tag {error.tag!r:.60} of {_shown(fields)} {error.problem}{hint}"
            ) from None

    def _word(self, text: str, number: int) -> str:
        if self.options.compat or (self.layout.delimiter is None and text.isascii()):
            return text
        word = text.strip(" \t")
        if word != text:
            self.report.add_line("blank at the edge of a word, removed", number)
        if not word:
            raise DataFormatError(
                f"{self.report.path}:{number}: no word before the tag. Expected a word in every row. Write _ where "
                "there is none."
            )
        return clean_word(word, self.report, number)

    def _refused(self, number: int, fields: list[str]) -> DataFormatError:
        """The error of a row without the columns that are needed, or with another number than the others."""
        where = f"{self.report.path}:{number}: {len(fields)} column{'s' * (len(fields) > 1)} in {_shown(fields)}"
        if len(fields) < self._fewest:
            advice = self.options.advice(
                "If they are in other columns, set data.word_column and data.tag_column.",
                "Add what is missing, or leave the tags out everywhere.",
            )
            return DataFormatError(
                f"{where}. Expected a word and a tag separated by space or tab; an empty line ends a sentence. {advice}"
            )
        # A blank inside a word would cut it in two, a missing column would shift the others.
        expected = self.layout.n_columns
        return DataFormatError(
            f"{where}, but {expected} in most lines. Expected the same number in every line. "
            f"{self._remedy(len(fields), expected)}"
        )

    def _hint(self, number: int, fields: Sequence[str]) -> str:
        """What to do about a column that does not seem to be that of the tags."""
        if fields[0].startswith("#"):
            return self.options.advice(" If the line is a comment, set data.comments=always.", " Remove comment lines.")
        where = "to numbers, or to names in this row if it has such" if number == 1 else "to others"
        return self.options.advice(
            f" If another column holds the tags, set data.tag_column and data.word_column {where}; if the tags are "
            "labels alone, set data.scheme=io.",
            " Put the tags into the last column.",
        )

    def _remedy(self, n_found: int, n_expected: int) -> str:
        if n_found < n_expected:
            return "Add what is missing, or write _ for it."
        if self.layout.delimiter is not None:
            return "Put the word in quotes if it contains what parts the columns."
        if n_expected == 1:
            return self.options.advice(
                "If something else than blanks parts the columns, set data.delimiter to it.",
                "Write a word in every line.",
            )
        return self.options.advice(
            "Remove the blank from the word; if tabs alone part the columns, set data.delimiter=tab.",
            "Remove the blank from the word.",
        )


def is_docstart(rows: Sequence[Row], options: LoaderOptions) -> bool:
    """Whether a sentence only marks the start of a document."""
    fields = rows[0][1]
    if fields[0] != DOCSTART:
        return False
    return options.compat or (len(rows) == 1 and not fields[-1].startswith(("B-", "I-")))


def _shown(fields: Sequence[str]) -> str:
    text = " ".join(fields)
    return repr(text if len(text) <= 60 else text[:57] + "...")
