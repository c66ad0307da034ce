"""The entity schema shared by loaders, codecs, metric and reports: a label plus ordered segments of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Entity", "Example", "Segment", "entities_within", "merge_segments", "sort_entities"]


class Segment(NamedTuple):
    """One contiguous part of an entity: word offsets, ``end`` exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Entity:
    """A label and its segments, which ascend, are not empty and do not touch.

    >>> Entity.from_flat("ADR", [0, 2, 7, 8]).segments
    (Segment(start=0, end=2), Segment(start=7, end=8))
    """

    label: str
    segments: tuple[Segment, ...]

    @classmethod
    def from_flat(cls, label: str, offsets: Sequence[int]) -> Entity:
        """The entity of an ``entity_spans`` row ``[s1, e1, s2, e2, ...]``."""
        return cls(label, tuple(map(Segment, offsets[::2], offsets[1::2])))

    @property
    def flat(self) -> list[int]:
        """``[s1, e1, s2, e2, ...]``, as in the field ``entity_spans``."""
        return [offset for segment in self.segments for offset in segment]

    @property
    def start(self) -> int:
        """First word."""
        return self.segments[0].start

    @property
    def end(self) -> int:
        """One past the last word."""
        return self.segments[-1].end

    @property
    def is_discontinuous(self) -> bool:
        return len(self.segments) > 1

    def shifted(self, n_words: int) -> Entity:
        """The same entity, moved right by ``n_words`` words (left, if negative)."""
        if not n_words:
            return self
        return Entity(self.label, tuple([Segment(start + n_words, end + n_words) for start, end in self.segments]))

    def word_indices(self) -> list[int]:
        """Indices of all words of all segments, ascending."""
        return [index for start, end in self.segments for index in range(start, end)]

    def surface(self, words: Sequence[str]) -> list[str]:
        """The words of the entity, segments joined, as in the field ``entities``."""
        return [word for start, end in self.segments for word in words[start:end]]

    def surface_key(self, words: Sequence[str]) -> str:
        """The case-folded surface, which decides whether a mention was *seen* in training."""
        return " ".join(self.surface(words)).casefold()


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence, its gold entities and, if the format has one, its document number."""

    words: tuple[str, ...]
    entities: tuple[Entity, ...]
    document: int | None = None


def entities_within(entities: Sequence[Entity], start: int, end: int) -> list[Entity]:
    """The entities within the words ``start .. end - 1``, with offsets counted from ``start``."""
    return [entity.shifted(-start) for entity in entities if start <= entity.start and entity.end <= end]


def merge_segments(segments: Iterable[Sequence[int]]) -> tuple[Segment, ...]:
    """Sort segments and merge those that overlap or touch.

    >>> merge_segments([(7, 8), (0, 2), (2, 3)])
    (Segment(start=0, end=3), Segment(start=7, end=8))
    """
    merged: list[Segment] = []
    for start, end in sorted(segments):
        if merged and start <= merged[-1].end:
            merged[-1] = Segment(merged[-1].start, max(merged[-1].end, end))
        else:
            merged.append(Segment(start, end))
    return tuple(merged)


def sort_entities(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """Canonical target order: first start, then last end, then the segments, then the label.

    The first two keys are the reference's comparison; the others make the order independent of the file.
    """
    return tuple(sorted(entities, key=lambda e: (e.start, e.end, e.segments, e.label)))
