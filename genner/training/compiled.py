"""The training step behind ``torch.compile``: compiled once for batches of all lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from genner.errors import MissingBackendError
from genner.training.job import LossSum

__all__ = ["CompiledStep"]


class CompiledStep:
    """The ``loss`` of a task, compiled when it is first called; the task itself stays as it is.

    So its state has the same keys as ever, and its evaluation runs uncompiled. Sizes are symbols from the first
    batch on. A size of 1 is a constant to the compiler: the first batch of one sentence, and the first without any
    entity, are compiled anew.

    Args:
        step: a bound method, called with a batch.
        device: where it runs.
    """

    def __init__(self, step: Callable[[Mapping[str, Any]], LossSum], device: torch.device) -> None:
        torch.compiler.reset()  # graphs of a training before would keep its weights alive and count against the limit
        # The compiler's own random numbers are slow on a CPU; those of eager mode also give the dropout of eager mode.
        options = {"fallback_random": device.type == "cpu"}
        self._step = torch.compile(step, dynamic=True, options=options)

    def __call__(self, batch: Mapping[str, Any]) -> LossSum:
        """Run the step.

        Raises:
            MissingBackendError: nothing on this machine can compile it.
        """
        try:
            return self._step(batch)
        except TorchDynamoException as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise MissingBackendError(
                f"training.compile: the step cannot be compiled here: {reason}. Expected a C++ compiler and Python's "
                "headers (CPU) or triton (GPU). Install them (g++ and python3-dev), or set training.compile=false."
            ) from error
