"""Timing of things that are to be compared: in turns, in one process, with medians."""

from __future__ import annotations

import gc
import json
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

__all__ = ["Measure", "Side", "interleave", "parse_options", "ratio", "show", "write_json"]

_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Side:
    """The times of one of the things compared, in seconds, one per round.

    Attributes:
        cpu: processor time of the process, all threads together.
        wall: time on the clock.
    """

    cpu: list[float]
    wall: list[float]

    def times(self, device: str) -> list[float]:
        """What is compared: processor time, which other programs disturb least; on a GPU the clock."""
        return self.cpu if device == "cpu" else self.wall

    def to_dict(self, device: str) -> dict[str, float]:
        """Median, best and quartiles in milliseconds."""
        times = self.times(device)
        low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
        named = {"median": middle, "best": min(times), "quartile_1": low, "quartile_3": high}
        named["wall_median"] = statistics.median(self.wall)
        return {f"{name}_ms": round(1000 * value, 3) for name, value in named.items()}


@dataclass(frozen=True)
class Measure:
    """One number of a benchmark and what it is to reach.

    Attributes:
        name: key in the JSON file.
        value: the number.
        unit: ``sentences/s``: more is better; ``ratio``: less is better.
        goal: bound of the value, None where there is none.
        details: anything else worth keeping.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the goal is met; without a goal there is nothing to miss."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.unit == "ratio" else self.value >= self.goal

    def to_dict(self) -> dict[str, Any]:
        """The contract's four keys."""
        return {"value": round(self.value, 4), "unit": self.unit, "goal": self.goal, "holds": self.holds}


def interleave(
    sides: Mapping[str, Callable[[], object]], *, rounds: int, device: str = "cpu", warmup: int = 1
) -> dict[str, Side]:
    """Run every side once per round, in turns, so that a slow minute of the machine falls on all of them.

    Every other round runs in the opposite order; memory is collected before, not within, what is timed.
    """
    found = {name: Side([], []) for name in sides}
    for number in range(-warmup, rounds):
        for name in sides if number % 2 else reversed(sides):
            gc.collect()
            gc.disable()
            _wait(device)
            cpu, wall = time.process_time(), time.perf_counter()
            sides[name]()
            _wait(device)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            gc.enable()
            if number >= 0:
                found[name].cpu.append(cpu)
                found[name].wall.append(wall)
    return found


def ratio(sides: Mapping[str, Side], ours: str, theirs: str, device: str = "cpu") -> float:
    """Ratio of the medians of two sides."""
    return statistics.median(sides[ours].times(device)) / statistics.median(sides[theirs].times(device))


def parse_options(description: str, argv: Sequence[str] | None) -> Namespace:
    """The options that all benchmarks share."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, says nothing about speed")
    parser.add_argument("--rounds", type=int, help="how often every side is timed")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; the pipe has no use for it")
    parser.add_argument("--output", type=Path, help="JSON file (default: benchmarks/<name>.json)")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    return options


def show(title: str, measures: Iterable[Measure]) -> str:
    """The measures as a table, with the times behind them."""
    lines = [title, f"{'':34}{'value':>10} {'unit':12}{'goal':>8}  holds"]
    for measure in measures:
        goal = "-" if measure.goal is None else f"{measure.goal:g}"
        value = f"{measure.value:.3f}" if measure.unit == "ratio" else f"{measure.value:.0f}"
        lines.append(f"{measure.name:34}{value:>10} {measure.unit:12}{goal:>8}  {'yes' if measure.holds else 'NO'}")
        for key, detail in measure.details.items():
            lines.append(f"    {key}: {_plain(detail)}")
    return "\n".join(lines)


def write_json(name: str, measures: Iterable[Measure], options: Namespace) -> Path:
    """Write ``{measure: {"value", "unit", "goal", "holds", "details"}}``; returns the file."""
    path = options.output or _FOLDER / f"{name}{'.quick' if options.quick else ''}.json"
    content = {measure.name: measure.to_dict() | {"details": dict(measure.details)} for measure in measures}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _plain(detail: object) -> str:
    if isinstance(detail, Mapping):
        return ", ".join(f"{key} {value}" for key, value in detail.items())
    return str(detail)


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
