"""Shared by the benchmark commands: options, table, JSON."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

__all__ = ["Measure", "Settings", "run_benchmark", "run_command"]

_FOLDER = Path(__file__).resolve().parent
_LESS_IS_BETTER = ("ratio", "s", "MB", "graphs", "errors")
_WHOLE = ("sentences/s", "requests/s", "graphs", "errors")


@dataclass(frozen=True)
class Settings:
    """Options of a measurement.

    Attributes:
        quick: tiny sizes, to check that it runs; the numbers are meaningless.
        rounds: how often every side is timed; None: the benchmark's default.
        device: ``cpu`` or ``cuda``; ignored by the pipe.
        threads: of torch.
    """

    quick: bool = False
    rounds: int | None = None
    device: str = "cpu"
    threads: int = 1

    def n_rounds(self, usual: int) -> int:
        """Rounds of a side that is usually timed ``usual`` times."""
        return self.rounds or (2 if self.quick else usual)


@dataclass(frozen=True)
class Measure:
    """One number of a benchmark and its goal.

    Attributes:
        name: key in the JSON file.
        value: the number.
        unit: ``sentences/s``, ``requests/s``, ``times`` and ``share``: more is better; ``ratio``, ``s``, ``MB``,
            ``graphs`` and ``errors``: less.
        goal: bound of the value, None where there is none.
        details: further values.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the goal is met; true without a goal."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.unit in _LESS_IS_BETTER else self.value >= self.goal

    def to_dict(self) -> dict[str, Any]:
        """The contract's four keys."""
        return {"value": round(self.value, 4), "unit": self.unit, "goal": self.goal, "holds": self.holds}


def run_command(name: str, measure: Callable[[Settings], list[Measure]], doc: str, argv: Sequence[str] | None) -> None:
    """Run the benchmarks of ``measure`` with the options of the command line and write ``benchmarks/<name>.json``.

    Args:
        name: of the file; with ``--quick`` it is ``<name>.quick.json``, so that no real numbers are overwritten.
        measure: runs the benchmark; it may print.
        doc: the command's description, its title first.
        argv: command line.
    """
    parser = ArgumentParser(description=doc)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, only to check that it runs")
    parser.add_argument("--rounds", type=int, help="how often every side is timed")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; ignored by the pipe")
    parser.add_argument("--output", type=Path, help=f"JSON file (default: benchmarks/{name}.json)")
    options = vars(parser.parse_args(argv))
    path = options.pop("output") or _FOLDER / f"{name}{'.quick' if options['quick'] else ''}.json"
    settings = Settings(**options)
    torch.set_num_threads(settings.threads)
    content = {found.name: found.to_dict() for found in measure(settings)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}")


def run_benchmark(doc: str, measures: Iterable[Measure]) -> list[Measure]:
    """Print the measures as a table under the first line of ``doc``, with their details."""
    measures = list(measures)
    print(f"\n{doc.splitlines()[0]}\n{'':36}{'value':>8} {'unit':12}{'goal':>6}  holds")
    for measure in measures:
        goal = "-" if measure.goal is None else f"{measure.goal:g}"
        value = f"{measure.value:.0f}" if measure.unit in _WHOLE else f"{measure.value:.3f}"
        print(f"{measure.name:36}{value:>8} {measure.unit:12}{goal:>6}  {'yes' if measure.holds else 'NO'}")
        for key, detail in measure.details.items():
            print(f"    {key}: {_plain(detail)}")
    return measures


def _plain(detail: object) -> str:
    if isinstance(detail, Mapping):
        return ", ".join(f"{key} {value}" for key, value in detail.items())
    return str(detail)
