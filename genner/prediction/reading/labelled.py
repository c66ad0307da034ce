"""Texts with known entities: our three corpus formats, and brat. These entities become the gold of the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from genner.data.brat import read_terms
from genner.data.loaders import LoaderOptions, LoadReport
from genner.data.loaders.conll import Row, column_sentences, is_docstart, read_sentence
from genner.data.loaders.discontinuous import line_records, read_record
from genner.data.loaders.nested_jsonl import read_document
from genner.data.loaders.reading import check_kind
from genner.data.offsets import to_characters
from genner.data.schema import Example
from genner.errors import DataFormatError
from genner.prediction.reading.files import InputFile, LineReader, Reading, example_input, with_mentions
from genner.prediction.reading.plain import raw_text
from genner.prediction.results import TextInput

__all__ = ["read_brat", "read_columns", "read_documents", "read_records"]

_OPTIONS = LoaderOptions(max_words=None)


def read_columns(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """``word TAG`` lines: a text is a document after a ``-DOCSTART-``; before the first one, a sentence."""
    document: _Document | None = None
    n_columns = 0
    with _opened(file, reading, "conll") as source:
        for rows in column_sentences(source.text, source.report, _OPTIONS):
            problem = source.lines.problem(rows[0][0], rows[-1][0])
            if problem is None and is_docstart(rows, _OPTIONS):
                if document is not None:
                    yield document.input()
                document = _Document(file, rows[0][0])
                continue
            n_columns = n_columns or len(rows[0][1])
            part = _Document(file, rows[0][0]) if document is None else document
            part.add(rows, n_columns, source.report, problem)
            if document is None:
                yield part.input()
        if document is not None:
            yield document.input()


def read_documents(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """One JSON document per line, with its sentences."""
    with _opened(file, reading, "nested") as source:
        for number, line in enumerate(source.text, 1):
            problem = source.lines.problem(number)
            if problem is None and not line.strip(" \t"):
                continue
            try:
                if problem is not None:
                    raise DataFormatError(problem)
                yield example_input(read_document(line, number, source.report, _OPTIONS), file.line_id(number))
            except DataFormatError as error:
                yield file.failed(error, number)


def read_records(file: InputFile, reading: Reading) -> Iterator[TextInput]:
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

    def add(self, rows: list[Row], n_columns: int, report: LoadReport, problem: str | None) -> None:
        try:
            if problem is not None:
                raise DataFormatError(problem)
            self.examples.append(read_sentence(rows, n_columns, report, _OPTIONS))
        except DataFormatError as error:
            self.problem = self.problem or str(error)

    def input(self) -> TextInput:
        if self.problem is not None:
            return self.file.failed(self.problem, self.line)
        return example_input(self.examples, self.file.line_id(self.line))


@dataclass(frozen=True)
class _Source:
    """An open file: its lines, with their errors, and the loader's report."""

    lines: LineReader
    text: Iterator[str]
    report: LoadReport


@contextmanager
def _opened(file: InputFile, reading: Reading, kind: str) -> Iterator[_Source]:
    """Open a file of lines and look at the first ones.

    Raises:
        DataFormatError: they are clearly of another format.
    """
    report = LoadReport(file.path or Path(file.name))
    with file.open() as stream:
        lines = LineReader(stream, file.name, lone_cr=False)
        text = iter(lines)
        first: list[str] = []
        while len(first) < 2 or not first[-2].strip(" \t"):
            line = next(text, None)
            if line is None:
                break
            first.append(line)
        check_kind(report.path, first, kind)
        try:
            yield _Source(lines, chain(first, text), report)
        finally:
            reading.tally.merge(report)
