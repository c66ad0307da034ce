"""Where the score comes from: recall by position in the output, F1 by length, segments, nesting and sentence length.

Counts are those of the reference (:class:`genner.evaluation.span_f1.SpanF1`): gold entities and predictions of a
sentence are sets. The recall of a group is over its gold entities, the precision over its predictions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import Any

from genner.data.schema import Entity, sort_entities
from genner.evaluation.span_f1 import word_mask

__all__ = ["AXES", "Breakdown", "f1_percent"]

#: What entities are grouped by, and where each group begins; the last group has no end.
#: ``position``: the number of the gold entity in its sentence, in canonical order (the order in which the model writes
#: them), so recall only. ``entity length``: words covered. ``nesting depth``: how many nested entities enclose it, 0 if
#: none does. ``sentence length``: words.
AXES: dict[str, tuple[int, ...]] = {
    "position": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "entity length": (1, 2, 3, 4, 5, 6, 9),
    "segments": (1, 2, 3),
    "nesting depth": (0, 1, 2, 3),
    "sentence length": (1, 11, 21, 31, 41, 61),
}

_GOLD, _PREDICTED, _WIDTH = 0, 2, 4  # columns of the counts: gold, found, predicted, correct


class Breakdown:
    """Counts of one split of one seed.

    Attributes:
        tp: correct predictions.
        fp: wrong predictions.
        fn: gold entities that were not found.

    >>> breakdown = Breakdown()
    >>> knee, hip = Entity.from_flat("BODY", [3, 4]), Entity.from_flat("BODY", [6, 7])
    >>> breakdown.update([knee, hip], [hip], n_words=8)
    >>> [(row["group"], row["rec"]) for row in breakdown.compute()["position"]]
    [('1', 0.0), ('2', 100.0)]
    """

    def __init__(self) -> None:
        self.tp = self.fp = self.fn = 0
        # For each axis, a row of counts for every value up to the last group's; values in the same group share a row.
        # A malformed gold entity (compat mode) may cover no word: value 0 goes to the first group.
        self._rows: dict[str, list[list[int]]] = {}
        for axis, starts in AXES.items():
            groups = [[0] * _WIDTH for _ in starts]
            self._rows[axis] = [groups[max(bisect_right(starts, value) - 1, 0)] for value in range(starts[-1] + 1)]

    def update(self, gold: Collection[Entity], predicted: Collection[Entity], *, n_words: int) -> None:
        """Count one sentence of ``n_words`` words; duplicates in either collection count once."""
        gold_set, predicted_set = set(gold), set(predicted)
        if not gold_set and not predicted_set:
            return
        right = gold_set & predicted_set
        missed, wrong = gold_set - right, predicted_set - right
        self.tp += len(right)
        self.fp += len(wrong)
        self.fn += len(missed)
        self._count([*right, *missed], len(right), _GOLD, n_words)
        self._count([*right, *wrong], len(right), _PREDICTED, n_words)
        positions = self._rows["position"]
        for position, entity in enumerate(sort_entities(gold_set), 1):
            row = positions[min(position, len(positions) - 1)]
            row[_GOLD] += 1
            row[_GOLD + 1] += entity in right

    def compute(self) -> dict[str, list[dict[str, Any]]]:
        """The non-empty groups of each axis: ``group`` (its name), the counts, and ``f pre rec`` in percent.

        ``position`` has no predictions, precision or F1.
        """
        tables = {}
        for axis, starts in AXES.items():
            found = [(start, self._rows[axis][start]) for start in starts]
            tables[axis] = [_row(axis, start, counts) for start, counts in found if any(counts)]
        return tables

    def _count(self, entities: Sequence[Entity], n_right: int, column: int, n_words: int) -> None:
        """Add gold entities or predictions; the first ``n_right`` are correct."""
        by_length, by_segments = self._rows["entity length"], self._rows["segments"]
        by_depth, by_words = self._rows["nesting depth"], self._rows["sentence length"]
        words_row = by_words[min(n_words, len(by_words) - 1)]
        for idx, (length, depth) in enumerate(_measures(entities)):
            for row in (
                by_length[min(length, len(by_length) - 1)],
                by_segments[min(len(entities[idx].segments), len(by_segments) - 1)],
                by_depth[min(depth, len(by_depth) - 1)],
                words_row,
            ):
                row[column] += 1
                row[column + 1] += idx < n_right


def f1_percent(tp: int, fp: int, fn: int) -> float:
    """Micro F1 in percent, not rounded; 0 without true positives."""
    return 200 * tp / (2 * tp + fp + fn) if tp else 0.0


def _row(axis: str, start: int, tally: Sequence[int]) -> dict[str, Any]:
    n_gold, n_found, n_predicted, n_correct = tally
    rec = n_found / n_gold if n_gold else 0.0
    row = {"group": _group_name(axis, start), "gold": n_gold, "found": n_found, "rec": 100 * rec}
    if axis == "position":
        return row
    pre = n_correct / n_predicted if n_predicted else 0.0
    f = 2 * pre * rec / (pre + rec) if pre + rec else 0.0
    return row | {"predicted": n_predicted, "correct": n_correct, "f": 100 * f, "pre": 100 * pre}


def _group_name(axis: str, start: int) -> str:
    """``3``, ``6-8`` or ``9 or more``."""
    starts = AXES[axis]
    idx = starts.index(start)
    if idx == len(starts) - 1:
        return f"{start} or more"
    last = starts[idx + 1] - 1
    return str(start) if last == start else f"{start}-{last}"


def _measures(entities: Sequence[Entity]) -> list[tuple[int, int]]:
    """The number of words and the nesting depth of each entity among those given."""
    masks = [word_mask(entity) for entity in entities]
    lengths = [mask.bit_count() for mask in masks]
    union = 0
    for mask in masks:
        union |= mask
    if union.bit_count() == sum(lengths):  # no shared words: the common, fast case
        return [(length, 0) for length in lengths]
    depths: dict[int, int] = {}  # by mask: entities on the same words have the same depth
    for mask in sorted(set(masks), key=int.bit_count, reverse=True):  # enclosing entities come first
        depths[mask] = max((depth + 1 for other, depth in depths.items() if other & mask == mask), default=0)
    return [(length, depths[mask]) for length, mask in zip(lengths, masks, strict=True)]
