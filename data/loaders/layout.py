"""What a file of columns looks like: what parts the columns, which is which, and which lines are no rows."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from genner.data.loaders.reading import LoaderOptions, LoadReport, split_fields
from genner.data.schemes import is_tag
from genner.errors import DataFormatError

__all__ = ["NO_TAG", "Layout", "Row", "find_layout", "read_rows"]

Row = tuple[int, list[str]]  # line number from 1, fields

NO_TAG = "_"  # fills the column of the tag where nothing is known
MARK = "byte order mark inside the file, removed"
DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}

_PART = re.compile(r"[0-9]+[-.][0-9]+")
_SAMPLE = 50_000  # lines are enough to see what the columns are
_COMMENT = re.compile(r"#(?:[ \t]+\S|[\w.-]+[ \t]*=)")
_WORD_NAMES = {"word", "words", "token", "tokens", "form"}
_TAG_NAMES = {"tag", "tags", "ner", "ne", "ner_tag", "ner_tags", "ner-tag", "label", "labels", "entity", "bio", "iob"}
_SENTENCE_NAME = re.compile(r"sent(?:ence)?s?(?:[ _#.-]*(?:#|id|idx|no|nr|number|num))?", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are read.

    Args:
        word: column of the word, from 0; negative counts from the end.
        tag: column of the tag; None: there is none.
        sentence: column that says where a sentence starts; None: empty lines say it.
        n_columns: of a proper row; None: any.
        delimiter: a character; None: blanks and tabs.
        is_quoted: fields may be in quotes, as in CSV.
        header: the names in the first row, which is skipped.
        comments: ``always``, ``never`` or ``auto``: which lines that begin with ``#`` are no rows.
        is_lax: any white space parts the columns, as in the reference.
        is_numbered: the first column counts the words of a sentence, so the word is in the second.
        has_labels: the tags are labels alone.
    """

    word: int = 0
    tag: int | None = -1
    sentence: int | None = None
    n_columns: int | None = None
    delimiter: str | None = None
    is_quoted: bool = False
    header: tuple[str, ...] = ()
    comments: str = "auto"
    is_lax: bool = False
    is_numbered: bool = False
    has_labels: bool = False

    def fields(self, line: str) -> list[str]:
        """The fields of a line; none if it is blank."""
        if self.delimiter is None:
            return line.split() if self.is_lax else split_fields(line)
        if self.is_quoted and '"' in line:
            fields = _unquoted(line, self.delimiter) or line.split(self.delimiter)
        else:
            fields = line.split(self.delimiter)
        return fields if any(field.strip(" \t") for field in fields) else []

    def sentence_of(self, fields: Sequence[str]) -> str:
        """What the column of sentences says; empty if it says nothing."""
        has_it = -len(fields) <= self.sentence < len(fields)
        return fields[self.sentence].strip() if has_it else ""

    def is_row(self, fields: Sequence[str]) -> bool:
        """Whether a line has the right number of columns, and a tag in that of the tags."""
        if self.n_columns is not None and len(fields) != self.n_columns:
            return False
        if self.tag is None or self.has_labels:
            return True
        return len(fields) > 1 and -len(fields) <= self.tag < len(fields) and is_tag(fields[self.tag].strip())

    def is_comment(self, line: str, fields: Sequence[str], *, starts: bool) -> bool:
        """Whether a line that begins with ``#`` is a comment; one that could be a row is a row.

        Args:
            line: all of it.
            fields: of the line.
            starts: whether a sentence may start here: comments stand before sentences.
        """
        if self.comments == "never":
            return False
        return self.comments == "always" or (starts and bool(_COMMENT.match(line)) and not self.is_row(fields))


def find_layout(path: Path, lines: Sequence[str], options: LoaderOptions) -> Layout:
    """The layout of a file, from its lines (or the first ones) and what the options say about it.

    Raises:
        DataFormatError: a column that was named is not in the first row.
    """
    if options.compat:
        return Layout(int(options.word_column), int(options.tag_column), comments="always", is_lax=True)
    lines = [line.lstrip("\ufeff") for line in lines[:_SAMPLE]]
    shown = [line for line in lines if line.strip(" \t") and not _COMMENT.match(line)]
    delimiter = _delimiter(path, shown, options.delimiter)
    is_quoted = delimiter is not None and _is_quoted(shown, delimiter)
    plain = Layout(delimiter=delimiter, is_quoted=is_quoted, comments=options.comments)
    rows = [fields for line in shown if (fields := plain.fields(line))]
    header = tuple(rows[0]) if rows and _is_header(rows[0], options) else ()
    sizes = Counter(len(row) for row in rows[bool(header) :] if row[0] != "-DOCSTART-")
    # In doubt the smaller number that has room for a tag: a blank inside a word is more frequent than a lost column.
    n_columns = max(sizes, key=lambda size: (sizes[size], size > 1, -size), default=None)
    word, tag, sentence = _columns(f"{path}:1", header, options)
    if n_columns == 1:
        tag = None
    if sentence is not None and n_columns is not None and not -n_columns <= sentence < n_columns:
        raise DataFormatError(
            f"{path}:1: data.sentence_column: {sentence} of {n_columns} columns. Expected a number from 0 to "
            f"{n_columns - 1}. Set data.sentence_column to it, or leave it out."
        )
    is_numbered = word == 0 and not header and (n_columns or 0) > 2 and _counts([row[0] for row in rows])
    return Layout(
        1 if is_numbered else word,
        tag,
        sentence,
        n_columns,
        delimiter,
        is_quoted,
        header,
        options.comments,
        is_numbered=is_numbered,
        has_labels=options.scheme == "io",
    )


def read_rows(lines: Iterable[str], layout: Layout, report: LoadReport) -> Iterator[list[Row]]:
    """The sentences of a file as rows of fields; none is empty. Comments and the header are counted.

    Args:
        lines: without their ends.
        layout: see :func:`find_layout`.
        report: counts what is no row.
    """
    rows: list[Row] = []
    header = list(layout.header)
    sentence = ""
    for number, line in enumerate(lines, 1):
        if line[:1] == "\ufeff" and not layout.is_lax:
            line = line.lstrip("\ufeff")
            report.add_line(MARK, number)
        fields = layout.fields(line)
        if line[:1] == "#" and layout.is_comment(line, fields, starts=not rows):
            report.add_line("line that starts with '#', skipped", number)
        elif not fields:
            if rows:
                yield rows
                rows = []
        elif header and fields == header:
            report.add_line("row of the columns' names, skipped", number)
            header = []
        else:
            name = layout.sentence_of(fields) if layout.sentence is not None else ""
            if name and name != sentence:
                sentence = name
                if rows:
                    yield rows
                    rows = []
            rows.append((number, fields))
    if rows:
        yield rows


def _counts(column: Sequence[str]) -> bool:
    """Whether a column numbers the words of every sentence, from 0 or 1; ``3-4`` and ``3.1`` are CoNLL-U's."""
    numbers = [int(text) if text.isascii() and text.isdigit() else None for text in column if not _PART.fullmatch(text)]
    if len(numbers) < 2 or None in numbers or numbers[0] not in (0, 1):
        return False
    steps = list(pairwise(numbers))
    return all(right in (left + 1, numbers[0]) for left, right in steps) and any(right > left for left, right in steps)


def _delimiter(path: Path, lines: Sequence[str], wanted: str | None) -> str | None:
    """The character between columns; None: blanks and tabs."""
    if wanted is not None:
        return DELIMITERS.get(wanted, wanted)
    ending = path.suffix.lower()
    if ending == ".csv" and lines:
        return max(",;\t|", key=lines[0].count)
    return "\t" if ending == ".tsv" and lines and all("\t" in line for line in lines) else None


def _is_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quotes enclose fields: not if a line would be broken by that, as by a word that is a quotation mark."""
    marked = [line for line in lines if '"' in line] if len(delimiter) == 1 else []
    if delimiter not in ",;" and any(field == '""' for line in marked for field in line.split(delimiter)):
        return False  # a word of two marks; spreadsheets write no empty fields so
    return bool(marked) and all(_unquoted(line, delimiter) is not None for line in marked)


def _unquoted(line: str, delimiter: str) -> list[str] | None:
    """The fields of a line of CSV; None if its quotes are not in order."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None


def _is_header(row: Sequence[str], options: LoaderOptions) -> bool:
    """Whether the first row names the columns."""
    wanted = (options.word_column, options.tag_column, options.sentence_column)
    if any(column is not None and _number(column) is None for column in wanted):
        return True
    names = {name.strip().lower() for name in row}
    return bool(names & _WORD_NAMES) and bool(names & _TAG_NAMES) and not any(is_tag(field) for field in row)


def _columns(where: str, header: tuple[str, ...], options: LoaderOptions) -> tuple[int, int | None, int | None]:
    """The columns of word, tag and sentence."""
    names = [name.strip().lower() for name in header]
    word, tag, sentence = options.word_column, options.tag_column, options.sentence_column
    found = [index for index, name in enumerate(names) if name in _WORD_NAMES]
    if found and (_number(word), _number(tag)) == (LoaderOptions.word_column, LoaderOptions.tag_column):
        tags = [index for index, name in enumerate(names) if name in _TAG_NAMES]
        word, tag = found[0], (tags or [tag])[-1]
    if sentence is None:
        sentence = next((index for index, name in enumerate(names) if _SENTENCE_NAME.fullmatch(name)), None)
    return (
        _position(word, header, f"{where}: data.word_column"),
        _position(tag, header, f"{where}: data.tag_column"),
        None if sentence is None else _position(sentence, header, f"{where}: data.sentence_column"),
    )


def _position(column: int | str, header: Sequence[str], where: str) -> int:
    """The number of a column that was given by number or by name."""
    number = _number(column)
    if number is not None:
        return number
    for index, name in enumerate(header):
        if name.strip().lower() == str(column).strip().lower():
            return index
    key = where.rpartition(" ")[2]
    raise DataFormatError(
        f"{where}: no column {column!r} in the first row, {', '.join(header) or 'which is empty'}. Expected the name "
        f"of a column there, or a number from 0. Set {key} to one of them."
    )


def _number(column: int | str) -> int | None:
    try:
        return int(column)
    except ValueError:
        return None
