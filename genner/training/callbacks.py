"""fastNLP callbacks of every run: learning rate, clipping, collapse, mean loss and progress.

fastNLP has some of these, but they lose their state when a run is resumed, count wrongly under accumulation, or read
the loss in every step, which makes a GPU wait.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch

import genner.patches  # noqa: F401  before fastNLP
from genner.training.logs import Progress
from genner.training.optim import Schedule

# isort: split
from fastNLP import Callback
from fastNLP.core.callbacks import ProgressCallback
from fastNLP.core.utils.exceptions import EarlyStopException

__all__ = ["ClipGradients", "CollapseWatch", "EpochMeter", "LearningRate", "ShowProgress"]

# Reading a loss makes a GPU wait, so it is read every so many batches; a sum that is not finite once stays so.
_LOOK_EVERY = 50


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
        for group, rate in zip(trainer.parameter_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor


class CollapseWatch(Callback):
    """Stops the run at a loss or gradient that is not finite; keeps the norms of the gradients before clipping.

    Attributes:
        norm: of all gradients of the present step together, a scalar on their device.

    Raises:
        EarlyStopException: within an epoch, at the latest 50 batches after the loss went wrong.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reason = ""
        self.norm = torch.zeros(())
        self._norms: torch.Tensor | float = 0.0
        self._largest: torch.Tensor | float = 0.0
        self._steps = 0

    @property
    def gradient_norm(self) -> dict[str, float]:
        """``{"grad_norm", "grad_norm_max"}``: mean and maximum over the steps of the epoch; waits for the device."""
        mean = float(self._norms) / max(self._steps, 1)
        return {"grad_norm": mean, "grad_norm_max": float(self._largest)}

    def on_train_epoch_begin(self, trainer: Any) -> None:
        self._norms, self._largest, self._steps = 0.0, 0.0, 0

    def on_before_optimizers_step(self, trainer: Any, optimizers: Any) -> None:
        weights = [weight for group in trainer.parameter_groups for weight in group["params"]]
        self.norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        self._norms = self._norms + self.norm
        self._largest = self.norm if self._steps == 0 else torch.maximum(self._largest, self.norm)
        self._steps += 1

    def on_train_batch_end(self, trainer: Any) -> None:
        batch = trainer.batch_idx_in_epoch
        if batch % _LOOK_EVERY == 0 or batch in (1, trainer.num_batches_per_epoch):
            watched = {"mean loss": trainer.meter.mean_loss, "gradients' norm": float(self._norms)}
            for name, value in watched.items():
                if not math.isfinite(value):
                    self.reason = f"the {name} is {value} in epoch {trainer.cur_epoch_idx + 1}"
                    raise EarlyStopException(self.reason)


class ClipGradients(Callback):
    """Clips every element of every gradient to [-limit, limit].

    Args:
        limit: above 0.
        watch: runs before this callback, so it has the norm of all gradients of the step.
    """

    def __init__(self, limit: float, watch: CollapseWatch) -> None:
        super().__init__()
        self.limit, self.watch = limit, watch

    def on_before_optimizers_step(self, trainer: Any, optimizers: Any) -> None:
        # No element exceeds the norm, so a small norm leaves nothing to clip. On a GPU the check would have to wait.
        if self.watch.norm.device.type == "cpu" and self.watch.norm <= self.limit:
            return
        parameters = [parameter for group in trainer.parameter_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_value_(parameters, self.limit)


class EpochMeter(Callback):
    """Mean loss and time of the present epoch; the loss stays on its device until it is read.

    Attributes:
        seconds: training time of the last epoch, evaluations excluded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._sum: torch.Tensor | float = 0.0
        self._batches = 0
        self._started_at = 0.0

    @property
    def mean_loss(self) -> float:
        """Mean over the batches so far; waits for the device."""
        return float(self._sum) / max(self._batches, 1)

    def on_train_epoch_begin(self, trainer: Any) -> None:
        self._sum, self._batches, self._started_at = 0.0, 0, time.perf_counter()

    def on_before_backward(self, trainer: Any, outputs: Any) -> None:
        self._sum = self._sum + outputs.mean.detach().float()
        self._batches += 1

    def on_train_epoch_end(self, trainer: Any) -> None:
        _ = self.mean_loss  # the epoch is over when the device is done
        self.seconds = time.perf_counter() - self._started_at


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
        self._progress.advance(lambda: f"loss {self.meter.mean_loss:.4f}")

    def on_train_epoch_end(self, trainer: Any) -> None:
        self._progress.close()

    def on_exception(self, trainer: Any, exception: BaseException) -> None:
        if self._progress is not None:
            self._progress.close()
