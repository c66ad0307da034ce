"""Where a task lies while it is trained: a driver of ours, handed to the fastNLP Trainer as an instance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

import genner.patches  # noqa: F401  before fastNLP
from genner.training.world import World

# isort: split
from fastNLP import TorchSingleDriver

__all__ = ["Placement", "SingleDriver", "left_alone", "on_one_device"]

#: Puts a task where it is trained; the device is that of its batches.
Placement = Callable[[nn.Module, torch.device], None]


def on_one_device(task: nn.Module, device: torch.device) -> None:
    """All of the task on the device of the process."""
    task.to(device)


def left_alone(task: nn.Module, device: torch.device) -> None:
    """The task stays where it is, for one that is spread over several devices."""


class SingleDriver(TorchSingleDriver):
    """The driver of one process. The steps of the task take whole batches and may run in mixed precision.

    Args:
        task: what is trained.
        world: of this process.
        placement: where the task goes.
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
