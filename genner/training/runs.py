"""The folder that a run leaves behind.

    runs/<dataset>/<run name>/  recipe.yaml  result.json  best -> seed-<n>/best
        seed-<n>/               recipe.yaml  result.json  train.log  last/  best/  predictions.<split>.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genner.errors import ConfigError
from genner.files import replace_link, write_json, write_text

__all__ = ["RunFolder", "fixed_settings"]

#: Settings that may change between two commands with the same run name: they choose seeds or speed, not scores, or
#: what becomes of a seed that has collapsed.
FREE_KEYS = (
    "seeds",
    "data.cache",
    "training.num_workers",
    "training.on_collapse",
    "training.restarts",
    "training.track",
    "batching.eval_size",
    "generation.draft_len",
    "generation.draft_rows",
)


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

    def attempts(self, seed: int) -> list[dict[str, Any]]:
        """The attempts of a seed that collapsed and were followed by another one."""
        path = self.seed(seed) / "attempts.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def add_attempt(self, seed: int, attempt: Mapping[str, Any]) -> None:
        """Note a collapsed attempt; from then on its state and model are those of an earlier one."""
        write_json(self.seed(seed) / "attempts.json", [*self.attempts(seed), dict(attempt)])

    def result(self, seed: int) -> dict[str, Any] | None:
        """The result of a seed, None if it has none yet."""
        path = self.seed(seed) / "result.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

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


def fixed_settings(recipe: str) -> str:
    """The settings of a recipe (YAML) that may not change within a run, as one comparable text."""
    settings = _settings(recipe)
    return json.dumps({name: settings[name] for name in sorted(settings.keys() - set(FREE_KEYS))}, default=str)


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
