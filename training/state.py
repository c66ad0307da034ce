"""What a run needs to go on at the next epoch as if it had never stopped."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises where it refuses to read anything but tensors
from typing import Any

import numpy as np
import torch
from torch import nn

from errors import ConfigError
from files import replace_file

__all__ = ["RunState", "load_state", "random_states", "restore_random_states", "save_state", "seed_everything"]

_FILE = "state.pt"
_VERSION = 1


@dataclass
class RunState:
    """Where a run stands after a number of whole epochs; plain values only, so that it can be loaded safely.

    Attributes:
        epoch: epochs done.
        total_steps: optimizer steps of the whole run, which the learning rate depends on.
        train_seconds: spent in training steps, evaluations not counted, over all continuations.
        status: ``ok``, or ``collapsed``, which ends a run.
        best: ``{"epoch", "value", "scores": {split: {...}}}`` of the best epoch, empty before the first evaluation.
        history: a record per epoch.
    """

    epoch: int = 0
    total_steps: int = 0
    train_seconds: float = 0.0
    status: str = "ok"
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """The states of all random generators, as values that ``torch.load(weights_only=True)`` reads."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": random.getstate(),
        # numpy's own array would need pickle to be loaded.
        "numpy": (str(name), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put back what :func:`random_states` returned; states of devices that are not here are left out."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


def save_state(folder: Path, task: nn.Module, optimizer: torch.optim.Optimizer, state: RunState) -> None:
    """Replace the state in ``folder``: a process killed at any moment leaves the old file or the new one."""
    content = {
        "version": _VERSION,
        "run": asdict(state),
        "model": task.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": random_states(),
    }
    with replace_file(folder / _FILE) as file:
        torch.save(content, file)


def load_state(
    folder: Path, task: nn.Module, optimizer: torch.optim.Optimizer, *, total_steps: int
) -> RunState | None:
    """Restore task, optimizer and random states from ``folder``.

    Returns:
        Where the run stood, or None if nothing was saved there.

    Raises:
        ConfigError: the state cannot be read, or belongs to a run with another model or another number of steps.
    """
    path = folder / _FILE
    if not path.exists():
        return None
    advice = "Expected the state of the same run. Choose another --run_name, or remove the folder to begin anew."
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = RunState(**content["run"])
        if state.total_steps != total_steps:
            raise ConfigError(
                f"{path}: saved in a run of {state.total_steps} steps, this one has {total_steps} "
                f"(other data, batches or epochs). {advice}"
            )
        task.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        restore_random_states(content["random"])
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError, UnpicklingError) as error:
        raise ConfigError(f"{path}: cannot be continued: {str(error).splitlines()[0]} {advice}") from error
    return state
