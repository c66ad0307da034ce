"""What the readers of single files share: the file, its lines, known entities, and counts of what was changed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from genner.data.offsets import Mention
from genner.data.schema import Entity, Example, Segment, sort_entities
from genner.data.tally import Tally
from genner.data.text import mention_segments
from genner.data.utf8 import guess_encoding
from genner.prediction.results import TextInput, place_entity, words_joined
from genner.prediction.text import SplitText, TextSplitter

__all__ = ["LONGEST", "InputFile", "LineReader", "Reading", "example_input", "with_mentions"]

LONGEST = 1 << 28  # bytes of a line or a text; longer ones are refused

_BOM = b"\xef\xbb\xbf"
_STAND_IN = "?"  # for a line that cannot be read; an empty one would end a block


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to read.

    Attributes:
        path: None for standard input.
        id: prefix of the ids of its texts.
    """

    path: Path | None
    id: str

    @property
    def name(self) -> str:
        """Its name in messages."""
        return "standard input" if self.path is None else str(self.path)

    def open(self) -> contextlib.AbstractContextManager[BinaryIO]:
        """Its bytes; standard input is not closed afterwards."""
        return contextlib.nullcontext(sys.stdin.buffer) if self.path is None else self.path.open("rb")

    def failed(self, error: object, line: int | None = None) -> TextInput:
        """An input that cannot be read, at a line or as a whole."""
        return TextInput("", self.id if line is None else self.line_id(line), error=str(error))

    def line_id(self, line: int) -> str:
        """The id of the text that begins at a line.

        >>> InputFile(Path("notes.txt"), "notes").line_id(3)
        'notes:3'
        """
        return f"{self.id}:{line}"


@dataclass
class Reading:
    """What the readers of all files share.

    Attributes:
        split: finds words and sentences; None: spaCy's rules for English.
        tally: what was repaired or left out.
    """

    split: Callable[[str], SplitText] | None = None
    tally: Tally = field(default_factory=Tally)

    def words_of(self, text: str) -> SplitText:
        """Words and sentences of a text."""
        if self.split is None:
            self.split = TextSplitter().split
        return self.split(text)


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


def example_input(examples: Sequence[Example], name: str) -> TextInput:
    """The sentences of a document as one input with id ``name``: words joined by blanks."""
    sentences, entities, words = [], [], []
    for example in examples:
        start = len(words)
        words += example.words
        sentences.append(Segment(start, len(words)))
        entities += [entity.shifted(start) for entity in example.entities]
    given = words_joined(words, id=name, sentences=tuple(sentences))
    return replace(given, gold=tuple(place_entity(entity, given.text, given.words) for entity in entities))


def with_mentions(given: TextInput, mentions: Sequence[Mention], reading: Reading) -> TextInput:
    """An input with annotations on characters as its gold entities; they are widened to whole words.

    Args:
        given: its words are found if it has none.
        mentions: the annotations.
        reading: counts what was changed or left out.
    """
    if given.words is None:
        words, sentences = reading.words_of(given.text)
        given = replace(given, words=words, sentences=sentences)
    found: dict[Entity, None] = {}
    for mention in mentions:
        if max(end for _, end in mention.fragments) > len(given.text):
            reading.tally.add("annotation that ends after its text, dropped", mention.place)
            continue
        segments = mention_segments(mention, given.words, reading.tally)
        entity = Entity(mention.label, segments)
        if segments and entity in found:
            reading.tally.add("duplicate annotation, counted once", mention.place)
        elif segments:
            found[entity] = None
    return replace(given, gold=tuple(place_entity(one, given.text, given.words) for one in sort_entities(found)))
