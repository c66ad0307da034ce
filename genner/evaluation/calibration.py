"""Calibration of entity scores by temperature scaling, how well calibrated scores are, and conformal thresholds.

Scores are calibrated if, of all predictions with a score of 0.8, four in five are correct.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

__all__ = [
    "Calibration", "MissRisk", "ReliabilityBin", "brier_score", "calibration_error", "fit", "reliability_bins",
]  # fmt: skip

#: Values of doubt that a fit tries. The smallest gives a score of 1 a logit; files of predictions hold six decimals.
_DOUBTS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_SLOPES = (1e-4, 1e4)  # bounds of the search; the prior keeps slopes far from them
_MOST_BINS = 15  # as in Guo et al.
_FEWEST_IN_BIN = 20
_MOST_STEPS = 1000  # of a MissRisk
_UNIT = 1e-6  # its thresholds are multiples of it


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map that keeps the order of scores: ``sigmoid(logit(doubt / 2 + (1 - doubt) * score) / temperature + shift)``.

    The temperature is that of Guo et al. (2017), section 4.2, https://arxiv.org/abs/1706.04599; with two classes (an
    entity is correct or wrong), adding a shift makes it Platt scaling. The shift is needed because the score of an
    entity is a product over its symbols: the more symbols, the further it lies below the share of correct entities,
    and a temperature alone maps one half to one half. The doubt handles scores of 1 that only mean that no alternative
    was considered, such as the mass of an entity that all of a few hypotheses share: their logits say nothing about
    other scores.

    Attributes:
        temperature: above 0; above 1 if the scores are too extreme.
        shift: above 0 if they are too low.
        doubt: weight of one half in the score, between 0 and 1.
        n: number of scores it was fitted to; 0 if it was not fitted.

    >>> Calibration().apply([0.25, 0.5]).round(3).tolist(), Calibration(temperature=2.0).apply([0.9]).round(3).tolist()
    ([0.25, 0.5], [0.75])
    """

    temperature: float = 1.0
    shift: float = 0.0
    doubt: float = _DOUBTS[0]
    n: int = 0

    def __post_init__(self) -> None:
        is_good = 0 < self.temperature < math.inf and math.isfinite(self.shift) and 0 < self.doubt < 1 and self.n >= 0
        if not is_good:
            raise ValueError(f"{self}. Expected a temperature above 0, a finite shift and a doubt between 0 and 1.")

    def apply(self, scores: Sequence[float] | np.ndarray) -> np.ndarray:
        """The calibrated scores, in the same order."""
        return expit(_logits(scores, self.doubt) / self.temperature + self.shift)


class ReliabilityBin(NamedTuple):
    """Predictions with similar scores.

    Attributes:
        low, high: lowest and highest score.
        n: number of predictions.
        mean_score: the share of them that should be correct according to their scores.
        share_right: the share that is.
    """

    low: float
    high: float
    n: int
    mean_score: float
    share_right: float


@dataclass(frozen=True, slots=True)
class MissRisk:
    """Conformal risk control: how low a threshold on scores must be so that few gold entities are missed.

    Angelopoulos et al. (2022), https://arxiv.org/abs/2208.02814, theorem 1. The loss of a sentence at a threshold is
    the share of its gold entities that are not among the candidates with at least that score. It never falls as the
    threshold rises and is at most 1. If ``R`` is the mean loss of ``n`` judged sentences with gold entities, then a new
    sentence from the same distribution has an expected loss of at most alpha at the largest threshold with
    ``(n * R + 1) / (n + 1) <= alpha``. This is exact for any model and any ``n``. It holds on average over draws of the
    judged and the new sentences, not for each kind of sentence separately.

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
        kept = _few_steps(risks)
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


def fit(scores: Sequence[float] | np.ndarray, is_right: Sequence[bool] | np.ndarray) -> Calibration:
    """The calibration with the smallest log loss on judged predictions; the identity if there are none.

    A few predictions, or predictions that are all correct or all wrong, could make the shift infinite or lose the
    order. So the sum of the log losses has a regularisation term for each parameter, which weighs as much as a few
    predictions: ``a - 1 - log(a)`` for the slope ``a = 1 / temperature``, which also keeps it above 0, and
    ``b ** 2 / 2`` for the shift ``b``. For a given doubt the loss is convex and has one minimum; six doubts from a
    millionth to a tenth are tried and the best is taken, the smallest if several are equally good.

    Args:
        scores: from 0 to 1.
        is_right: whether the entity is a gold one.
    """
    scores, targets = np.asarray(scores, dtype=float), np.asarray(is_right, dtype=float)
    _check_pairs(scores, targets)
    if not len(scores):
        return Calibration()
    return min((_fitted(scores, targets, doubt) for doubt in _DOUBTS), key=itemgetter(0))[1]


def reliability_bins(
    scores: Sequence[float] | np.ndarray, is_right: Sequence[bool] | np.ndarray
) -> list[ReliabilityBin]:
    """Predictions in bins of equal mass, in ascending order; equal scores share a bin.

    Scores of a good model crowd near 1; bins of equal width would put nearly all of them into one. There are 15 bins,
    or fewer where a bin would hold fewer than 20 predictions.

    Args:
        scores: from 0 to 1.
        is_right: whether the entity is a gold one.
    """
    scores, targets = np.asarray(scores, dtype=float), np.asarray(is_right, dtype=float)
    _check_pairs(scores, targets)
    n = len(scores)
    n_bins = min(_MOST_BINS, max(n // _FEWEST_IN_BIN, 1))
    order = np.argsort(scores, kind="stable")
    scores, targets = scores[order], targets[order]
    ends = [round(n * number / n_bins) for number in range(1, n_bins + 1)]
    # A bin reaches to the end of the equal scores in which it would end: else the order of the input would matter.
    ends = np.unique([np.searchsorted(scores, scores[end - 1], side="right") for end in ends if end])
    bins, start = [], 0
    for end in ends.tolist():
        part = slice(start, end)
        mean, share = float(scores[part].mean()), float(targets[part].mean())
        bins.append(ReliabilityBin(float(scores[start]), float(scores[end - 1]), end - start, mean, share))
        start = end
    return bins


def calibration_error(scores: Sequence[float] | np.ndarray, is_right: Sequence[bool] | np.ndarray) -> float:
    """The expected calibration error (Guo et al. 2017, eq. 5) over the bins of :func:`reliability_bins`; 0 if none.

    The mean over all predictions of the distance between the mean score and the share of correct ones in their bin.
    It includes chance: on few predictions, perfectly calibrated scores have an error above 0 as well.
    """
    bins = reliability_bins(scores, is_right)
    total = sum(one.n for one in bins)
    return sum(one.n * abs(one.mean_score - one.share_right) for one in bins) / total if total else 0.0


def brier_score(scores: Sequence[float] | np.ndarray, is_right: Sequence[bool] | np.ndarray) -> float:
    """The mean squared difference between score and truth (0 or 1), without bins; 0 if there are no predictions."""
    scores, targets = np.asarray(scores, dtype=float), np.asarray(is_right, dtype=float)
    _check_pairs(scores, targets)
    return float(np.mean((scores - targets) ** 2)) if len(scores) else 0.0


def _logits(scores: Sequence[float] | np.ndarray, doubt: float) -> np.ndarray:
    return logit(doubt / 2 + (1 - doubt) * np.clip(np.asarray(scores, dtype=float), 0.0, 1.0))


def _fitted(scores: np.ndarray, targets: np.ndarray, doubt: float) -> tuple[float, Calibration]:
    """The smallest loss for a given doubt, and its calibration."""
    found = minimize(
        _loss, (1.0, 0.0), (_logits(scores, doubt), targets), method="L-BFGS-B", jac=True,
        bounds=(_SLOPES, (None, None)), options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
    )  # fmt: skip
    slope, shift = map(float, found.x)
    return float(found.fun), Calibration(1 / slope, shift, doubt, len(scores))


def _loss(weights: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """Log loss per prediction, including the two regularisation terms, and its gradient."""
    slope, shift = weights
    out = slope * logits + shift
    loss = np.logaddexp(0.0, out).sum() - targets @ out + (slope - 1 - math.log(slope)) + shift**2 / 2
    error = expit(out) - targets
    gradient = np.array([error @ logits + 1 - 1 / slope, error.sum() + shift])
    return loss / len(logits), gradient / len(logits)


def _few_steps(risks: np.ndarray) -> np.ndarray:
    """The first position, and the last one of each of many levels of risk."""
    if len(risks) <= _MOST_STEPS:
        return np.arange(len(risks))
    levels = np.linspace(risks[0], risks[-1], _MOST_STEPS - 1)
    return np.unique(np.concatenate(([0], np.searchsorted(risks, levels, side="right") - 1)))


def _check_pairs(scores: np.ndarray, targets: np.ndarray) -> None:
    assert scores.shape == targets.shape, f"internal error: {scores.shape} scores, {targets.shape} judgements"
    assert not np.isnan(scores).any(), "internal error: a score is no number"
