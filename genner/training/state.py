"""Checkpoints: what a run needs to resume at the next epoch as if it had never stopped."""

from __future__ import annotations

import logging
import random
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises where it refuses to read anything but tensors
from typing import Any

import numpy as np
import torch
from torch import nn

from genner.errors import ConfigError
from genner.files import replace_file

__all__ = ["RunState", "has_state", "load_state", "save_state", "seed_everything"]

logger = logging.getLogger(__name__)

#: The checkpoint of the last complete epoch, and that of the epoch before in case the file is damaged.
_FILE, _PREVIOUS = "state.pt", "previous.pt"
_VERSION = 1
_ADVICE = "Expected a checkpoint of the same run. Choose another --run_name, or remove the folder to start over."
# What reading a damaged file raises; a file that tries to execute code raises UnpicklingError.
_DAMAGES = (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError, UnpicklingError, zipfile.BadZipFile)


@dataclass
class RunState:
    """The progress of a run after a number of complete epochs; plain values only, so that it can be loaded safely.

    Attributes:
        epoch: epochs completed.
        total_steps: optimizer steps of the run as first configured, which the learning rate depends on.
        train_seconds: in training steps, evaluations excluded, also before the run was resumed.
        status: ``ok``, or ``collapsed``, which ends a run.
        reason: why it collapsed.
        attempt: how often the seed was restarted after a collapse.
        best: ``{"epoch", "value", "scores": {split: {...}}}`` of the best epoch; empty before the first evaluation.
        history: a record per epoch.
    """

    epoch: int = 0
    total_steps: int = 0
    train_seconds: float = 0.0
    status: str = "ok"
    reason: str = ""
    attempt: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _random_states() -> dict[str, Any]:
    """The states of all random generators, as values that ``torch.load(weights_only=True)`` reads."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": random.getstate(),
        # numpy's own array would need pickle to be loaded.
        "numpy": (str(name), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _restore_random_states(states: dict[str, Any]) -> None:
    """Restore what :func:`_random_states` returned, except for devices that are missing."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def save_state(folder: Path, task: nn.Module, optimizer: torch.optim.Optimizer, state: RunState) -> None:
    """Replace the checkpoint in ``folder``: a process killed at any moment leaves the old file or the new one.

    The previous checkpoint stays as ``previous.pt``, in case the new one is damaged later.
    """
    content = {
        "version": _VERSION,
        "run": asdict(state),
        "model": task.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": _random_states(),
    }
    with replace_file(folder / _FILE, keep_old_as=folder / _PREVIOUS) as file:
        torch.save(content, file)


def has_state(folder: Path) -> bool:
    """Whether ``folder`` has the checkpoint of the last complete epoch."""
    return (folder / _FILE).is_file()


def load_state(
    folder: Path,
    task: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    total_steps: int,
    attempt: int = 0,
    may_lengthen: bool = False,
) -> RunState | None:
    """Restore task, optimizer and random states from ``folder``; a damaged file is reported and the previous one used.

    Args:
        folder: where :func:`save_state` wrote.
        task, optimizer: restored in place.
        total_steps: of the run; a checkpoint of a run with another number is refused.
        attempt: the checkpoint of an earlier attempt is ignored.
        may_lengthen: also accept the checkpoint of a run of fewer steps.

    Returns:
        The progress of the run; None if there is no checkpoint of this attempt.

    Raises:
        ConfigError: no file can be read, or it belongs to a run with another model or another number of steps.
    """
    paths = [path for path in (folder / _FILE, folder / _PREVIOUS) if path.exists()]
    found = _first_readable(paths)
    if found is None:
        return None
    path, content = found
    try:
        state = RunState(**content["run"])
        if state.attempt < attempt:
            return None
        if state.total_steps != total_steps and not (may_lengthen and state.total_steps < total_steps):
            raise ConfigError(
                f"{path}: saved in a run of {state.total_steps} steps, this one has {total_steps} "
                f"(other data, batches or epochs). {_ADVICE}"
            )
        task.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        _restore_random_states(content["random"])
    except _DAMAGES as error:
        raise _unusable(path, error) from error
    return state


def _first_readable(paths: list[Path]) -> tuple[Path, dict[str, Any]] | None:
    """The first undamaged file, with its content; None if there are no files."""
    for number, path in enumerate(paths, 1):
        try:
            return path, _read(path)
        except _DAMAGES as error:
            if number == len(paths):
                raise _unusable(path, error) from error
            logger.warning("%s: damaged (%s); resuming from the previous epoch", path, _first_line(error))
            path.unlink()  # or the next epoch would keep it as previous.pt
    return None


def _read(path: Path) -> dict[str, Any]:
    # torch does not verify the checksums that it writes.
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise RuntimeError(f"{damaged} has a wrong checksum")
    return torch.load(path, map_location="cpu", weights_only=True)


def _unusable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path}: cannot be resumed: {_first_line(error).rstrip('.')}. {_ADVICE}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
