"""Watching a run for collapse: what ends it, and what is only worth a warning.

The published runs now and then fell to F1 0 and were left out of the mean; here a run says so itself, and early.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import torch

import genner.patches  # noqa: F401  before fastNLP
from genner.training.job import FitConfig

# isort: split
from fastNLP import Callback
from fastNLP.core.utils.exceptions import EarlyStopException

__all__ = ["CollapseWatch", "alarms", "collapse_reason", "health"]

logger = logging.getLogger(__name__)

# Reading a loss makes a GPU wait, so it is read now and then; a sum that is no number once stays so.
_LOOK_EVERY = 50
# A short run that has found nothing yet has not collapsed.
_EARLIEST = 5
# A healthy run wanders, too. These are far from anything seen in one.
_LOST_SHARE = 0.5
_LEARNED = 20.0
_MOST_REJECTED = 50.0
_LENGTHS = (0.1, 3.0)
_GRADIENT_JUMP = 100.0


class CollapseWatch(Callback):
    """Stops the run at a loss or gradient that is no number; keeps the norms of the gradients before they are clipped.

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
        groups = [group for optimizer in trainer.driver.optimizers for group in optimizer.param_groups]
        gradients = [weight.grad for group in groups for weight in group["params"] if weight.grad is not None]
        self.norm = torch.nn.utils.get_total_norm(gradients)
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


def collapse_reason(config: FitConfig, epoch: int, f: float) -> str:
    """Why a run whose selecting split has this F1 (percent) after ``epoch`` epochs has collapsed; empty: it has not."""
    begin = config.collapse_from or max(_EARLIEST, math.ceil(config.epochs / 2))
    if epoch >= begin and f < config.collapse_below:
        return f"F1 {f:.2f} on {config.select_on} after epoch {epoch} is below {config.collapse_below:.1f}"
    return ""


def health(scores: Mapping[str, Any]) -> dict[str, float]:
    """What is watched of the scores of a split, beside F1.

    Returns:
        ``em`` exact sentences in percent; ``rejected`` malformed groups in percent of all groups that were written;
        ``length`` entities written per gold entity.
    """
    rejected = sum(scores["rejected"].values())
    written = scores["predicted"] + rejected
    return {
        "em": scores["em"],
        "rejected": round(100 * rejected / written, 2) if written else 0.0,
        "length": round(written / max(scores["support"], 1), 3),
    }


def alarms(history: list[dict[str, Any]], split: str) -> Iterator[str]:
    """What is suspicious about the last record of a run's history, none of it reason enough to stop."""
    *before, last = history
    seen = [record[f"{split}_f"] for record in before if f"{split}_f" in record]
    if f"{split}_f" in last and seen and max(seen) >= _LEARNED:
        if last[f"{split}_f"] < _LOST_SHARE * max(seen):
            yield f"{split} F1 fell from {max(seen):.2f} to {last[f'{split}_f']:.2f}"
        if last[f"{split}_rejected"] > _MOST_REJECTED:
            yield f"{last[f'{split}_rejected']:.0f} % of what is written on {split} is malformed"
        low, high = _LENGTHS
        if not low <= last[f"{split}_length"] <= high:
            yield f"{last[f'{split}_length']:.2f} entities are written on {split} for every gold one"
    norms = [record["grad_norm"] for record in before]
    if norms and last["grad_norm_max"] > _GRADIENT_JUMP * statistics.median(norms):
        yield f"a gradient's norm rose to {last['grad_norm_max']:.3g}, from {statistics.median(norms):.3g} on average"
