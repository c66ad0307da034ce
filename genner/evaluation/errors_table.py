"""The kinds of errors a model makes: every wrong prediction and every missed gold entity has exactly one kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from genner.data.schema import Entity, sort_entities

__all__ = ["KINDS", "ErrorExample", "ErrorTable", "classify_errors"]

#: The kinds and their definitions. The first five pair a gold entity with a prediction; earlier kinds are paired first.
KINDS = {
    "type": "exactly the words of a gold entity, with another label",
    "fragment missing": "the right label on some, but not all, whole segments of a discontinuous gold entity",
    "gap filled": "the right label on all words from the first to the last word of a discontinuous gold entity",
    "boundary": "the right label on different words, at least one of them shared with the gold entity",
    "boundary+type": "another label on different words, at least one of them shared with the gold entity",
    "missed": "a gold entity that was not found and is paired with no prediction",
    "spurious": "a wrong prediction that is paired with no gold entity",
}
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class ErrorExample:
    """One error; ``sentence`` counts from 1, ``gold`` is None if it is spurious, ``predicted`` if it is missed."""

    sentence: int
    words: tuple[str, ...]
    gold: Entity | None
    predicted: Entity | None


@dataclass
class ErrorTable:
    """Counts the errors of a split by kind and keeps the first few examples of each kind, with distinct surfaces.

    All kinds except ``spurious`` add up to the false negatives, all except ``missed`` to the false positives (both in
    the reference counting, where duplicate predictions count once).

    Attributes:
        n_examples: number of examples to keep of each kind.
        counts: by kind.
        examples: by kind, in the order of the split.
    """

    n_examples: int = 0
    counts: Counter[str] = field(default_factory=Counter, init=False)
    examples: dict[str, list[ErrorExample]] = field(default_factory=lambda: {kind: [] for kind in KINDS}, init=False)
    _shown: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False)

    def update(
        self, words: Sequence[str], gold: Collection[Entity], predicted: Collection[Entity], *, sentence: int
    ) -> None:
        """Count the errors of one sentence, number ``sentence`` of its split, from 1."""
        for kind, right, wrong in classify_errors(gold, predicted):
            self.counts[kind] += 1
            if len(self.examples[kind]) < self.n_examples:
                surface = (kind, (right or wrong).surface_key(words))
                if surface not in self._shown:
                    self._shown.add(surface)
                    self.examples[kind].append(ErrorExample(sentence, tuple(words), right, wrong))


def classify_errors(
    gold: Collection[Entity], predicted: Collection[Entity]
) -> list[tuple[str, Entity | None, Entity | None]]:
    """The errors of one sentence as ``(kind, gold entity, prediction)``.

    Correct predictions and their gold entities are set aside. Of the rest, a gold entity and a prediction that share a
    word may be paired, each at most once. Pairs are made by kind in the order of :data:`KINDS`, then by overlap (shared
    words / words of either), largest first, then from left to right. What remains unpaired is ``missed`` or
    ``spurious``, even if it overlaps a correct entity.

    >>> pain = Entity.from_flat("ADR", [0, 1, 3, 4])
    >>> classify_errors([pain], [Entity.from_flat("ADR", [0, 1])])[0][0]
    'fragment missing'
    """
    gold_set, predicted_set = set(gold), set(predicted)
    if gold_set == predicted_set:
        return []
    unfound = sort_entities(gold_set - predicted_set)
    wrong = sort_entities(predicted_set - gold_set)
    errors: list[tuple[str, Entity | None, Entity | None]] = []
    paired: set[tuple[bool, int]] = set()
    for rank, _, i, j in sorted(_candidates(unfound, wrong)):
        if (True, i) not in paired and (False, j) not in paired:
            paired |= {(True, i), (False, j)}
            errors.append((list(KINDS)[rank], unfound[i], wrong[j]))
    errors += [("missed", entity, None) for i, entity in enumerate(unfound) if (True, i) not in paired]
    errors += [("spurious", None, entity) for j, entity in enumerate(wrong) if (False, j) not in paired]
    return errors


def _candidates(unfound: Sequence[Entity], wrong: Sequence[Entity]) -> Iterator[tuple[int, float, int, int]]:
    """Pairs that share a word: rank of the kind, minus the overlap, and the two numbers."""
    wrong_words = [set(entity.word_indices()) for entity in wrong]
    for i, right in enumerate(unfound):
        words = set(right.word_indices())
        for j, other in enumerate(wrong):
            n_shared = len(words & wrong_words[j])
            if n_shared:
                yield _RANK[_pair_kind(right, other)], -n_shared / len(words | wrong_words[j]), i, j


def _pair_kind(gold: Entity, predicted: Entity) -> str:
    if gold.segments == predicted.segments:
        return "type"
    if gold.label != predicted.label:
        return "boundary+type"
    if gold.is_discontinuous:
        if set(predicted.segments) < set(gold.segments):
            return "fragment missing"
        if predicted.segments == ((gold.start, gold.end),):
            return "gap filled"
    return "boundary"
