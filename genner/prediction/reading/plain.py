"""Texts without annotations: a document per line, per file, or per row of a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from genner.data.lines import LONGEST, LineReader
from genner.data.records import shown
from genner.data.utf8 import decode, read_raw
from genner.errors import DataFormatError
from genner.prediction.reading.files import InputFile, Reading
from genner.prediction.results import TextInput

__all__ = ["raw_text", "read_lines", "read_table", "read_text"]

_TEXT, _ID = "text", "id"


def read_lines(file: InputFile, _: Reading) -> Iterator[TextInput]:
    """Every line is a document, even an empty one, so that lines and results correspond."""
    with file.open() as stream:
        lines = LineReader(stream, file.name)
        for number, line in enumerate(lines, 1):
            problem = lines.problem(number)
            yield file.failed(problem, number) if problem else TextInput(line, file.line_id(number))


def read_text(file: InputFile, _: Reading) -> Iterator[TextInput]:
    """The whole file is a document; line ends stay as they are."""
    yield TextInput(raw_text(file), file.id)


def raw_text(file: InputFile) -> str:
    """All of a file.

    Raises:
        DataFormatError: it is too large, or not UTF-8 text.
    """
    if file.path is None:
        with file.open() as stream:
            return _decoded(stream.read(LONGEST + 1), file)
    if file.path.stat().st_size > LONGEST:
        raise DataFormatError(
            f"{file.name}: more than {LONGEST:,} bytes. Expected a shorter text. Split it, or read its lines "
            "(--format lines)."
        )
    return read_raw(file.path)


def read_table(file: InputFile, _: Reading) -> Iterator[TextInput]:
    """Every row below the header is a document: its column ``text``, and ``id`` if there is one.

    Cells are separated by commas, semicolons or tabs, and may be quoted; CRLF inside a cell becomes LF.

    Raises:
        DataFormatError: the header has no column ``text``.
    """
    csv.field_size_limit(LONGEST)
    with file.open() as stream:
        lines = LineReader(stream, file.name)
        ended = (f"{line}\n" for line in lines)
        header = next(ended, "")
        if (problem := lines.problem(1)) is not None:
            raise DataFormatError(problem)
        names, separator = _header(header, file)
        rows = csv.reader(ended, delimiter=separator, strict=True)
        while True:
            first = rows.line_num + 2  # behind the header, counted from 1
            try:
                row = next(rows, None)
                problem = lines.problem(first, rows.line_num + 1)
            except csv.Error as error:
                row = []
                problem = f"{file.name}:{first}: {error}. Expected cells with paired quotation marks. Correct the row."
            if row is None:
                return
            if problem is None and row and len(row) != len(names):
                problem = (
                    f"{file.name}:{first}: {len(row)} cells in {shown(row)}, but {len(names)} in the header. Expected "
                    "as many. Put texts with a separator in quotation marks."
                )
            if problem is not None:
                yield file.failed(problem, first)
            elif row:
                cells = dict(zip(names, row, strict=True))
                yield TextInput(cells[_TEXT].removesuffix("\n"), cells.get(_ID, "").strip() or file.line_id(first))


def _header(line: str, file: InputFile) -> tuple[Sequence[str], str]:
    """The names of the columns in lower case, and what separates them."""
    found: list[str] = []
    for separator in ",;\t|":
        try:
            names = next(csv.reader([line], delimiter=separator), [])
        except csv.Error:  # a carriage return inside the line
            break
        names = [name.strip().casefold() for name in names]
        found = max(found, names, key=len)
        if names.count(_TEXT) == 1:
            return names, separator
    raise DataFormatError(
        f"{file.name}:1: no column 'text' in {shown(found)}. Expected a table whose first line names one, and 'id' if "
        "you like. Name the column of the texts 'text', or say with --format what the file is: lines, or conll for "
        "words with tags."
    )


def _decoded(raw: bytes, file: InputFile) -> str:
    if len(raw) > LONGEST:
        raise DataFormatError(f"{file.name}: more than {LONGEST:,} bytes. Expected a shorter text. Split it.")
    return decode(raw, file.name)
