"""Timing of a comparison: the sides alternate in one process; medians are compared."""

from __future__ import annotations

import gc
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["Side", "compare", "interleave", "status_mb"]


@dataclass(frozen=True)
class Side:
    """The times of one side of a comparison in seconds, one per round.

    Attributes:
        cpu: CPU time of the process, all threads together.
        wall: wall-clock time.
    """

    cpu: list[float]
    wall: list[float]

    def times(self, device: str) -> list[float]:
        """The times to compare: CPU time, which other programs disturb least; on a GPU wall-clock time."""
        return self.cpu if device == "cpu" else self.wall

    def to_dict(self, device: str) -> dict[str, Any]:
        """Median, best and quartiles in milliseconds."""
        times = self.times(device)
        low, middle, high = _quartiles([1000 * value for value in times])
        on_the_clock = round(1000 * statistics.median(self.wall), 4)
        best = round(1000 * min(times), 4)
        return {"median_ms": middle, "best_ms": best, "quartiles_ms": [low, high], "wall_median_ms": on_the_clock}


def interleave(
    sides: Mapping[str, Callable[[], object]], *, rounds: int, device: str = "cpu", warmup: int = 1
) -> dict[str, Side]:
    """Run every side once per round, so that a slow minute of the machine affects all of them.

    Every other round runs in the opposite order; garbage is collected before, not during, the timed calls.
    """
    found = {name: Side([], []) for name in sides}
    gc.collect()
    gc.freeze()  # existing objects stay: scanning all of them each time takes longer than a small side
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
    gc.unfreeze()
    return found


def compare(sides: Mapping[str, Side], ours: str, theirs: str, device: str = "cpu") -> tuple[float, dict[str, Any]]:
    """Ratio of the medians of two sides; times of both, and quartiles of the ratio within a round."""
    our_times, their_times = sides[ours].times(device), sides[theirs].times(device)
    by_round = [our / their for our, their in zip(our_times, their_times, strict=True)]
    details: dict[str, Any] = {name: sides[name].to_dict(device) for name in (ours, theirs)}
    details["ratio by round"] = dict(zip(("quartile_1", "median", "quartile_3"), _quartiles(by_round), strict=True))
    return statistics.median(our_times) / statistics.median(their_times), details


def status_mb(name: str) -> float:
    """A line of ``/proc/self/status``, in megabytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[1]) / 1024


def _quartiles(values: Sequence[float]) -> list[float]:
    """The three quartiles; of a single value, that value."""
    found = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else list(values) * 3
    return [round(value, 4) for value in found]


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
