"""Shared by all loaders: options, the report of repairs, reading a text file unchanged, and checks of mentions."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from genner.data.lines import LineReader
from genner.data.schema import Entity, sort_entities
from genner.data.tally import Tally
from genner.data.utf8 import read_raw, without_edge_signs
from genner.errors import DataFormatError

__all__ = [
    "LoadReport", "LoaderOptions", "check_kind", "clean_word", "in_order", "is_usable", "opened",
]  # fmt: skip

_FIELD = re.compile(r"[^ \t]+")
_BIO = re.compile(r"O|[BIESMLUW]-.+")
_MENTIONS = re.compile(r"[0-9]+,[0-9]+(,[0-9]+,[0-9]+)*[ \t]+[^\s|]")
# What a format looks like, and how it is chosen in training.
_KINDS = {
    "conll": ("columns with a BIO tag at the end", "--kind flat"),
    "ontonotes": ("the CoNLL-2012 layout", "data.loader=ontonotes"),
    "nested": ("one JSON object per line", "--kind nested"),
    "discontinuous": ("three lines per sentence", "--kind discontinuous"),
}


@dataclass(frozen=True)
class LoaderOptions:
    """How files are read. Each loader uses the options of its format.

    Args:
        compat: read as the reference does: tags in lower case, duplicates kept, sentences cut and skipped likewise.
        max_words: nested: longer sentences are cut; None or 0: never.
        tag_column: flat: the column of the tag, from 0 (negative counts from the end), or its name in the first row.
        word_column: flat: the column of the word.
        sentence_column: flat: the column whose change starts a sentence; None: empty lines end sentences.
        delimiter: flat: what parts the columns, such as ``tab`` or ``,``; None: blanks and tabs, or what CSV has.
        scheme: flat: of the tags, see :data:`genner.data.schemes.SCHEMES`.
        comments: flat: ``always``, ``never`` or ``auto``: which lines that begin with ``#`` are comments.
        is_training: whether a recipe says how to read; messages then name its keys.
    """

    compat: bool = False
    max_words: int | None = 150
    tag_column: int | str = -1
    word_column: int | str = 0
    sentence_column: int | str | None = None
    delimiter: str | None = None
    scheme: str = "auto"
    comments: str = "auto"
    is_training: bool = True

    def advice(self, training: str, otherwise: str) -> str:
        """The last sentence of a message: for who has a recipe, or for who predicts."""
        return training if self.is_training else otherwise


@dataclass
class LoadReport(Tally):
    """What a loader changed or left out in the file ``path``.

    Attributes:
        is_labelled: whether the file says what the entities are.
    """

    path: Path
    is_labelled: bool = True

    def add_line(self, reason: str, line: int | str) -> None:
        """Count ``reason`` once, at ``line`` (from 1; of several records in it, ``line.number``)."""
        self.add(reason, f"{self.path.name}:{line}")

    def where(self, line: int | str) -> str:
        """A line in an error message."""
        return f"{self.path}:{line}"

    def lines(self) -> list[str]:
        """One line of text per reason, the most frequent first."""
        return [f"{self.path.name}: {line}" for line in super().lines()]


def open_lines(path: Path, kind: str) -> tuple[list[str], LoadReport]:
    """The lines of a file in the format ``kind``, see :func:`read_lines` and :func:`check_kind`, and its report."""
    path = Path(path)
    lines = read_lines(path)
    check_kind(path, lines, kind)
    return lines, LoadReport(path)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file without their ends (LF or CRLF) and without a byte order mark; nothing else changes.

    Only LF ends lines: U+2028, U+0085 and the like occur inside words. The empty text after a final line end is not a
    line.

    Raises:
        DataFormatError: the file cannot be opened, is not UTF-8, or holds NUL bytes or lone carriage returns.
    """
    text = read_raw(path)
    lines = [line.rstrip("\r") for line in text.split("\n")] if "\r" in text else text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if "\r" in text:
        _reject_lone_cr(path, lines, has_ends="\n" in text)
    return lines


def split_fields(line: str) -> list[str]:
    """The fields of a line, separated by blanks and tabs only: other white space belongs to the words.

    >>> split_fields("10\\u00a0000 \\tB-QTY ")
    ['10\\xa0000', 'B-QTY']
    """
    return _FIELD.findall(line)


def check_kind(path: Path, lines: list[str], expected: str, *, is_training: bool = True) -> None:
    """Raise :class:`DataFormatError` if the first lines are clearly in another format."""
    found = _guess_kind(lines)
    if found is None or found == expected:
        return
    looks, choice = _KINDS[found]
    if not is_training:
        choice = f"--format {found}" if found != "ontonotes" else "a file with a word and a BIO tag per line"
    raise DataFormatError(f"{path}: the file looks like {looks}. Expected {_KINDS[expected][0]}. Give {choice}.")


def clean_word(word: str, report: LoadReport, line: int) -> str:
    """The word without signs of no width at its edges, which is counted, see :func:`without_edge_signs`."""
    clean = without_edge_signs(word)
    if clean != word:
        alone = "word of signs of no width alone, read as _"
        report.add_line(alone if clean == "_" else "signs of no width at the edge of a word, removed", line)
    return clean


def check_start(path: Path, expected: str, *, is_training: bool = True) -> None:
    """:func:`check_kind` of the first lines of a file."""
    with opened(path) as stream:
        lines = LineReader(stream, str(path))
        first = [line for line in islice(lines, 100) if line.strip(" \t")][:2]
    check_kind(path, first, expected, is_training=is_training)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to read, as bytes.

    Raises:
        DataFormatError: it cannot be opened or read.
    """
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise DataFormatError(
            f"{path}: cannot be read ({error.strerror}). Expected a text file. Check its name and its permissions."
        ) from None


def in_order(
    entities: Iterable[Entity], report: LoadReport, line: int | str, options: LoaderOptions
) -> tuple[Entity, ...]:
    """Sort the entities of a sentence; exact duplicates are counted once (compat: kept, and the sort is stable)."""
    entities = list(entities)
    if options.compat:
        return tuple(sorted(entities, key=lambda entity: (entity.start, entity.end)))
    unique = dict.fromkeys(entities)
    for _ in range(len(entities) - len(unique)):
        report.add_line("duplicate mention, counted once", line)
    return sort_entities(unique)


def is_usable(pairs: Sequence[tuple[int, int]], n_words: int, report: LoadReport, line: int | str) -> bool:
    """Whether the parts ``(start, inclusive end)`` of a mention lie in the sentence; if not, it is dropped and counted.

    Offsets that indicate a wrong reading of the whole file are errors: an end of exactly ``n_words`` (exclusive ends)
    and a mention entirely after the sentence (offsets counted from the start of the document). A mention that only
    ends after it, as in a truncated sentence, is dropped: clipping it would invent another one.

    Raises:
        DataFormatError: see above.
    """
    if any(end < start for start, end in pairs):
        report.add_line("mention whose end is before its start, dropped", line)
        return False
    first, last = min(start for start, _ in pairs), max(end for _, end in pairs)
    if last == n_words:
        raise DataFormatError(
            f"{report.path}:{line}: mention {first}..{last} in a sentence of {n_words} words. Expected the index of "
            f"the last word, at most {n_words - 1}. Subtract 1 if the ends of this file are exclusive."
        )
    if first >= n_words:
        raise DataFormatError(
            f"{report.path}:{line}: mention {first}..{last} starts after the end of a sentence of {n_words} "
            "words. Expected offsets from the start of the sentence. Subtract the sentence's offset if they count from "
            "the start of the document."
        )
    if last > n_words:
        report.add_line("mention that ends after its sentence, dropped", line)
        return False
    return True


def _reject_lone_cr(path: Path, lines: list[str], *, has_ends: bool) -> None:
    name, new = shlex.quote(str(path)), shlex.quote(f"{path}.new")
    command = f"Run: tr '\\r' '\\n' < {name} > {new} && mv {new} {name}"
    advice = "Remove it, or replace it by a blank." if has_ends else command
    for number, line in enumerate(lines, 1):
        if "\r" in line:
            raise DataFormatError(
                f"{path}:{number}: a carriage return inside a line: {line[:40]!r}. "
                f"Expected lines that end in LF or CRLF. {advice}"
            )


def _guess_kind(lines: list[str]) -> str | None:
    """The format of the first lines if it is unmistakable, else None."""
    number = next((number for number, line in enumerate(lines) if line.strip(" \t")), None)
    if number is None:
        return None
    first, second = lines[number], lines[number + 1] if number + 1 < len(lines) else ""
    if _is_json_object(first):
        return "nested"
    if first.startswith("#begin document"):
        return "ontonotes"
    first_has_tag = _BIO.fullmatch((split_fields(first) or [""])[-1]) is not None
    if _MENTIONS.match(second):
        return None if first_has_tag else "discontinuous"
    fields = split_fields(second)
    if first_has_tag and len(fields) > 1 and _BIO.fullmatch(fields[-1]):
        return "conll"
    return None


def _is_json_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
