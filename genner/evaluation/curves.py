"""Plots of a run as PNG bytes: learning curves, recall by position, reliability of scores. No display is needed."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

__all__ = ["learning_curves", "position_curve", "reliability_diagram"]

# Okabe and Ito's colours, distinguishable with any kind of colour vision and in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DPI = 130
_POINTS = {"marker": "o", "markersize": 4, "capsize": 2.5, "linewidth": 1.2, "elinewidth": 0.9}


def learning_curves(seeds: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Loss, and F1 on dev (solid) and test (dashed), per epoch; one colour per seed.

    Args:
        seeds: results of seeds; ``history`` holds rows with ``epoch`` and, if known, ``loss dev_f test_f``.

    Returns:
        A PNG, or None if no seed has a history.
    """
    seeds = [seed for seed in seeds if seed.get("history")]
    if not seeds:
        return None
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss_axes, score_axes = figure.subplots(1, 2, sharex=True)
    handles = []
    for number, seed in enumerate(seeds):
        colour = _COLOURS[number % len(_COLOURS)]
        history, is_ok = seed["history"], seed["status"] == "ok"
        _line(loss_axes, history, "loss", colour, "-")
        _line(score_axes, history, "dev_f", colour, "-")
        _line(score_axes, history, "test_f", colour, "--")
        label = f"seed {seed['seed']}" + ("" if is_ok else f" ({seed['status']})")
        handles.append(Line2D([], [], color=colour, label=label))
    handles += [
        Line2D([], [], color="0.35", linestyle="-", label="dev"),
        Line2D([], [], color="0.35", linestyle="--", label="test"),
    ]
    loss_axes.set_ylim(bottom=0)
    _dress(loss_axes, "Training loss", "epoch", "mean loss")
    _dress(score_axes, "F1", "epoch", "F1 in percent")
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 7), frameon=False)
    return _png(figure)


def position_curve(rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Recall by position of the gold entity in the output, with the standard deviation over seeds as error bars.

    Args:
        rows: ``group``, ``rec`` with ``mean`` and ``std``, ``gold``.

    Returns:
        A PNG, or None if there are fewer than two positions.
    """
    if len(rows) < 2:
        return None
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    means = [row["rec"]["mean"] for row in rows]
    stds = [row["rec"]["std"] or 0.0 for row in rows]
    axes.errorbar(range(len(rows)), means, yerr=stds, color=_COLOURS[0], **_POINTS)
    # The support below every position, as the last ones have few entities.
    ticks = [f"{row['group'].replace(' or more', '+')}\n{row['gold']:,}" for row in rows]
    axes.set_xticks(range(len(rows)), ticks, fontsize=8)
    across = "position of the gold entity, and number of gold entities"
    _dress(axes, "Recall by position in the output", across, "recall in percent")
    axes.set_ylim(0, 100)
    return _png(figure)


def reliability_diagram(states: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes | None:
    """Share of correct predictions by score, with 95 % Wilson intervals; on the diagonal, scores are calibrated.

    Args:
        states: bins of :func:`genner.evaluation.calibration.reliability_bins`, by name, such as ``raw`` and
            ``calibrated``.

    Returns:
        A PNG, or None if there are no bins.
    """
    states = {name: bins for name, bins in states.items() if bins}
    if not states:
        return None
    figure = Figure(figsize=(5.2, 5.9), layout="constrained")
    axes = figure.subplots()
    lowest = 1.0
    for number, (name, bins) in enumerate(states.items()):
        colour = _COLOURS[(1, 0, *range(2, 7))[number % 7]]
        scores, shares = [row["mean_score"] for row in bins], [row["share_right"] for row in bins]
        intervals = [_wilson(row["share_right"], row["n"]) for row in bins]
        # The interval is not centred on the share: at the ends, one of the two error bars has length 0.
        below = [max(share - low, 0.0) for share, (low, _) in zip(shares, intervals, strict=True)]
        above = [max(high - share, 0.0) for share, (_, high) in zip(shares, intervals, strict=True)]
        total = sum(row["n"] for row in bins)
        error = sum(row["n"] * abs(row["mean_score"] - row["share_right"]) for row in bins) / total
        label = f"{name}, {total:,} entities, ECE {error:.3f}"
        axes.errorbar(scores, shares, yerr=[below, above], color=colour, label=label, **_POINTS)
        lowest = min([lowest, *scores, *(low for low, _ in intervals)])
    start = max(math.floor(10 * lowest) / 10, 0.0)
    axes.plot([start, 1], [start, 1], color="0.5", linewidth=1, linestyle=":", zorder=1)
    margin = 0.02 * (1 - start)
    axes.set_xlim(start - margin, 1 + margin)
    axes.set_ylim(start - margin, 1 + margin)
    axes.set_aspect("equal")
    _dress(axes, "Share of correct entities by score", "mean score of the bin", "share of correct entities")
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    return _png(figure)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share of ``n``."""
    squared = 1.96**2
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    reach = 1.96 / (1 + squared / n) * math.sqrt(share * (1 - share) / n + squared / (4 * n**2))
    return middle - reach, middle + reach


def _line(axes: Any, history: Sequence[Mapping[str, Any]], key: str, colour: str, style: str) -> None:
    points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    if points:
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, style, color=colour, linewidth=1.4, marker="o", markersize=3)


def _dress(axes: Any, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if across == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})  # the same figure gives the same bytes
    return buffer.getvalue()
