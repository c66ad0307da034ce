"""Texts with known entities, which become gold: columns, three lines a sentence, and brat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from genner.data.brat import read_terms
from genner.data.lines import LineReader
from genner.data.loaders import LoaderOptions, LoadReport
from genner.data.loaders.conll import ColumnReader, is_docstart
from genner.data.loaders.discontinuous import line_records, read_record
from genner.data.loaders.layout import Row, find_layout
from genner.data.loaders.reading import check_kind
from genner.data.offsets import to_characters
from genner.data.schema import Example
from genner.errors import DataFormatError
from genner.prediction.reading.files import InputFile, Reading, example_input, with_mentions
from genner.prediction.reading.plain import raw_text
from genner.prediction.results import TextInput

__all__ = ["read_brat", "read_columns", "read_triples"]

_OPTIONS = LoaderOptions(max_words=None, is_training=False)
_SAMPLE = 1000  # lines that tell what the columns of a file are


def read_columns(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """Words, with or without tags: a text is a document after a ``-DOCSTART-``; before the first one, a sentence."""
    document: _Document | None = None
    with _opened(file, reading, "conll", _SAMPLE) as source:
        reader = ColumnReader(find_layout(source.report.path, source.first, _OPTIONS), source.report, _OPTIONS)
        for rows in reader.sentences(source.text):
            problem = source.lines.problem(rows[0][0], rows[-1][0])
            if problem is None and is_docstart(rows, _OPTIONS):
                if document is not None:
                    yield document.input()
                document = _Document(file, rows[0][0])
                continue
            part = _Document(file, rows[0][0]) if document is None else document
            part.add(rows, reader, problem)
            if document is None:
                yield part.input()
        if document is not None:
            yield document.input()
        reader.finish()


def read_triples(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """Three lines per sentence, which is an input. From a sentence with other lines on, the file cannot be read."""
    with _opened(file, reading, "discontinuous") as source:
        for number, words, mentions in line_records(source.text, source.report):
            try:
                if problem := source.lines.problem(number, number + 2):
                    raise DataFormatError(problem)
                example = read_record(number, words, mentions, source.report, _OPTIONS)
                yield example_input([example], file.line_id(number))
            except DataFormatError as error:
                yield file.failed(error, number)


def read_brat(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """A text and, if there is one, its ``.ann`` file."""
    raw = raw_text(file)
    annotation = file.path.with_suffix(".ann")
    if not annotation.is_file():
        reading.tally.add("text without an annotation file, read without known entities", file.path.name)
        yield TextInput(raw, file.id)
        return
    mentions = to_characters(raw, list(read_terms(annotation, (), reading.tally)), reading.tally)
    yield with_mentions(TextInput(raw, file.id), mentions, reading)


@dataclass
class _Document:
    """Sentences that form one input; an error in one of them is an error of the input."""

    file: InputFile
    line: int
    examples: list[Example] = field(default_factory=list)
    problem: str | None = None
    is_labelled: bool = True

    def add(self, rows: list[Row], reader: ColumnReader, problem: str | None) -> None:
        try:
            if problem is not None:
                raise DataFormatError(problem)
            is_labelled = reader.is_labelled(rows)
            self.examples.append(reader.example(rows, is_labelled=is_labelled))
            self.is_labelled &= is_labelled
        except DataFormatError as error:
            self.problem = self.problem or str(error)

    def input(self) -> TextInput:
        if self.problem is not None:
            return self.file.failed(self.problem, self.line)
        given = example_input(self.examples, self.file.line_id(self.line))
        return given if self.is_labelled else replace(given, gold=None)


@dataclass(frozen=True)
class _Source:
    """An open file: its lines, with their errors, the first of them, and the loader's report."""

    lines: LineReader
    first: list[str]
    text: Iterator[str]
    report: LoadReport


@contextmanager
def _opened(file: InputFile, reading: Reading, kind: str, n_first: int = 2) -> Iterator[_Source]:
    """Open a file of lines and look at the first ones.

    Raises:
        DataFormatError: they are clearly of another format.
    """
    report = LoadReport(file.path or Path(file.name))
    with file.open() as stream:
        lines = LineReader(stream, file.name, lone_cr=False)
        text = iter(lines)
        first: list[str] = []
        while len(first) < n_first or not first[-2].strip(" \t"):
            line = next(text, None)
            if line is None:
                break
            first.append(line)
        check_kind(report.path, first, kind, is_training=False)
        try:
            yield _Source(lines, first, chain(first, text), report)
        finally:
            reading.tally.merge(report)
