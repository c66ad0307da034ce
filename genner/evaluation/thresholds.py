"""The least scores that entities need: those with which F1 is highest on judged predictions, chosen with care.

Leaving out an entity that is right with probability ``p`` raises F1 if and only if ``p`` is below half of F1 (Lipton et
al. 2014, https://arxiv.org/abs/1402.1892), which gives the threshold of each type once that of all types is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["JudgedScores", "LeastScores", "fit_least_scores"]

_N_SAMPLES = 200
_SHARE = 0.05  # of the samples may ask for a lower threshold
_ENOUGH = 100  # predictions with which a type's own threshold counts as much as the common one
_FEWEST = 50  # predictions of a type that has one of its own


@dataclass
class JudgedScores:
    """The scores of predictions that are known to be right or wrong, sentence by sentence (or text by text).

    Attributes:
        labels: of every prediction; scores: likewise; is_right: likewise.
        places: number of its sentence.
        n_gold: gold entities of every sentence.
    """

    labels: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    is_right: list[bool] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    n_gold: list[int] = field(default_factory=list)

    def add(self, found: Iterable[tuple[str, float, bool]], n_gold: int) -> None:
        """Add a sentence: label, score and whether it is right, of every distinct prediction, and its gold entities."""
        for label, score, is_right in found:
            self.labels.append(label)
            self.scores.append(score)
            self.is_right.append(is_right)
            self.places.append(len(self.n_gold))
        self.n_gold.append(n_gold)


@dataclass(frozen=True, slots=True)
class LeastScores:
    """Below these scores, entities are left out.

    Attributes:
        common: of every type that has none of its own.
        by_type: of types with many predictions.
        f_before: F1 in percent of the judged predictions; f_after: of those that stay.

    >>> least = LeastScores(0.2, {"DRUG": 0.1})
    >>> least.keeps("DRUG", 0.15), least.keeps("SYMPTOM", 0.15)
    (True, False)
    """

    common: float = 0.0
    by_type: Mapping[str, float] = field(default_factory=dict)
    f_before: float = 0.0
    f_after: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= value <= 1 for value in (self.common, *self.by_type.values())):
            raise ValueError("least scores: expected numbers from 0 to 1.")

    def __str__(self) -> str:
        """The thresholds in a line."""
        own = "".join(f", {label} {value:.3f}" for label, value in self.by_type.items())
        return f"{self.common:.3f}{own}"

    def keeps(self, label: str, score: float) -> bool:
        """Whether an entity stays; a least score of 0 keeps all, also scores that are no probabilities."""
        least = self.by_type.get(label, self.common)
        return not least or score >= least


def fit_least_scores(judged: JudgedScores) -> LeastScores:
    """The thresholds with which F1 is highest, lower where the predictions leave that open.

    The sentences are drawn again 200 times, with replacement. In each sample one threshold gives the highest F1; the
    one that is chosen is as low as the lowest twentieth of them. So entities are left out only where nearly all samples
    agree: with few predictions, or if all are right, none are. A type with 50 predictions or more gets a threshold of
    its own, which is drawn towards the common one, the more so the fewer there are.

    Args:
        judged: best with calibrated scores.
    """
    scores = np.array(judged.scores, dtype=float)
    n_gold = np.array(judged.n_gold, dtype=float)
    if not len(scores) or not n_gold.sum():
        return LeastScores()
    order = np.argsort(-scores, kind="stable")
    scores, places = scores[order], np.array(judged.places)[order]
    is_right = np.array(judged.is_right, dtype=float)[order]
    labels = np.array(judged.labels)[order]
    members = {str(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    members = {label: rows for label, rows in members.items() if len(rows) >= _FEWEST}
    draws = np.random.default_rng(0)
    common: list[float] = []
    own: dict[str, list[float]] = {label: [] for label in members}
    for _ in range(_N_SAMPLES):
        times = np.bincount(draws.integers(len(n_gold), size=len(n_gold)), minlength=len(n_gold))
        weights, total = times[places], times @ n_gold
        f = 2 * np.cumsum(weights * is_right) / np.maximum(np.cumsum(weights) + total, 1)
        common.append(_best_cut(scores, f))
        gain = weights * (is_right - f.max() / 2)
        for label, rows in members.items():
            own[label].append(_best_cut(scores[rows], np.cumsum(gain[rows])))
    shared = _careful(scores, common)
    by_type = {}
    for label, rows in members.items():
        share = len(rows) / (len(rows) + _ENOUGH)
        by_type[label] = round(share * _careful(scores[rows], own[label]) + (1 - share) * shared, 6)
    found = LeastScores(round(shared, 6), by_type)
    kept = np.array([found.keeps(str(label), score) for label, score in zip(labels, scores, strict=True)])
    before, after = (_f1(is_right[rows], n_gold.sum()) for rows in (slice(None), kept))
    return LeastScores(found.common, by_type, before, after)


def _best_cut(scores: np.ndarray, values: np.ndarray) -> float:
    """The score of the last prediction that is kept where the value of keeping so many is highest; 0 to keep all.

    Args:
        scores: descending.
        values: of keeping the predictions up to each.
    """
    is_cut = np.append(scores[1:] < scores[:-1], True)  # equal scores stay or go together
    best = np.where(is_cut, values, -np.inf)
    last = len(scores) - 1 - int(best[::-1].argmax())  # the lowest threshold of equally good ones
    return 0.0 if last == len(scores) - 1 else float(scores[last])


def _careful(scores: np.ndarray, cuts: list[float]) -> float:
    """A low one of the samples' thresholds, halfway to the next lower score: scores may differ in their last digit."""
    cut = float(np.quantile(cuts, _SHARE, method="lower"))
    lower = scores[scores < cut]
    return 0.0 if cut == 0 else (cut + float(lower.max(initial=0.0))) / 2


def _f1(is_right: np.ndarray, n_gold: float) -> float:
    """In percent."""
    return round(200 * float(is_right.sum()) / (len(is_right) + float(n_gold)), 2)
