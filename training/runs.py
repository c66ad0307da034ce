"""The folder that a run leaves behind, and the result of its seeds.

    runs/<dataset>/<run name>/  recipe.yaml  result.json  best -> seed-<n>/best
        seed-<n>/               recipe.yaml  result.json  train.log  last/  best/  predictions.<split>.jsonl
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import resource
import statistics
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from errors import ConfigError
from files import replace_link, write_json, write_text
from training.job import FitResult

__all__ = ["RunFolder", "RunInfo", "peak_memory_mb", "run_result", "seed_result", "versions"]

#: Settings that may change between two commands with the same run name: they choose seeds or speed, not scores.
FREE_KEYS = ("seeds", "data.cache", "training.num_workers", "batching.eval_size")
#: Of the scores of a split, those that are averaged over seeds.
SCORES = ("f", "pre", "rec", "em", "strict_f", "strict_pre", "strict_rec")
_PACKAGES = ("torch", "transformers", "tokenizers", "fastNLP", "fitlog", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """``runs/<dataset>/<run name>``; :meth:`open` makes it or finds that it holds the same run."""

    path: Path

    @classmethod
    def open(cls, path: Path, recipe: str, *, free_keys: Collection[str] = FREE_KEYS) -> RunFolder:
        """Make the folder with its ``recipe.yaml``, or continue the run in it.

        A run that never came to the end of an epoch may still change its recipe: it has nothing to continue.

        Args:
            path: the run's folder.
            recipe: the resolved recipe as YAML.
            free_keys: dotted names of settings that may differ from those of the run in the folder.

        Raises:
            ConfigError: the folder holds a run with another recipe, or something that is no run.
        """
        stored = path / "recipe.yaml"
        if stored.exists() and _has_begun(path):
            changes = list(_differences(_settings(stored.read_text(encoding="utf-8")), _settings(recipe), free_keys))
            if changes:
                raise ConfigError(
                    f"{path}: holds a run with another recipe: {'; '.join(changes)}. Expected the same settings to "
                    "continue it. Choose another --run_name, or remove the folder."
                )
        elif not stored.exists() and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(f"{path}: holds no run (no recipe.yaml). Expected a new name. Choose another --run_name.")
        write_text(stored, recipe)
        return cls(path)

    def seed(self, seed: int) -> Path:
        """The folder of one seed."""
        return self.path / f"seed-{seed}"

    def finish_seed(self, seed: int, result: Mapping[str, Any], recipe: str) -> None:
        """Write ``result.json`` and ``recipe.yaml`` of one seed, the recipe into its model folder as well."""
        folder = self.seed(seed)
        write_text(folder / "recipe.yaml", recipe)
        if (folder / "best").is_dir():
            write_text(folder / "best" / "recipe.yaml", recipe)
        write_json(folder / "result.json", result)

    def results(self) -> list[dict[str, Any]]:
        """The results of all finished seeds, by seed; of earlier commands, too."""
        found = [json.loads(path.read_text(encoding="utf-8")) for path in self.path.glob("seed-*/result.json")]
        return sorted(found, key=lambda result: result["seed"])

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the run's ``result.json`` and let ``best`` point at the seed with the best dev score.

        Seeds without a dev score are compared by their test score; collapsed seeds are taken only if all are.
        """
        write_json(self.path / "result.json", result)
        candidates = [seed for seed in result["seeds"] if (self.seed(seed["seed"]) / "best").is_dir()]
        if candidates:
            best = max(candidates, key=lambda seed: (seed["status"] == "ok", _selecting_score(seed), -seed["seed"]))
            replace_link(self.path / "best", self.seed(best["seed"]) / "best")


@dataclass(frozen=True)
class RunInfo:
    """What a run's ``result.json`` says beside the scores."""

    dataset: str
    formulation: str
    backbone: str
    reported: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    command: str


def seed_result(seed: int, fit: FitResult, device: str | None = None) -> dict[str, Any]:
    """The ``result.json`` of a seed that was trained in this process, on ``device`` if that is not ``fit.device``."""
    return {
        "seed": seed,
        "status": fit.status,
        "best_epoch": fit.best_epoch,
        "epochs": fit.epochs,
        "steps": fit.steps,
        "steps_per_second": round(fit.steps_per_second, 3),
        "train_seconds": round(fit.train_seconds, 2),
        "peak_memory_mb": peak_memory_mb(device or fit.device),
        "dev": fit.scores.get("dev", {}),
        "test": fit.scores.get("test", {}),
    }


def run_result(info: RunInfo, seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The ``result.json`` of a run: means and sample standard deviations over the seeds that are ok."""
    ok = [seed for seed in seeds if seed["status"] == "ok"]
    columns: dict[str, list[float]] = {}
    for seed in ok:
        for name, value in _scores(seed):
            columns.setdefault(name, []).append(value)
    return {
        "dataset": info.dataset,
        "formulation": info.formulation,
        "backbone": info.backbone,
        "seeds": [dict(seed) for seed in seeds],
        "mean": {name: round(statistics.fmean(values), 4) for name, values in columns.items()},
        "std": {
            name: round(statistics.stdev(values), 4) if len(values) > 1 else 0.0 for name, values in columns.items()
        },
        "n_ok": len(ok),
        "n_collapsed": sum(seed["status"] == "collapsed" for seed in seeds),
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
    """The most memory in use so far: of the GPU as torch counts it, or of this process."""
    if torch.device(device).type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _scores(seed: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for split in ("dev", "test"):
        for name in SCORES:
            if name in seed[split]:
                yield f"{split}_{name}", seed[split][name]


def _selecting_score(seed: Mapping[str, Any]) -> float:
    return (seed["dev"] or seed["test"]).get("f", 0.0)


def _has_begun(path: Path) -> bool:
    return any(path.glob("seed-*/last/*")) or any(path.glob("seed-*/result.json"))


def _settings(text: str) -> dict[str, Any]:
    """Settings by dotted name."""
    content = yaml.safe_load(text)
    if not isinstance(content, Mapping):
        return {"recipe": content}
    return dict(_leaves(content, ""))


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], free_keys: Collection[str]) -> Iterator[str]:
    for name in sorted(there.keys() | here.keys()):
        if name not in free_keys and there.get(name) != here.get(name):
            yield f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
