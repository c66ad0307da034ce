"""Entities with their places in a text, and a text that has some."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from genner.data.schema import Entity, Segment

__all__ = ["AnnotatedText", "TextEntity", "TextSegment"]


class TextSegment(NamedTuple):
    """One contiguous part of an entity: characters ``start .. end - 1`` of its text, words likewise.

    ``text[start:end]`` is the surface, whatever white space lies between its words.
    """

    text: str
    start: int
    end: int
    word_start: int
    word_end: int


@dataclass(frozen=True, slots=True)
class TextEntity:
    """An entity in a text.

    Attributes:
        type: its label.
        segments: one, or several for a discontinuous entity, ascending.
        score: from 0 to 1, higher is more certain; 1 for gold entities.
    """

    type: str
    segments: tuple[TextSegment, ...]
    score: float = 1.0

    @property
    def text(self) -> str:
        """The surface; segments are joined by a blank."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def start(self) -> int:
        """First character."""
        return self.segments[0].start

    @property
    def end(self) -> int:
        """One past the last character."""
        return self.segments[-1].end

    @property
    def is_discontinuous(self) -> bool:
        return len(self.segments) > 1

    @property
    def reading_order(self) -> tuple[int, int, tuple[TextSegment, ...], str]:
        """Sorts by place; of those that begin together the longer comes first, so that it lies around the other."""
        return self.start, -self.end, self.segments, self.type

    @property
    def words(self) -> Entity:
        """The same entity on the words of its text, as in corpora and metrics."""
        return Entity(self.type, tuple(Segment(part.word_start, part.word_end) for part in self.segments))

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        segments = [
            {"text": part.text, "start": part.start, "end": part.end, "words": [part.word_start, part.word_end]}
            for part in self.segments
        ]
        return {"type": self.type, "text": self.text, "score": round(self.score, 6), "segments": segments}


@dataclass(frozen=True, slots=True)
class AnnotatedText:
    """A text with entities, the base of :class:`genner.prediction.results.TextResult`.

    Attributes:
        id, text: of the input.
        words: character spans of the words; sentences: word spans of the sentences.
        entities: in reading order.
        notes: remarks for readers, such as words too long for a window.
        error: why the text was not read; then there are no entities.
        gold: known entities; None if they are not known.
        labels: all types of the model, in its order, which decides the colours in pictures.
    """

    text: str
    id: str = ""
    words: tuple[Segment, ...] = ()
    sentences: tuple[Segment, ...] = ()
    entities: tuple[TextEntity, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    gold: tuple[TextEntity, ...] | None = None
    labels: tuple[str, ...] = field(default=(), compare=False, repr=False)
