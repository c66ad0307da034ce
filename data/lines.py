"""The lines of a stream, one in memory at a time; what is wrong with a line is told, and the others follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from genner.data.utf8 import guess_encoding

__all__ = ["LONGEST", "LineReader"]

LONGEST = 1 << 28  # bytes of a line or a text; longer ones are refused

_BOM = b"\xef\xbb\xbf"
_STAND_IN = "?"  # for a line that cannot be read; an empty one would end a block


class LineReader:
    """The lines of a stream without their ends, one in memory at a time; separated by LF only, as in the loaders.

    Of a line that cannot be read, the readable part is given; :meth:`problem` then says what is wrong.

    Args:
        stream: what is read.
        name: of the stream, in messages.
        lone_cr: whether a carriage return inside a line belongs to the text.
    """

    def __init__(self, stream: BinaryIO, name: str, *, lone_cr: bool = True) -> None:
        self._stream, self._name, self._lone_cr = stream, name, lone_cr
        self._problems: dict[int, str] = {}
        self._is_over = False

    def __iter__(self) -> Iterator[str]:
        number, offset = 0, 0
        while not self._is_over:
            number += 1
            try:
                raw = self._stream.readline(LONGEST + 1)
            except OSError as error:
                self._is_over = True
                self._refuse(number, f"cannot be read ({error.strerror}). Expected a text file. Check the disk.")
                yield _STAND_IN
                return
            if not raw:
                return
            if len(raw) > LONGEST and not raw.endswith(b"\n"):
                self._refuse(number, f"a line of more than {LONGEST:,} bytes. Expected shorter ones. Split it.")
                offset += self._skip_line()
                yield _STAND_IN
            else:
                yield self._decoded(raw, number, offset)
            offset += len(raw)

    def problem(self, first: int, last: int | None = None) -> str | None:
        """What is wrong with some lines, reported once; None if nothing is."""
        numbers = [number for number in self._problems if first <= number <= (first if last is None else last)]
        problems = [self._problems.pop(number) for number in numbers]
        return problems[0] if problems else None

    def _decoded(self, raw: bytes, number: int, offset: int) -> str:
        start = len(_BOM) if number == 1 and raw.startswith(_BOM) else 0
        try:
            text = raw[start:].decode("utf-8").removesuffix("\n").rstrip("\r")
        except UnicodeDecodeError as error:
            place = start + error.start
            self._guess(raw, number, place, f"byte 0x{raw[place]:02x} at offset {offset + place} is not UTF-8")
            return raw.decode("utf-8", "replace").removesuffix("\n").rstrip("\r")
        if "\0" in text:
            self._guess(raw, number, raw.index(0), "a NUL character")
        elif "\r" in text and not self._lone_cr:
            self._refuse(
                number,
                f"a carriage return inside a line: {text[:40]!r}. Expected lines that end in LF or CRLF. Convert the "
                "file, e.g. with mac2unix.",
            )
        return text

    def _guess(self, raw: bytes, number: int, place: int, what: str) -> None:
        """Refuse a line that is no UTF-8 text, with advice for what the file seems to be."""
        guess = guess_encoding(raw, place)
        self._is_over = number == 1 and not guess.of_lines  # the other lines would fail for the same reason
        self._refuse(number, f"{what}; the file seems to be {guess.what}. Expected UTF-8. {guess.advice(self._name)}")

    def _refuse(self, number: int, what: str) -> None:
        self._problems[number] = f"{self._name}:{number}: {what}"

    def _skip_line(self) -> int:
        """Read to the end of a line; returns the number of bytes."""
        n_bytes = 0
        while part := self._stream.readline(LONGEST):
            n_bytes += len(part)
            if part.endswith(b"\n"):
                break
        return n_bytes
