"""fastNLP callbacks of every run: learning rate, clipping, mean loss and progress.

fastNLP brings some of these; ours differ where those forget their state in a resumed run, count wrongly under
accumulation, or read the loss in every step, which makes a GPU wait.
"""

from __future__ import annotations

import time
from typing import Any

import torch

import genner.patches  # noqa: F401  before fastNLP
from genner.training.collapse import CollapseWatch
from genner.training.optim import Schedule
from genner.training.progress import Progress

# isort: split
from fastNLP import Callback
from fastNLP.core.callbacks import ProgressCallback

__all__ = ["ClipGradients", "EpochMeter", "LearningRate", "ShowProgress"]


class LearningRate(Callback):
    """Sets the rate of every group, from the number of the step alone, right before the optimizer uses it.

    Args:
        schedule: the factor by step.
        base_rates: rates of the parameter groups before the schedule.
    """

    def __init__(self, schedule: Schedule, base_rates: list[float]) -> None:
        super().__init__()
        self.schedule, self.base_rates = schedule, base_rates

    def on_before_optimizers_step(self, trainer: Any, optimizers: Any) -> None:
        factor = self.schedule.factor(trainer.optimizer_step, trainer.schedule_steps)
        for optimizer in trainer.driver.optimizers:
            for group, rate in zip(optimizer.param_groups, self.base_rates, strict=True):
                group["lr"] = rate * factor


class ClipGradients(Callback):
    """Clips every element of every gradient to [-limit, limit].

    Args:
        limit: above 0.
        watch: has taken the norm of all gradients together when this callback's turn comes.
    """

    def __init__(self, limit: float, watch: CollapseWatch) -> None:
        super().__init__()
        self.limit, self.watch = limit, watch

    def on_before_optimizers_step(self, trainer: Any, optimizers: Any) -> None:
        # No element is larger than the norm of all: a small one leaves nothing to clip. A GPU would be waited for.
        if self.watch.norm.device.type == "cpu" and self.watch.norm <= self.limit:
            return
        for optimizer in trainer.driver.optimizers:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_value_(parameters, self.limit)


class EpochMeter(Callback):
    """Mean loss and time of the present epoch; the loss stays on its device until somebody asks.

    Attributes:
        seconds: training time of the last epoch, evaluations not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._sum: torch.Tensor | float = 0.0
        self._batches = 0
        self._begun_at = 0.0

    @property
    def mean_loss(self) -> float:
        """Mean over the batches so far; waits for the device."""
        return float(self._sum) / max(self._batches, 1)

    def on_train_epoch_begin(self, trainer: Any) -> None:
        self._sum, self._batches, self._begun_at = 0.0, 0, time.perf_counter()

    def on_before_backward(self, trainer: Any, outputs: Any) -> None:
        self._sum = self._sum + outputs.mean.detach().float()
        self._batches += 1

    def on_train_epoch_end(self, trainer: Any) -> None:
        _ = self.mean_loss  # the epoch is over when the device is done
        self.seconds = time.perf_counter() - self._begun_at


class ShowProgress(ProgressCallback):
    """One bar per epoch, or a line now and then, with the mean loss so far."""

    def __init__(self, meter: EpochMeter) -> None:
        super().__init__(monitor=None, larger_better=True, must_have_monitor=False)
        self.meter = meter
        self._progress: Progress | None = None

    def on_train_epoch_begin(self, trainer: Any) -> None:
        title = f"epoch {trainer.cur_epoch_idx + 1}/{trainer.n_epochs}"
        self._progress = Progress(trainer.num_batches_per_epoch, title)

    def on_train_batch_end(self, trainer: Any) -> None:
        self._progress.advance(self._note)

    def on_train_epoch_end(self, trainer: Any) -> None:
        self._progress.close()

    def on_exception(self, trainer: Any, exception: BaseException) -> None:
        if self._progress is not None:
            self._progress.close()

    def _note(self) -> str:
        return f"loss {self.meter.mean_loss:.4f}"
