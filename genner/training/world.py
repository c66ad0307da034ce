"""The processes that work on a run together, and the device of each. One process is the trivial case of many."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeVar

import torch

from genner.errors import ConfigError, MissingBackendError

__all__ = ["World", "choose_device", "open_world"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """What one process knows of all of them.

    Attributes:
        device: of this process.
        rank: number of this process, from 0; rank 0 scores and writes.
        size: number of processes.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    def barrier(self) -> None:
        """Wait until every process is here."""

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, by rank."""
        return [value]


def open_world(device: str, *, deterministic: bool = True) -> World:
    """The world of a process that works alone, its device ready and its memory counted from now on.

    Args:
        device: see :func:`choose_device`.
        deterministic: the same numbers in every run, see :func:`_set_deterministic`; a CPU always gives them.

    Raises:
        ConfigError, MissingBackendError: see :func:`choose_device`.
    """
    chosen = choose_device(device)
    if chosen.type == "cuda":
        _set_deterministic(deterministic)
        torch.cuda.init()  # torch refuses to reset the statistics of a device that it does not know yet
        torch.cuda.reset_peak_memory_stats(chosen)
    return World(chosen)


def _set_deterministic(is_on: bool) -> None:
    """Whether torch takes only algorithms on GPUs that give the same bits in every run on the same machine.

    Otherwise sums of gradients (of gathered rows, of attention) are atomic, in the order in which threads arrive.
    """
    if is_on:
        # Read when cuBLAS is first used; without it, it may take another workspace, and so another order of sums.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(is_on)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a help for finding errors that costs time
    torch.backends.cudnn.benchmark = False


def choose_device(name: str) -> torch.device:
    """The device of a name: ``cpu``, ``cuda``, ``cuda:<number>``, or ``auto`` for a GPU if there is one.

    Raises:
        ConfigError: there is no device of that name.
        MissingBackendError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise _unknown(name) from None
    if device.type not in ("cpu", "cuda"):
        raise _unknown(name)
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise MissingBackendError(f"device: no {name!r} here, {count} GPUs visible. Expected a visible one. Use auto.")
    return device


def _unknown(name: str) -> ConfigError:
    return ConfigError(f"device: unknown device {name!r}. Expected auto, cpu, cuda or cuda:<number>. Use auto.")
