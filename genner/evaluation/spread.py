"""A score over seeds: mean, deviation and interval. What a run's mean is, in every table and text, is defined here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypedDict

from scipy.special import stdtrit  # Student's t; scipy.stats has it too, but takes seconds to import

__all__ = ["MEASURES", "Spread", "mean_text", "score_text", "spread_of", "spread_over_seeds"]

#: The scores of a split that are averaged over seeds.
MEASURES = ("pre", "rec", "f", "strict_pre", "strict_rec", "strict_f", "em")


class Spread(TypedDict):
    """A score over ``n`` seeds; a single seed has neither deviation nor interval: they are None.

    Attributes:
        std: sample standard deviation.
        low: of the 95 % confidence interval of the mean, by Student's t.
        high: its other end.
    """

    n: int
    mean: float
    std: float | None
    min: float
    max: float
    low: float | None
    high: float | None


def spread_of(values: Sequence[float], *, digits: int = 4) -> Spread:
    """Mean, deviation and interval of at least one value, rounded.

    >>> spread_of([80.0, 82.0])["std"], spread_of([80.0])["std"]
    (1.4142, None)
    """
    n, mean, std, low, high = len(values), statistics.fmean(values), None, None, None
    if n > 1:
        std = statistics.stdev(values)
        half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
        low, high = round(mean - half, digits), round(mean + half, digits)
        std = round(std, digits)
    smallest, largest = round(min(values), digits), round(max(values), digits)
    return Spread(n=n, mean=round(mean, digits), std=std, min=smallest, max=largest, low=low, high=high)


def spread_over_seeds(
    seeds: Iterable[Mapping[str, Any]], statuses: Collection[str] = ("ok",)
) -> dict[str, dict[str, Spread]]:
    """The spread of every measure of dev and test over the seeds with one of the statuses.

    Args:
        seeds: results of seeds.
        statuses: ``ok`` gives the means of a run; with ``collapsed`` beside it, those that also count collapsed seeds:
            one that collapsed before it was scored counts as 0.

    Returns:
        By split and measure; a measure that no seed has is absent.
    """
    seeds = list(seeds)
    kept = [seed for seed in seeds if seed["status"] in statuses]
    spreads: dict[str, dict[str, Spread]] = {}
    for split in ("dev", "test"):
        known = {name for seed in seeds for name in seed.get(split) or {}}
        rows = [seed.get(split) or dict.fromkeys(known if seed["status"] == "collapsed" else (), 0.0) for seed in kept]
        columns = {name: [row[name] for row in rows if name in row] for name in MEASURES}
        spreads[split] = {name: spread_of(values) for name, values in columns.items() if values}
    return spreads


def mean_text(spread: Mapping[str, Any] | None, form: str = ".2f") -> str:
    """Mean and deviation as text; ``-`` without a mean.

    >>> mean_text({"mean": 81.2, "std": 0.312}), mean_text({"mean": 81.2, "std": None}), mean_text(None)
    ('81.20 ± 0.31', '81.20 (1 seed)', '-')
    """
    if not spread or spread["mean"] is None:
        return "-"
    mean, std = spread["mean"], spread["std"]
    return f"{mean:{form}} (1 seed)" if std is None else f"{mean:{form}} ± {std:{form}}"


def score_text(score: float | None) -> str:
    """A single score in percent; ``-`` if there is none."""
    return "-" if score is None else f"{score:.2f}"
