"""The results of a seed and of a run: plain values for ``result.json``."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from genner.evaluation.spread import Spread, spread_over_seeds
from genner.training.job import FitResult

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None

__all__ = ["RunInfo", "failed_result", "peak_memory_mb", "run_result", "seed_result", "versions"]

_PACKAGES = ("torch", "transformers", "tokenizers", "fastNLP", "fitlog", "numpy")


@dataclass(frozen=True)
class RunInfo:
    """What a run's ``result.json`` holds besides the scores."""

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
    """The ``result.json`` of a seed whose process failed; it is trained when the command is repeated."""
    nothing = {"best_epoch": 0, "epochs": 0, "steps": 0, "steps_per_second": 0.0, "train_seconds": 0.0}
    return {"seed": seed, "status": "failed", "reason": reason, **nothing, "peak_memory_mb": 0.0, "dev": {}, "test": {}}


def run_result(info: RunInfo, seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The ``result.json`` of a run: its seeds and their summary.

    ``mean``, ``std`` (of a sample), ``min``, ``max`` and ``ci95`` (95 % confidence interval of the mean, Student's t)
    are over the seeds that are ok; ``mean_with_collapsed`` also includes those that collapsed. Scores that only one
    seed has are absent from ``std`` and ``ci95``. ``mean_plain`` and ``std_plain`` are those of the seeds that are ok
    before anything was decided on dev; if nothing was, they are empty.
    """
    plain = _by_name(spread_over_seeds([{"status": seed["status"], **(seed.get("plain") or {})} for seed in seeds]))
    ok = _by_name(spread_over_seeds(seeds))
    trained = _by_name(spread_over_seeds(seeds, ("ok", "collapsed")))
    several = {name: spread for name, spread in ok.items() if spread["n"] > 1}
    return {
        "dataset": info.dataset,
        "formulation": info.formulation,
        "target": info.target,
        "backbone": info.backbone,
        "seeds": [dict(seed) for seed in seeds],
        "mean": {name: spread["mean"] for name, spread in ok.items()},
        "std": {name: spread["std"] for name, spread in several.items()},
        "min": {name: spread["min"] for name, spread in ok.items()},
        "max": {name: spread["max"] for name, spread in ok.items()},
        "ci95": {name: [spread["low"], spread["high"]] for name, spread in several.items()},
        "mean_plain": {name: spread["mean"] for name, spread in plain.items()},
        "std_plain": {name: spread["std"] for name, spread in plain.items() if spread["n"] > 1},
        "mean_with_collapsed": {name: spread["mean"] for name, spread in trained.items()},
        "n_ok": sum(seed["status"] == "ok" for seed in seeds),
        "n_collapsed": sum(seed["status"] == "collapsed" for seed in seeds),
        "n_failed": sum(seed["status"] == "failed" for seed in seeds),
        "reported": dict(info.reported),
        "fingerprint": dict(info.fingerprint),
        "command": info.command,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect scores."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def peak_memory_mb(device: str = "cpu") -> float:
    """Peak memory so far: of the GPU as torch counts it, or of this process; 0 where it cannot be measured."""
    if torch.device(device).type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _by_name(spreads: Mapping[str, Mapping[str, Spread]]) -> dict[str, Spread]:
    """Under ``test_f`` instead of ``test`` and ``f``."""
    return {f"{split}_{name}": spread for split, found in spreads.items() for name, spread in found.items()}
