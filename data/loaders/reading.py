"""Shared by all loaders: options, the report of repairs, reading a text file unchanged, and checks of mentions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genner.data.schema import Entity, sort_entities
from genner.data.tally import Tally
from genner.data.utf8 import read_raw
from genner.errors import DataFormatError

__all__ = ["LoadReport", "LoaderOptions", "check_kind", "in_order", "is_usable", "open_lines", "read_lines"]

_FIELD = re.compile(r"[^ \t]+")
_BIO = re.compile(r"O|[BI]-.+")
_MENTIONS = re.compile(r"[0-9]+,[0-9]+(,[0-9]+,[0-9]+)*[ \t]+[^\s|]")
_KINDS = {
    "conll": "columns with a BIO tag at the end (loader 'conll', --kind flat)",
    "ontonotes": "the CoNLL-2012 layout (loader 'ontonotes')",
    "nested": "one JSON object per line (loader 'nested', --kind nested)",
    "discontinuous": "three lines per sentence (loader 'discontinuous', --kind discontinuous)",
}


@dataclass(frozen=True)
class LoaderOptions:
    """How files are read. Each loader uses the options of its format.

    Args:
        compat: read as the reference does: tags in lower case, duplicates kept, sentences cut and skipped likewise.
        max_words: nested: longer sentences are cut; None or 0: never.
        tag_column: flat: the column of the tag, from 0; negative counts from the end.
        word_column: flat: the column of the word.
    """

    compat: bool = False
    max_words: int | None = 150
    tag_column: int = -1
    word_column: int = 0


@dataclass
class LoadReport(Tally):
    """What a loader changed or left out in the file ``path``."""

    path: Path

    def add_line(self, reason: str, line: int) -> None:
        """Count ``reason`` once, at ``line`` (from 1)."""
        self.add(reason, f"{self.path.name}:{line}")

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
        _reject_lone_cr(path, lines)
    return lines


def split_fields(line: str) -> list[str]:
    """The fields of a line, separated by blanks and tabs only: other white space belongs to the words.

    >>> split_fields("10\\u00a0000 \\tB-QTY ")
    ['10\\xa0000', 'B-QTY']
    """
    return _FIELD.findall(line)


def check_kind(path: Path, lines: list[str], expected: str) -> None:
    """Raise :class:`DataFormatError` if the first lines are clearly in another format."""
    found = _guess_kind(lines)
    if found is not None and found != expected:
        raise DataFormatError(
            f"{path}: the file looks like {_KINDS[found]}. Expected {_KINDS[expected]}. Choose the other loader."
        )


def in_order(entities: Iterable[Entity], report: LoadReport, line: int, options: LoaderOptions) -> tuple[Entity, ...]:
    """Sort the entities of a sentence; exact duplicates are counted once (compat: kept, and the sort is stable)."""
    entities = list(entities)
    if options.compat:
        return tuple(sorted(entities, key=lambda entity: (entity.start, entity.end)))
    unique = dict.fromkeys(entities)
    for _ in range(len(entities) - len(unique)):
        report.add_line("duplicate mention, counted once", line)
    return sort_entities(unique)


def is_usable(pairs: Sequence[tuple[int, int]], n_words: int, report: LoadReport, line: int) -> bool:
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


def _reject_lone_cr(path: Path, lines: list[str]) -> None:
    for number, line in enumerate(lines, 1):
        if "\r" in line:
            raise DataFormatError(
                f"{path}:{number}: a carriage return inside a line: {line[:40]!r}. "
                "Expected lines that end in LF or CRLF. Convert the file, e.g. with mac2unix."
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
