"""How training steps run: the task's placement on its device, mixed precision, ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

import genner.patches  # noqa: F401  before fastNLP
from genner.errors import MissingBackendError
from genner.training.world import World

# isort: split
from fastNLP import TorchSingleDriver

__all__ = ["CompiledStep", "Placement", "SingleDriver", "left_alone", "on_one_device"]

#: Puts a task where it is trained; the device is that of its batches.
Placement = Callable[[nn.Module, torch.device], None]


def on_one_device(task: nn.Module, device: torch.device) -> None:
    """All of the task on the device of the process."""
    task.to(device)


def left_alone(task: nn.Module, device: torch.device) -> None:
    """The task stays where it is, for one that is spread over several devices."""


class SingleDriver(TorchSingleDriver):
    """fastNLP's driver of one process. Training steps take whole batches and may run in mixed precision.

    Args:
        task: what is trained.
        world: of this process.
        placement: puts the task where it is trained.
        bf16: run the training steps under ``torch.autocast`` in bfloat16.
    """

    def __init__(self, task: nn.Module, world: World, placement: Placement, *, bf16: bool = False) -> None:
        super().__init__(task, world.device, torch_kwargs={"set_grad_to_none": True}, model_wo_auto_param_call=True)
        self.global_rank, self.world_size = world.rank, world.size
        self.placement = placement
        if bf16:
            self.auto_cast = partial(torch.autocast, world.device.type, dtype=torch.bfloat16)

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
