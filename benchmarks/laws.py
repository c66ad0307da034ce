"""Cost laws: the expected shape of a measured curve, fitted to it, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from scipy.optimize import nnls

__all__ = ["LAWS", "Curve", "Law", "Series", "draw"]

# Okabe and Ito's colours: distinguishable with every kind of colour vision, and in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_DPI = 130


@dataclass(frozen=True)
class Law:
    """A sum of terms with non-negative factors.

    Attributes:
        terms: by name, in which ``x`` is the variable.
    """

    terms: Mapping[str, Callable[[np.ndarray], np.ndarray]]

    def fit(self, x: Sequence[float], y: Sequence[float]) -> list[float]:
        """The factors with the least sum of squared relative deviations."""
        wanted = np.asarray(y, dtype=float)
        return nnls(self._columns(x) / wanted[:, None], np.ones(len(wanted)))[0].tolist()

    def values(self, factors: Sequence[float], x: Sequence[float]) -> list[float]:
        """The value of the law at ``x``."""
        return (self._columns(x) @ np.asarray(factors)).tolist()

    def text(self, factors: Sequence[float]) -> str:
        """The law with its factors; negligible terms are left out."""
        pairs = zip(factors, self.terms, strict=True)
        found = [f"{factor:.3g}{name and ' ' + name}" for factor, name in pairs if factor > 0]
        return " + ".join(found) or "0"

    def _columns(self, x: Sequence[float]) -> np.ndarray:
        places = np.asarray(x, dtype=float)
        return np.stack([term(places) for term in self.terms.values()], axis=1)


LAWS = {
    "flat": Law({"": np.ones_like}),
    "linear": Law({"": np.ones_like, "x": np.asarray}),
    "quadratic": Law({"": np.ones_like, "x": np.asarray, "x²": np.square}),
    "falling to a floor": Law({"": np.ones_like, "/ x": np.reciprocal}),
}


@dataclass(frozen=True)
class Series:
    """Measured values.

    Attributes:
        name: for the legend.
        x: the variable.
        y: cost.
    """

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Curve:
    """Measured costs and the expected law.

    Attributes:
        name: key in the JSON file.
        x_label: the variable, with its unit.
        y_label: cost, with its unit.
        law: a key of :data:`LAWS`.
        series: one or more, each fitted separately.
        is_log: whether the x axis is logarithmic.
    """

    name: str
    x_label: str
    y_label: str
    law: str
    series: list[Series]
    is_log: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Points and factors as plain values."""
        law = LAWS[self.law]
        found = {}
        for series in self.series:
            factors = law.fit(series.x, series.y)
            expected = law.values(factors, series.x)
            found[series.name] = {
                "x": series.x,
                "y": [round(value, 4) for value in series.y],
                "law": [round(value, 4) for value in expected],
                "factors": dict(zip([name or "1" for name in law.terms], factors, strict=True)),
                "largest_deviation": round(max(_deviations(series.y, expected)), 4),
            }
        return {"x": self.x_label, "y": self.y_label, "expected": self.law, "series": found}

    def table(self) -> str:
        """Measured points and the values of the law."""
        lines = [f"\n{self.name}: {self.y_label} against {self.x_label}, expected: {self.law}"]
        law = LAWS[self.law]
        for series in self.series:
            factors = law.fit(series.x, series.y)
            expected = law.values(factors, series.x)
            lines.append(f"  {series.name}: y = {law.text(factors)}\n{'x':>12}{'measured':>12}{'law':>12}")
            rows = zip(series.x, series.y, expected, strict=True)
            lines += [f"{x:12.4g}{y:12.4g}{value:12.4g}   {100 * (y / value - 1):+.1f} %" for x, y, value in rows]
        return "\n".join(lines)


def draw(curves: Sequence[Curve], path: Path, title: str) -> None:
    """Draw a panel per curve and write the picture: points as measured, laws as lines."""
    n_columns = 3
    n_rows = -(-len(curves) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 3.5 * n_rows), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for curve, axes in zip(curves, panels, strict=False):
        _draw_panel(curve, axes)
    for axes in list(panels)[len(curves) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})  # reproducible bytes


def _draw_panel(curve: Curve, axes: Axes) -> None:
    law = LAWS[curve.law]
    for series, colour in zip(curve.series, _COLOURS, strict=False):
        factors = law.fit(series.x, series.y)
        spaced = np.geomspace if curve.is_log else np.linspace
        places = spaced(min(series.x), max(series.x), 100).tolist()
        axes.plot(series.x, series.y, "o", color=colour, markersize=5, label=f"{series.name}, measured")
        axes.plot(places, law.values(factors, places), color=colour, linewidth=1.3, label=f"law: {law.text(factors)}")
    if curve.is_log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(curve.series[0].x)
    axes.set_ylim(0, 1.35 * max(value for series in curve.series for value in series.y))
    axes.set_title(f"{curve.name}: {curve.law}", fontsize=10)
    axes.set_xlabel(curve.x_label)
    axes.set_ylabel(curve.y_label)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, loc="upper left", framealpha=0.9)


def _deviations(found: Sequence[float], expected: Sequence[float]) -> list[float]:
    return [abs(y / value - 1) for y, value in zip(found, expected, strict=True)]
