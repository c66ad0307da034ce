"""What goes into a recogniser and what comes out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from genner.data.schema import Entity, Example, Segment
from genner.evaluation.thresholds import LeastScores
from genner.prediction.entities import AnnotatedText, TextEntity, TextSegment
from genner.prediction.pictures import render

__all__ = ["TextEntity", "TextInput", "TextResult", "TextSegment", "place_entity", "words_joined"]


@dataclass(frozen=True, slots=True)
class TextInput:
    """A text to read.

    Attributes:
        text: all of it.
        id: its name in results and messages.
        words: character spans of its words; None: find them.
        sentences: word spans of its sentences, which cover all words; None: find them, or take given words as one.
        gold: known entities, for comparison; None if they are not known.
        error: why there is no text, such as an unreadable file; passed on to the result.
    """

    text: str
    id: str = ""
    words: tuple[Segment, ...] | None = None
    sentences: tuple[Segment, ...] | None = None
    gold: tuple[TextEntity, ...] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TextResult(AnnotatedText):
    """A text with the entities that were found; iterates over them.

    Attributes:
        n_left_out: how many more were found whose scores are too low.
    """

    n_left_out: int = 0

    def __iter__(self) -> Iterator[TextEntity]:
        return iter(self.entities)

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def raw_words(self) -> list[str]:
        """The words as strings."""
        return [self.text[start:end] for start, end in self.words]

    def at_least(self, least: LeastScores) -> TextResult:
        """The result without entities below some scores."""
        kept = tuple(entity for entity in self.entities if least.keeps(entity.type, entity.score))
        return replace(self, entities=kept, n_left_out=self.n_left_out + len(self.entities) - len(kept))

    def record(self) -> dict[str, Any]:
        """As plain values, for JSON; ``notes`` and ``error`` only if there are any."""
        record: dict[str, Any] = {"id": self.id, "text": self.text}
        record["entities"] = [entity.record() for entity in self.entities]
        if self.notes:
            record["notes"] = list(self.notes)
        if self.error is not None:
            record["error"] = self.error
        return record

    def _repr_html_(self) -> str:
        """The picture that a notebook shows."""
        return render(self)

    def examples(self) -> tuple[list[Example], list[TextEntity]]:
        """The sentences with their entities on words, and the entities that cross a sentence end."""
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
    """An entity on words as an entity in their text.

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
