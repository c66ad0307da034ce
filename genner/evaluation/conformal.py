"""Conformal risk control: how low a threshold on scores must be so that few gold entities are missed.

Angelopoulos et al. (2022), https://arxiv.org/abs/2208.02814, theorem 1. The loss of a sentence at a threshold is the
share of its gold entities that are not among the candidates with at least that score. It never falls as the threshold
rises and is at most 1. If ``R`` is the mean loss of ``n`` judged sentences with gold entities, then a new sentence from
the same distribution has an expected loss of at most alpha at the largest threshold with
``(n * R + 1) / (n + 1) <= alpha``. This is exact for any model and any ``n``. It holds on average over draws of the
judged and the new sentences, not for each kind of sentence separately.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MissRisk"]

_MOST_STEPS = 1000  # kept at most
_UNIT = 1e-6  # thresholds are multiples of it


@dataclass(frozen=True, slots=True)
class MissRisk:
    """The mean loss of judged sentences as a function of the threshold, and the thresholds that it allows.

    Attributes:
        n: number of sentences with gold entities.
        thresholds: ascending from 0; between two of them, the loss is at most that at the higher one.
        risks: mean loss at each threshold, ascending, from 0 to 1.

    >>> risk = MissRisk.measure([[0.9]] * 9 + [[0.5, None]] * 10)
    >>> risk.n, round(risk.reachable, 3), risk.threshold(0.2), risk.threshold(0.3), risk.threshold(0.55)
    (19, 0.3, None, 0.499999, 0.899999)
    """

    n: int
    thresholds: tuple[float, ...]
    risks: tuple[float, ...]

    def __post_init__(self) -> None:
        thresholds, risks = np.asarray(self.thresholds), np.asarray(self.risks)
        is_good = self.n > 0 and len(thresholds) == len(risks) > 0 and thresholds[0] == 0 and thresholds[-1] <= 1
        is_good = is_good and (np.diff(thresholds) > 0).all() and (np.diff(risks) >= 0).all()
        if not (is_good and risks[0] >= 0 and risks[-1] <= 1):
            raise ValueError("steps of a miss rate: expected ascending thresholds from 0 and risks, from 0 to 1.")

    @classmethod
    def measure(cls, sentences: Iterable[Sequence[float | None]]) -> MissRisk:
        """Judge sentences.

        At most a thousand steps are kept. A threshold that is not kept is replaced by a lower one, which misses fewer.

        Args:
            sentences: for each gold entity of a sentence, the score of the matching candidate, or None without one.
                Sentences without gold entities do not count.

        Raises:
            ValueError: no sentence has a gold entity.
        """
        rows = [row for row in sentences if len(row)]
        if not rows:
            raise ValueError("no sentence has a gold entity.")
        pairs = [(-1.0 if score is None else score, 1 / len(row)) for row in rows for score in row]
        scores, weights = np.array(sorted(pairs)).T
        missed = np.concatenate(([0.0], np.cumsum(weights))) / len(rows)  # by all scores below the one at this position
        # Lower by a millionth: in another batch, the score of the same sentence may differ in its last digit.
        lowered = np.concatenate(([0.0], np.clip(np.floor(scores / _UNIT) - 1, 0, None) * _UNIT))
        below = np.concatenate(([np.searchsorted(scores, 0.0)], np.searchsorted(scores, scores)))
        thresholds, first = np.unique(lowered, return_index=True)
        risks = np.minimum(missed[below[first]], 1.0)
        kept = _spread(risks)
        return cls(len(rows), tuple(thresholds[kept].round(6).tolist()), tuple(risks[kept].tolist()))

    @property
    def reachable(self) -> float:
        """The smallest alpha that a threshold can guarantee."""
        return self._bound(self.risks[0])

    def threshold(self, alpha: float) -> float | None:
        """The largest threshold whose expected loss is at most ``alpha``; None if not even 0 is low enough."""
        bounds = self._bound(np.asarray(self.risks))
        # Plus 1e-12, because sums of shares are not exact.
        place = int(np.searchsorted(bounds, alpha + 1e-12, side="right"))
        return self.thresholds[place - 1] if place else None

    def _bound(self, risk: float) -> float:
        return (self.n * risk + 1) / (self.n + 1)


def _spread(risks: np.ndarray) -> np.ndarray:
    """The first position, and the last one of each of many levels of risk."""
    if len(risks) <= _MOST_STEPS:
        return np.arange(len(risks))
    levels = np.linspace(risks[0], risks[-1], _MOST_STEPS - 1)
    return np.unique(np.concatenate(([0], np.searchsorted(risks, levels, side="right") - 1)))
