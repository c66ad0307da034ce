"""The folder that a run leaves behind, and the lock that one process at a time holds on it.

    runs/<dataset>/<run name>/  run.json  recipe.yaml  result.json  best -> seed-<n>/best
        seed-<n>/               recipe.yaml  result.json  train.log  last/  best/  predictions.<split>.jsonl

``run.json`` is what makes two runs the same; ``recipe.yaml`` is documentation and is never read back.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genner.errors import ConfigError
from genner.files import replace_link, write_json, write_text
from genner.training.identity import RunIdentity, differences, version_changes
from genner.training.state import has_state

__all__ = ["RunFolder", "locked"]

logger = logging.getLogger(__name__)

_EPOCHS, _SCHEDULE = "training.epochs", "optim.schedule"


@dataclass(frozen=True)
class RunFolder:
    """``runs/<dataset>/<run name>``; :meth:`open` creates it or checks that it holds the same run."""

    path: Path

    @classmethod
    def open(
        cls, path: Path, identity: RunIdentity, recipe: str, train_on: Callable[[int], str] | None = None
    ) -> RunFolder:
        """Create the folder with its ``run.json``, or resume the run in it; the caller holds its lock.

        A run that never completed an epoch may still change: it has nothing to resume. More epochs can be added if the
        seeds have kept their checkpoints and the learning rate does not depend on the number of epochs.

        Args:
            path: the run's folder.
            identity: of the run.
            recipe: its resolved recipe as text, kept as documentation.
            train_on: the command of a new run of so many epochs that starts from the model of this one.

        Raises:
            ConfigError: the folder holds another run, or something that is not a run.
        """
        run = cls(path)
        if not run._file.exists():
            _refuse_others(path)
            identity.write(run._file)
        elif not run._has_started():
            identity.write(run._file)
        else:
            stored = run.identity
            longer = replace(stored, settings={**stored.settings, _EPOCHS: identity.settings.get(_EPOCHS)})
            if _is_raised(stored, longer) and not any(differences(longer, identity)):
                run._lengthen(stored, longer, train_on)
            else:
                run.check(identity)
            if changes := version_changes(stored, identity):
                logger.info("%s: library versions have changed: %s. Scores may differ", path, "; ".join(changes))
        write_text(path / "recipe.yaml", recipe)
        return run

    @property
    def identity(self) -> RunIdentity:
        """The identity in ``run.json``."""
        return RunIdentity.read(self._file)

    def check(self, identity: RunIdentity) -> None:
        """Raise a ConfigError that lists all differences if this is another run."""
        if changes := list(differences(self.identity, identity)):
            raise ConfigError(
                f"{self.path}: holds another run: {'; '.join(changes)}. Expected the same run, to resume it. Choose "
                "another --run_name, or remove the folder."
            )

    def seed(self, seed: int) -> Path:
        """The folder of one seed."""
        return self.path / f"seed-{seed}"

    def attempts(self, seed: int) -> list[dict[str, Any]]:
        """The attempts of a seed that collapsed and were followed by a restart."""
        path = self.seed(seed) / "attempts.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def add_attempt(self, seed: int, attempt: Mapping[str, Any]) -> None:
        """Record a collapsed attempt; its checkpoint and model then count as those of an earlier attempt."""
        write_json(self.seed(seed) / "attempts.json", [*self.attempts(seed), dict(attempt)])

    def result(self, seed: int) -> dict[str, Any] | None:
        """The result of a seed; None if it has none yet."""
        path = self.seed(seed) / "result.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def finish_seed(self, seed: int, result: Mapping[str, Any], recipe: str) -> None:
        """Write ``result.json`` and ``recipe.yaml`` of one seed, the recipe into its model folder as well."""
        folder = self.seed(seed)
        write_text(folder / "recipe.yaml", recipe)
        if (folder / "best").is_dir():
            write_text(folder / "best" / "recipe.yaml", recipe)
        write_json(folder / "result.json", result)

    def drop_state(self, seed: int) -> None:
        """Remove the checkpoint of a finished seed."""
        shutil.rmtree(self.seed(seed) / "last", ignore_errors=True)

    def results(self) -> list[dict[str, Any]]:
        """The results of all finished seeds, those of earlier commands included, by seed."""
        return sorted(self._results().values(), key=lambda result: result["seed"])

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the run's ``result.json`` and point ``best`` at the best seed."""
        write_json(self.path / "result.json", result)
        if (best := self.best_seed(result)) is not None:
            replace_link(self.path / "best", best / "best")

    def best_seed(self, result: Mapping[str, Any]) -> Path | None:
        """The folder of the seed with the best dev score among those that have a model; None if none has.

        Seeds without a dev score are compared by their test score; collapsed seeds only count if all have collapsed.
        """
        candidates = [seed for seed in result["seeds"] if (self.seed(seed["seed"]) / "best").is_dir()]
        rank = lambda seed: (seed["status"] == "ok", _selecting_score(seed), -seed["seed"])  # noqa: E731
        return self.seed(max(candidates, key=rank)["seed"]) if candidates else None

    @property
    def _file(self) -> Path:
        return self.path / "run.json"

    def _results(self) -> dict[Path, dict[str, Any]]:
        return {path: json.loads(path.read_text(encoding="utf-8")) for path in self.path.glob("seed-*/result.json")}

    def _has_started(self) -> bool:
        results = self._results().values()
        return any(self.path.glob("seed-*/last/*")) or any(result["status"] != "failed" for result in results)

    def _lengthen(self, stored: RunIdentity, longer: RunIdentity, train_on: Callable[[int], str] | None) -> None:
        """Raise the number of epochs, or refuse to. The seeds are then unfinished, so their results are removed."""
        finished = [path for path, result in self._results().items() if result["status"] == "ok"]
        old, new = stored.settings[_EPOCHS], longer.settings[_EPOCHS]
        schedule = stored.settings.get(_SCHEDULE)
        if schedule != "constant" or not all(has_state(path.parent / "last") for path in finished):
            has_model = train_on is not None and (self.path / "best").is_dir()
            start = f"Start a new run from its model: {train_on(new - old)}" if has_model else ""
            raise ConfigError(
                f"{self.path}: holds a run of {old} epochs and cannot be extended to {new}. Expected "
                "optim.schedule=constant, which does not depend on the number of epochs, and training.keep_state=true. "
                + (start or f"Choose another --run_name to train {new} epochs from the beginning.")
            )
        # In this order: a process killed in between leaves checkpoints without results: either command can resume.
        for path in finished:
            path.unlink()
        longer.write(self._file)
        logger.info("%s: extended from %d to %d epochs", self.path, old, new)


def _is_raised(stored: RunIdentity, longer: RunIdentity) -> bool:
    old, new = (identity.settings.get(_EPOCHS) for identity in (stored, longer))
    return isinstance(old, int) and isinstance(new, int) and new > old


def _refuse_others(path: Path) -> None:
    """Raise a ConfigError if ``path`` exists and is not empty, hidden files aside."""
    if not path.exists() or (path.is_dir() and all(item.name.startswith(".") for item in path.iterdir())):
        return
    what = "a run of an earlier version" if (path / "recipe.yaml").is_file() else "something else"
    raise ConfigError(f"{path}: holds {what} (no run.json). Expected a new name. Choose another --run_name.")


def _selecting_score(seed: Mapping[str, Any]) -> float:
    return (seed["dev"] or seed["test"]).get("f", 0.0)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` while the block runs; the system releases the lock when the process ends, even if it is killed.

    The lock is the file ``.<name>.lock`` beside the folder, so that the folder can be removed or inspected;
    ``.<name>.holder`` names the process that holds it. A killed process leaves both files, but not the lock.

    Raises:
        ConfigError: another process holds it; the message names that process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    holder = folder.with_name(f".{folder.name}.holder")
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{folder}: in use by {_read(holder) or 'another process'}. Expected one process at a time on a run. "
            "Wait for it or stop it, or choose another name (--run_name)."
        ) from None
    try:
        if before := _read(holder):
            logger.info("%s: lock taken over from %s, which was killed", folder, before)
        holder.write_text(_myself(), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
