"""What is drawn: entities, compared with gold where there is any, each on a lane."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genner.data.schema import Entity
from genner.errors import DataFormatError
from genner.evaluation.errors_table import classify_errors
from genner.prediction.entities import AnnotatedText, TextEntity

__all__ = ["RIGHT", "SIGNS", "Judged", "Mark", "Mistake", "judge", "lanes"]

RIGHT = "right"
#: The sign before the name of a kind of mistake; the kinds are those of :mod:`genner.evaluation.errors_table`.
SIGNS = {
    RIGHT: "✓",
    "type": "≠",
    "fragment missing": "↔",
    "gap filled": "↔",
    "boundary": "↔",
    "boundary+type": "↔≠",
    "missed": "−",
    "spurious": "+",
}


class Mark(NamedTuple):
    """An entity to draw; ``kind`` is ``right`` or a kind of mistake, empty where nothing is compared."""

    entity: TextEntity
    kind: str = ""


class Mistake(NamedTuple):
    """A wrong prediction, a gold entity that was not found, or both where they belong together."""

    kind: str
    gold: TextEntity | None
    predicted: TextEntity | None


@dataclass(frozen=True)
class Judged:
    """The entities of a text in reading order; ``gold`` is None where nothing is compared."""

    predicted: list[Mark]
    gold: list[Mark] | None = None
    mistakes: Sequence[Mistake] = ()

    @property
    def marks(self) -> list[Mark]:
        """All that is drawn."""
        return [*(self.gold or ()), *self.predicted]


def judge(result: AnnotatedText, gold: Collection[TextEntity] | None) -> Judged:
    """Compare what was found with gold, on words, as the reports do.

    Raises:
        DataFormatError: an entity does not lie in the text.
    """
    if gold is None:
        drawn = {(entity.type, entity.segments): entity for entity in reversed(_checked(result, result.entities))}
        return Judged([Mark(entity) for entity in sorted(drawn.values(), key=lambda entity: entity.reading_order)])
    found = {entity.words: entity for entity in reversed(_checked(result, result.entities))}
    true = {entity.words: entity for entity in reversed(_checked(result, gold))}
    errors = classify_errors(true.keys(), found.keys())
    mistakes = [Mistake(kind, true.get(right), found.get(wrong)) for kind, right, wrong in errors]
    mistakes.sort(key=lambda mistake: (mistake.gold or mistake.predicted).reading_order)
    return Judged(
        _marks(found, {wrong: kind for kind, _, wrong in errors}),
        _marks(true, {right: kind for kind, right, _ in errors}),
        mistakes,
    )


def lanes(entities: Sequence[TextEntity], rooms: Sequence[float]) -> list[int]:
    """For every entity the first free lane, 0 for the uppermost.

    Args:
        entities: in reading order.
        rooms: how many characters of text their labels need. Where several lanes are needed anyway, an entity does not
            begin on the lane of a label that is longer than its bar; elsewhere text moves aside.
    """
    bars: list[int] = []  # the first free character of every lane, without labels and with them
    labels: list[float] = []
    chosen = []
    for entity, room in zip(entities, rooms, strict=True):
        start = entity.start
        taken = labels if any(end > start for end in bars) else bars
        lane = next((lane for lane, end in enumerate(taken) if end <= start and bars[lane] <= start), len(bars))
        bars[lane : lane + 1] = [entity.end]
        labels[lane : lane + 1] = [max(entity.end, start + room)]
        chosen.append(lane)
    return chosen


def _marks(entities: dict[Entity, TextEntity], kinds: dict[Entity | None, str]) -> list[Mark]:
    marks = [Mark(entity, kinds.get(words, RIGHT)) for words, entity in entities.items()]
    return sorted(marks, key=lambda mark: mark.entity.reading_order)


def _checked(result: AnnotatedText, entities: Collection[TextEntity]) -> list[TextEntity]:
    """The entities, if their parts lie in the text in ascending order."""
    for entity in entities:
        places = [place for part in entity.segments for place in (part.start, part.end)]
        ascending = all(start < end for start, end in zip(places[::2], places[1::2], strict=True))
        if not places or not ascending or places != sorted(places) or places[0] < 0 or places[-1] > len(result.text):
            raise DataFormatError(
                f"text {result.id or '(no id)'}: {entity.type} at characters {places} of {len(result.text)}. Expected "
                "ascending parts within the text, each with a start and a larger end. Give offsets into this text."
            )
    return list(entities)
