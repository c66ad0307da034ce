"""Pictures of a run as PNG bytes: learning curves, and recall by place in the output. Drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

__all__ = ["learning_curves", "position_curve"]

# Okabe and Ito's colours: told apart with every kind of colour vision, and in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DPI = 130


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
        history, is_ok = seed["history"], seed.get("status", "ok") == "ok"
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
    """Recall by place of the gold entity in the output, with the standard deviation over seeds as bars.

    Args:
        rows: ``group``, ``rec`` with ``mean`` and ``std``, ``gold``.

    Returns:
        A PNG, or None if there are fewer than two places.
    """
    if len(rows) < 2:
        return None
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    means = [row["rec"]["mean"] for row in rows]
    errors = [row["rec"]["std"] or 0.0 for row in rows]
    places = range(len(rows))
    axes.errorbar(places, means, yerr=errors, color=_COLOURS[0], marker="o", markersize=4, capsize=3, linewidth=1.4)
    # The support under every place: the last ones rest on few entities.
    axes.set_xticks(places, [f"{row['group'].replace(' or more', '+')}\n{row['gold']:,}" for row in rows], fontsize=8)
    across = "place of the gold entity, and number of gold entities"
    _dress(axes, "Recall by place in the output", across, "recall in percent")
    axes.set_ylim(0, 100)
    return _png(figure)


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
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})  # the same picture, the same bytes
    return buffer.getvalue()
