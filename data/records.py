"""JSON records out of a stream, in every layout in which tools write them.

One object per line, one list over one line or several, objects over several lines one after another, and mixtures:
values are told apart by their brackets, so that a broken one is one problem and the others are read. JSON texts hold no
line end, so a text that is not closed ends with its line. Memory holds one record; a list is never built as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from reprlib import Repr
from typing import Any, BinaryIO

from genner.data.lines import LineReader
from genner.data.tally import Tally
from genner.data.utf8 import is_writable
from genner.errors import DataFormatError

__all__ = ["JsonRecord", "check_text", "check_words", "known_id", "read_json", "shown"]

LONGEST = 1 << 26  # characters of a record; what Python makes of them may take twenty times as much memory

_EXPECTED = "Expected JSON objects: one per line, one after another, or in a list."
_TOO_LONG = f"more than {LONGEST:,} characters"
_GAP = re.compile(r"[ \t\r,\ufeff]*+")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+("?)|[{}\[\]]')
_BAD = re.compile("\ufffd")  # what stands for bytes that are not UTF-8
_START = re.compile(r"[{\[]")
_ID = re.compile(r'[\s,]*+:\s*+("(?:[^"\\]|\\.)*+"|-?\d{1,99}+(?![\d.eE]))')


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """A record, or what is known of one that is broken.

    Attributes:
        line: at which it begins, from 1.
        number: among the records that begin there, from 1.
        value: what it is in Python; duplicate keys are a problem, NaN and Infinity are None and counted.
        problem: an error message if it is broken.
        id: the ``id`` of a broken one, if it can be read.
    """

    line: int
    number: int = 1
    value: Any = None
    problem: str | None = None
    id: str = ""

    @property
    def place(self) -> str:
        """Its line, and its number there if it is not the first.

        >>> JsonRecord(3).place, JsonRecord(3, 2).place
        ('3', '3.2')
        """
        return f"{self.line}" if self.number == 1 else f"{self.line}.{self.number}"


def read_json(stream: BinaryIO, name: str, tally: Tally) -> Iterator[JsonRecord]:
    """The records of a stream, in order.

    A stream whose first two lines are no JSON is one record with a problem, and nothing more of it is read.

    Args:
        stream: UTF-8, with or without a byte order mark.
        name: of the stream, in messages.
        tally: counts what is repaired.
    """
    yield from _Reader(LineReader(stream, name), name, tally).records()


class _Reader:
    """Splits lines into records; see :func:`read_json`."""

    def __init__(self, lines: LineReader, name: str, tally: Tally) -> None:
        self._lines, self._name, self._tally = lines, name, tally
        self._decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=self._constant)
        self._line, self._number = 0, 0  # of the line; records that began in it
        self._open: _Open | None = None  # the record that goes on in the next line
        self._n_lists, self._list_line = 0, 0  # lists that the next record is in; where the outermost begins
        self._bracket: int | None = None  # line of a '[' of which the next sign says whether it begins a record
        self._junk: list[JsonRecord] = []  # of lines before the first record, which are no JSON
        self._has_begun = False

    def records(self) -> Iterator[JsonRecord]:
        for text in self._lines:
            self._line, self._number = self._line + 1, 0
            yield from self._records_of(text, self._lines.problem(self._line))
            if len(self._junk) > 1:
                yield self._no_json(self._junk[0])
                return
        yield from self._end()

    def _records_of(self, text: str, problem: str | None) -> Iterator[JsonRecord]:
        """The records that end in a line."""
        if self._open is None and problem is None and text.startswith("{"):
            found = self._decoded(text.rstrip(" \t\r").removesuffix(","))
            if found is not None:
                yield from self._begin()
                yield found
                return
        if self._open is not None and self._open.is_left_by(text):
            yield from self._abandoned("a bracket or quotation mark is not closed")
        at = 0
        if problem is not None and ("\0" in text or not _BAD.search(text)):  # nothing of the line can be read
            if self._open is None:
                yield from self._begin()
                yield JsonRecord(self._line, self._next_number(), problem=problem)
            else:
                self._open.take("?", 0, problem)
            return
        while at < len(text):
            if self._open is None:
                at = _GAP.match(text, at).end()
                if at < len(text):
                    at = yield from self._outside(text, at, problem)
                continue
            at = self._open.take(text, at, problem)
            if self._open.is_closed:
                found, self._open = self._open, None
                yield self._finished(found)
            elif self._open.n_chars > LONGEST:
                yield from self._abandoned(_TOO_LONG)

    def _outside(self, text: str, at: int, problem: str | None) -> Iterator[JsonRecord]:
        """Go on at a place outside all records; returns where to go on next."""
        char = text[at]
        if char == "[" or char in "{]":
            if self._bracket is not None:  # it was that of a list of records
                self._list_line = self._list_line if self._n_lists else self._bracket
                self._n_lists, self._bracket = self._n_lists + 1, None
            if char == "]" and self._n_lists:
                self._n_lists -= 1
                return at + 1
            behind = _GAP.match(text, at + 1).end()
            if char == "[" and not self._n_lists and (behind == len(text) or text[behind] in "{[]"):
                self._bracket = self._line
                return at + 1
            if char != "]":
                yield from self._begin()
                self._open = _Open(self._line, self._next_number(), at)
                return at
        elif self._bracket is not None:  # as in a list of a text and its entities
            yield from self._begin()
            self._open = _Open(self._bracket, self._next_number(), 0)
            self._bracket = None
            self._open.take("[", 0, problem)
            return at
        following = _START.search(text, at + 1)
        end = following.start() if following else len(text)
        where = f"{self._name}:{self._line}"
        if problem is None or _BAD.search(text, at, end) is None:
            problem = f"{where}: not JSON objects: {text[at:end][:40]!r}. {_EXPECTED} Remove or correct it."
        junk = JsonRecord(self._line, self._next_number(), problem=problem)
        if self._has_begun:
            yield junk
        elif not self._junk or self._junk[-1].line != self._line:
            self._junk.append(junk)
        return end

    def _begin(self) -> Iterator[JsonRecord]:
        """A record begins; a line before it that was no JSON is a problem of its own."""
        yield from self._junk
        self._junk = []
        self._has_begun = True

    def _finished(self, found: _Open) -> JsonRecord:
        if found.problem is None and found.n_chars <= LONGEST:
            return self._decoded(found.text(), found)
        return self._broken(found, _TOO_LONG)

    def _decoded(self, text: str, found: _Open | None = None) -> JsonRecord | None:
        """A record of a whole text; None if it is broken and nothing is known about where it ends."""
        line, number = (self._line, self._number + 1) if found is None else (found.line, found.number)
        if len(text) > LONGEST:
            return None
        try:
            record = JsonRecord(line, number, self._decoder.decode(text))
        except _TwiceError as error:
            problem = (
                f"{self._name}:{line}: the key {error.key!r:.60} is twice in an object, with different values. "
                "Expected every key once. Remove one of the two."
            )
            record = JsonRecord(line, number, problem=problem, id=_find_id(text))
        except (ValueError, RecursionError) as error:
            return None if found is None else self._broken(found, _reason(error, found))
        self._number = max(self._number, number)
        return record

    def _broken(self, found: _Open, why: str) -> JsonRecord:
        text = found.text()
        problem = found.problem or (
            f"{self._name}:{found.line}: not JSON ({why}) in {text[:40]!r}. {_EXPECTED} Correct it there."
        )
        return JsonRecord(found.line, found.number, problem=problem, id=_find_id(text))

    def _abandoned(self, why: str) -> Iterator[JsonRecord]:
        """The open record is broken; lines of it that are objects of their own are records."""
        found, self._open = self._open, None
        yield self._broken(found, why)
        line, number = self._line, self._number
        for before, text in enumerate(found.lines[1:], found.line):
            self._line, self._number = before + 1, 0
            record = self._decoded(text.rstrip(" \t\r").removesuffix(",")) if text.startswith("{") else None
            if record is not None:
                yield record
        self._line, self._number = line, number

    def _no_json(self, first: JsonRecord) -> JsonRecord:
        return replace(first, problem=f"{first.problem} If the file is of another format, name it.")

    def _end(self) -> Iterator[JsonRecord]:
        if self._open is not None:
            yield from self._abandoned("it has no end; the file seems to be cut off")
            return
        yield from self._junk
        begun = self._list_line if self._n_lists else self._bracket
        if begun is not None:
            problem = (
                f"{self._name}:{self._line}: the file ends inside the list that begins in line {begun}. Expected ']'. "
                "It seems to be cut off: get the whole file, or end the list."
            )
            yield JsonRecord(self._line, self._number + 1, problem=problem)

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _constant(self, name: str) -> None:
        self._tally.add("NaN or Infinity, which JSON does not have, read as null", f"{self._name}:{self._line}")


class _Open:
    """A record whose end was not seen yet."""

    def __init__(self, line: int, number: int, indent: int) -> None:
        self.line, self.number = line, number
        self.lines: list[str] = []
        self.n_chars = 0
        self.problem: str | None = None
        self.is_closed = False
        self.indent = indent
        self._stack, self._n_braces = bytearray(), 0  # brackets that are open
        self._last = ""  # the last sign that is no white space; none behind a text without an end

    def take(self, text: str, at: int, problem: str | None) -> int:
        """Take a line from a place on; returns the end of the record, or of the line."""
        end, is_whole = self._scan(text, at)
        self.lines.append(text[at:end])
        self.n_chars += end - at
        if problem is not None and self.problem is None and (text == "?" or _BAD.search(text, at, end)):
            self.problem = problem
        self._last = (text[at:end].rstrip()[-1:] or self._last) if is_whole else ""
        return end

    def text(self) -> str:
        """All of it so far."""
        return "\n".join(self.lines)

    def is_left_by(self, text: str) -> bool:
        """Whether a line begins the next record although this one is not closed: no object may stand here."""
        plain = text.lstrip(" \t")
        if not plain.startswith("{") or len(text) - len(plain) > self.indent:
            return False
        may_follow = self._last and (self._last in "[:" or (self._last == "," and self._stack.endswith(b"[")))
        return not may_follow

    def _scan(self, text: str, at: int) -> tuple[int, bool]:
        """The end of the record or of the line, and whether no text is left open there."""
        is_whole = True
        for token in _TOKEN.finditer(text, at):
            char = text[token.start()]
            if char == '"':
                is_whole = bool(token[1])
            elif char in "{[":
                self._stack.append(ord(char))
                self._n_braces += char == "{"
            elif self._closes(char == "}"):
                return token.end(), True
        return len(text), is_whole

    def _closes(self, is_brace: bool) -> bool:
        """Close a bracket, and those inside it that were left open; says whether it was the last."""
        if self._n_braces if is_brace else len(self._stack) > self._n_braces:
            found = None
            while found is not is_brace:
                found = self._stack.pop() == ord("{")
                self._n_braces -= found
        self.is_closed = not self._stack
        return self.is_closed


class _TwiceError(ValueError):
    """A key is twice in an object."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        for key, one in pairs:
            if value[key] != one:
                raise _TwiceError(key)
    return value


def _reason(error: Exception, found: _Open) -> str:
    if isinstance(error, json.JSONDecodeError):
        column = error.colno + (found.indent if error.lineno == 1 else 0)
        return f"{error.msg.removesuffix(' at')} at line {found.line + error.lineno - 1}, column {column}"
    return "brackets too deep" if isinstance(error, RecursionError) else str(error)


def _find_id(text: str) -> str:
    """The id of a broken record, if it stands in its outermost object before what is broken."""
    depth = 0
    for token in _TOKEN.finditer(text, 0, 1 << 20):
        char = text[token.start()]
        depth += (char in "{[") - (char in "}]")
        if depth == 1 and token.group() == '"id"' and (match := _ID.match(text, token.end())):
            try:
                return known_id(json.loads(match[1]))
            except ValueError:
                return ""
    return ""


def known_id(value: object) -> str:
    """An id as text; empty if it is none, or cannot be written.

    >>> known_id(7), known_id("a"), known_id(None), known_id(True)
    ('7', 'a', '', '')
    """
    is_id = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if is_id and is_writable(str(value)) else ""


_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 48, 48, 48
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxtuple = 4


def shown(value: object) -> str:
    """A value in a message: short, whatever its size and depth.

    >>> shown(["word"] * 1000), len(shown("a" * 1000))
    ("['word', 'word', 'word', 'word', ...]", 48)
    """
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_words(sentence: object, where: str) -> tuple[str, ...]:
    """The words of a sentence from JSON.

    Raises:
        DataFormatError: it is not a list of non-empty strings; names ``where``.
    """
    if not isinstance(sentence, list):
        raise DataFormatError(f"{where}: sentence {shown(sentence)}. Expected a list of words. Split it into words.")
    for index, word in enumerate(sentence):
        if not isinstance(word, str) or not word:
            raise DataFormatError(
                f"{where}: word {index} of a sentence is {shown(word)}. Expected text that is not empty. Put a "
                "placeholder there: leaving the word out would shift the mentions."
            )
        check_text(word, where)
    return tuple(sentence)


def check_text(text: str, where: str) -> None:
    """Raise :class:`DataFormatError`, which names ``where``, for text that UTF-8 cannot represent."""
    if not is_writable(text):
        raise DataFormatError(
            f"{where}: {text!r:.40} contains a lone surrogate, which cannot be written as UTF-8. Expected whole "
            "characters. Fix the text that was cut inside an emoji."
        )
