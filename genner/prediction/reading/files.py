"""What the readers of single files share: the file, its lines, known entities, and counts of what was changed."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from genner.data.lines import LONGEST
from genner.data.offsets import Mention
from genner.data.schema import Entity, Example, Segment, sort_entities
from genner.data.tally import Tally
from genner.data.text import mention_segments
from genner.prediction.results import TextInput, place_entity, words_joined
from genner.prediction.text import SplitText, TextSplitter

__all__ = ["LONGEST", "InputFile", "Reading", "example_input", "with_mentions"]

_N_FIRST = 1 << 12  # bytes that show what a file is


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

    def start(self) -> bytes:
        """Some of its first bytes, which are still read afterwards."""
        if self.path is None:
            return _look_ahead(sys.stdin.buffer)
        with self.path.open("rb") as stream:
            return stream.read(_N_FIRST)

    def failed(self, error: object, line: int | str | None = None) -> TextInput:
        """An input that cannot be read, at a line or as a whole."""
        return TextInput("", self.id if line is None else self.line_id(line), error=str(error))

    def line_id(self, line: int | str) -> str:
        """The id of the text that begins at a line; of several records in it, ``line.number``.

        >>> InputFile(Path("notes.txt"), "notes").line_id(3)
        'notes:3'
        """
        return f"{self.id}:{line}"


def _look_ahead(stream: BinaryIO) -> bytes:
    """Some of the next bytes of a stream; none of one that cannot look ahead."""
    if isinstance(stream, io.BufferedReader):
        return stream.peek(_N_FIRST)
    if not stream.seekable():
        return b""
    place = stream.tell()
    start = stream.read(_N_FIRST)
    stream.seek(place)
    return start


@dataclass
class Reading:
    """What the readers of all files share.

    Attributes:
        split: finds words and sentences; None: spaCy's rules for English.
        tally: what was repaired or left out.
        max_chars: longer texts will be refused, so that their annotations need no words; None: no limit.
    """

    split: Callable[[str], SplitText] | None = None
    tally: Tally = field(default_factory=Tally)
    max_chars: int | None = None

    def refuses(self, text: str) -> bool:
        """Whether a text is too long."""
        return self.max_chars is not None and len(text) > self.max_chars

    def words_of(self, text: str) -> SplitText:
        """Words and sentences of a text."""
        if self.split is None:
            self.split = TextSplitter().split
        return self.split(text)


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
    if reading.refuses(given.text):
        return given
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
