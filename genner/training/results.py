"""The results of a seed and of a run: plain values for ``result.json``."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats

from genner.training.job import FitResult

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None

__all__ = ["RunInfo", "failed_result", "peak_memory_mb", "run_result", "seed_result", "versions"]

#: Of the scores of a split, those that are averaged over seeds.
SCORES = ("f", "pre", "rec", "em", "strict_f", "strict_pre", "strict_rec")
_PACKAGES = ("torch", "transformers", "tokenizers", "fastNLP", "fitlog", "numpy")


@dataclass(frozen=True)
class RunInfo:
    """What a run's ``result.json`` says beside the scores."""

    dataset: str
    formulation: str
    target: str
    backbone: str
    reported: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    command: str


def seed_result(seed: int, fit: FitResult, device: str | None = None) -> dict[str, Any]:
    """The ``result.json`` of a seed that was trained in this process, on ``device`` if that is not ``fit.device``."""
    return {
        "seed": seed,
        "status": fit.status,
        **({"reason": fit.reason} if fit.reason else {}),
        "best_epoch": fit.best_epoch,
        "epochs": fit.epochs,
        "steps": fit.steps,
        "steps_per_second": round(fit.steps_per_second, 3),
        "train_seconds": round(fit.train_seconds, 2),
        "peak_memory_mb": peak_memory_mb(device or fit.device),
        "dev": fit.scores.get("dev", {}),
        "test": fit.scores.get("test", {}),
        "history": fit.history,
    }


def failed_result(seed: int, reason: str) -> dict[str, Any]:
    """The ``result.json`` of a seed whose process came to no end; the seed is trained when the command is repeated."""
    nothing = {"best_epoch": 0, "epochs": 0, "steps": 0, "steps_per_second": 0.0, "train_seconds": 0.0}
    return {"seed": seed, "status": "failed", "reason": reason, **nothing, "peak_memory_mb": 0.0, "dev": {}, "test": {}}


def run_result(info: RunInfo, seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The ``result.json`` of a run: its seeds, and what they are together.

    ``mean``, ``std`` (of a sample), ``min``, ``max`` and ``ci95`` (95 % interval of the mean, by Student's t) are over
    the seeds that are ok; ``mean_with_collapsed`` counts those that collapsed, too.
    """
    ok = [seed for seed in seeds if seed["status"] == "ok"]
    columns = _columns(ok)
    trained = _columns([seed for seed in seeds if seed["status"] != "failed"])
    return {
        "dataset": info.dataset,
        "formulation": info.formulation,
        "target": info.target,
        "backbone": info.backbone,
        "seeds": [dict(seed) for seed in seeds],
        "mean": {name: round(statistics.fmean(values), 4) for name, values in columns.items()},
        "std": {
            name: round(statistics.stdev(values), 4) if len(values) > 1 else 0.0 for name, values in columns.items()
        },
        "min": {name: min(values) for name, values in columns.items()},
        "max": {name: max(values) for name, values in columns.items()},
        "ci95": {name: _interval(values) for name, values in columns.items() if len(values) > 1},
        "mean_with_collapsed": {name: round(statistics.fmean(values), 4) for name, values in trained.items()},
        "n_ok": len(ok),
        "n_collapsed": sum(seed["status"] == "collapsed" for seed in seeds),
        "n_failed": sum(seed["status"] == "failed" for seed in seeds),
        "reported": dict(info.reported),
        "fingerprint": dict(info.fingerprint),
        "command": info.command,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that move numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def peak_memory_mb(device: str = "cpu") -> float:
    """The most memory in use so far: of the GPU as torch counts it, or of this process; 0 where it is not counted."""
    if torch.device(device).type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _columns(seeds: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    for seed in seeds:
        for name, value in _scores(seed):
            columns.setdefault(name, []).append(value)
    return columns


def _interval(values: Sequence[float]) -> list[float]:
    """Where the mean lies with a probability of 95 %, if the values are normally distributed."""
    reach = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return [round(mean - reach, 4), round(mean + reach, 4)]


def _scores(seed: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for split in ("dev", "test"):
        for name in SCORES:
            if name in seed[split]:
                yield f"{split}_{name}", seed[split][name]
