"""Where and how training steps run: the device, the task's placement on it, mixed precision, ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

import genner.patches  # noqa: F401  before fastNLP
from genner.errors import ConfigError, MissingBackendError

# isort: split
from fastNLP import TorchSingleDriver

__all__ = ["CompiledStep", "Placement", "SingleDriver", "choose_device", "left_alone", "on_one_device", "open_device"]

#: Puts a task where it is trained; the device is that of its batches.
Placement = Callable[[nn.Module, torch.device], None]


def on_one_device(task: nn.Module, device: torch.device) -> None:
    """All of the task on the device of the process."""
    task.to(device)


def left_alone(task: nn.Module, device: torch.device) -> None:
    """The task stays where it is, for one that is spread over several devices."""


def open_device(name: str) -> torch.device:
    """The device that :func:`choose_device` chooses, ready to use and with its memory statistics reset."""
    device = choose_device(name)
    if device.type == "cuda":
        torch.cuda.init()  # torch refuses to reset the statistics of a device that it does not know yet
        torch.cuda.reset_peak_memory_stats(device)
    return device


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
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device: unknown device {name!r}. Expected auto, cpu, cuda or cuda:<number>. Use auto.")
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise MissingBackendError(f"device: no {name!r} here, {count} GPUs visible. Expected a visible one. Use auto.")
    return device


class SingleDriver(TorchSingleDriver):
    """fastNLP's driver of one process. Training steps take whole batches and may run in mixed precision.

    Args:
        task: what is trained.
        device: of its batches.
        placement: puts the task where it is trained.
        bf16: run the training steps under ``torch.autocast`` in bfloat16.
    """

    def __init__(self, task: nn.Module, device: torch.device, placement: Placement, *, bf16: bool = False) -> None:
        super().__init__(task, device, torch_kwargs={"set_grad_to_none": True}, model_wo_auto_param_call=True)
        self.placement = placement
        if bf16:
            self.auto_cast = partial(torch.autocast, device.type, dtype=torch.bfloat16)

    def setup(self) -> None:
        """Place the task; the Trainer calls this once."""
        self.placement(self.model, self.model_device)


class CompiledStep:
    """The ``loss`` of a task, compiled at its first call; evaluation and the keys of the task's state stay the same.

    Sizes are symbolic from the first batch on, except that the compiler treats 1 as a constant: the first batch of one
    sentence and the first without any entity are compiled separately.

    Args:
        step: a bound method, called with a batch.
        device: where it runs.
    """

    def __init__(self, step: Callable[[Mapping[str, Any]], Any], device: torch.device) -> None:
        torch.compiler.reset()  # graphs of an earlier training would keep its weights alive and count against the limit
        # The compiler's own random numbers are slow on a CPU; those of eager mode also give the dropout of eager mode.
        options = {"fallback_random": device.type == "cpu"}
        self._step = torch.compile(step, dynamic=True, options=options)

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """Run the step; raises :class:`MissingBackendError` if nothing on this machine can compile it."""
        try:
            return self._step(batch)
        except TorchDynamoException as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise MissingBackendError(
                f"training.compile: the step cannot be compiled here: {reason}. Expected a C++ compiler and Python's "
                "headers (CPU) or triton (GPU). Install them (g++ and python3-dev), or set training.compile=false."
            ) from error
