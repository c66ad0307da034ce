"""What goes into a recogniser and what comes out: texts, and entities with their places in them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from genner.data.schema import Entity, Example, Segment

__all__ = ["TextEntity", "TextInput", "TextResult", "TextSegment", "place_entity", "words_joined"]


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
        score: from 0 to 1, the surer the larger; 1 for gold entities.
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
    def words(self) -> Entity:
        """The same entity on the words of its text, as loaders and metric have it."""
        return Entity(self.type, tuple(Segment(part.word_start, part.word_end) for part in self.segments))

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        segments = [
            {"text": part.text, "start": part.start, "end": part.end, "words": [part.word_start, part.word_end]}
            for part in self.segments
        ]
        return {"type": self.type, "text": self.text, "score": round(self.score, 6), "segments": segments}


@dataclass(frozen=True, slots=True)
class TextInput:
    """A text to be read.

    Attributes:
        text: all of it.
        id: names it in results and messages.
        words: character spans of its words; None: they are to be found.
        sentences: word spans of its sentences, which cover all words; None: they are to be found, or the words are one.
        gold: entities that are known, for comparison; None where nothing is known.
        error: why there is no text to be read, such as a file that cannot be; it is handed on to the result.
    """

    text: str
    id: str = ""
    words: tuple[Segment, ...] | None = None
    sentences: tuple[Segment, ...] | None = None
    gold: tuple[TextEntity, ...] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TextResult:
    """A text with the entities that were found; iterates over them.

    Attributes:
        id, text: of the input.
        words: character spans of the words; sentences: word spans of the sentences.
        entities: in reading order.
        notes: what a reader should know, such as words that no window could hold.
        error: why the text was not read; then there are no entities.
        gold: of the input.
        labels: types that there might have been, in the order of the model; pictures take their colours from it.
    """

    text: str
    id: str = ""
    words: tuple[Segment, ...] = ()
    sentences: tuple[Segment, ...] = ()
    entities: tuple[TextEntity, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    gold: tuple[TextEntity, ...] | None = field(default=None)
    labels: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __iter__(self) -> Iterator[TextEntity]:
        return iter(self.entities)

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def raw_words(self) -> list[str]:
        """The words as strings."""
        return [self.text[start:end] for start, end in self.words]

    def at_least(self, score: float) -> TextResult:
        """Without the entities below a score."""
        return replace(self, entities=tuple(entity for entity in self.entities if entity.score >= score))

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON; ``notes`` and ``error`` only where there are any."""
        record: dict[str, Any] = {"id": self.id, "text": self.text}
        record["entities"] = [entity.record() for entity in self.entities]
        if self.notes:
            record["notes"] = list(self.notes)
        if self.error is not None:
            record["error"] = self.error
        return record

    def _repr_html_(self) -> str:
        """The picture that a notebook shows."""
        from genner.prediction.pictures import render  # drawn from this module's types, so not before they are there

        return render(self)

    def examples(self) -> tuple[list[Example], list[TextEntity]]:
        """The sentences with their entities on words, and the entities that reach over a sentence end and have none."""
        words = self.raw_words
        starts = [start for start, _ in self.sentences]
        rows: list[list[Entity]] = [[] for _ in starts]
        crossing = []
        for found in self.entities:
            entity = found.words
            row = bisect_right(starts, entity.start) - 1
            if entity.end > self.sentences[row].end:
                crossing.append(found)
                continue
            rows[row].append(entity.shifted(-starts[row]))
        pairs = zip(self.sentences, rows, strict=True)
        return [Example(tuple(words[start:end]), tuple(row)) for (start, end), row in pairs], crossing


def place_entity(entity: Entity, text: str, words: Sequence[Segment], score: float = 1.0) -> TextEntity:
    """An entity on words as one in their text.

    Args:
        entity: counts words from the first of ``words``.
        text: what the words are in.
        words: their character spans.
        score: from 0 to 1.
    """
    segments = []
    for start, end in entity.segments:
        first, last = words[start].start, words[end - 1].end
        segments.append(TextSegment(text[first:last], first, last, start, end))
    return TextEntity(entity.label, tuple(segments), score)


def words_joined(words: Iterable[str], **about: Any) -> TextInput:
    """The input for words that are given: joined by blanks, as one sentence unless ``about`` says otherwise.

    >>> words_joined(["Zoë", "ran"]).words
    (Segment(start=0, end=3), Segment(start=4, end=7))
    """
    words = list(words)
    spans, start = [], 0
    for word in words:
        spans.append(Segment(start, start + len(word)))
        start += len(word) + 1
    return TextInput(" ".join(words), **{"words": tuple(spans), **about})
