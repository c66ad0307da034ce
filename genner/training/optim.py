"""The optimizer and its learning rate, a pure function of the step, so that a resumed run cannot differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genner.errors import ConfigError

__all__ = ["SCHEDULES", "Schedule", "build_optimizer"]

#: The learning rate after warm-up: decays linearly to zero, is constant, or decays with the square root of the step.
SCHEDULES = ("linear", "constant", "inverse_square")


@dataclass(frozen=True)
class Schedule:
    """The factor on the learning rate by step.

    With ``x`` the share of training completed and ``w`` the share spent on warm-up, the factor after warm-up is
    ``(x - 1) / (w - 1)`` (linear), 1 (constant) or ``(sqrt(x) - 1) / (sqrt(w) - 1)`` (inverse_square).
    By default ``x`` counts the steps before this one and warm-up is a whole number of steps, so that the first and the
    last step learn something and the full rate is reached once. In ``compat`` mode ``x`` counts this step as well, as
    in the reference: the first step of a short warm-up is already decaying, the last step of training learns nothing.

    Attributes:
        kind: one of :data:`SCHEDULES`.
        warmup: share of all steps, or the number of steps if above 1.
        compat: the reference's values.

    >>> [round(Schedule("linear", warmup=2).factor(step, 5), 2) for step in (1, 2, 3, 4, 5)]
    [0.33, 0.67, 1.0, 0.67, 0.33]
    """

    kind: str = "linear"
    warmup: float = 0.05
    compat: bool = False

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ConfigError(
                f"optim.schedule: unknown schedule {self.kind!r}. Expected {', '.join(SCHEDULES)}. Choose one of them."
            )
        if not self.warmup >= 0:
            raise ConfigError(f"optim.warmup_ratio: {self.warmup} is not a warm-up. Expected 0 or more. Raise it.")

    def factor(self, step: int, total: int) -> float:
        """The factor used in the update of ``step``, 1 <= step <= total."""
        if self.compat:
            share, warmup = step / total, self.warmup if self.warmup <= 1 else self.warmup / total
            return share / warmup if share < warmup else self._decay(share, warmup)
        warmup_steps = int(self.warmup) if self.warmup > 1 else round(self.warmup * total)
        if step <= warmup_steps:
            return step / (warmup_steps + 1)
        return self._decay((step - 1) / total, warmup_steps / total)

    def _decay(self, share: float, warmup: float) -> float:
        if self.kind == "constant" or warmup >= 1:  # no steps are left to decay over
            return 1.0
        if self.kind == "linear":
            return max((share - 1) / (warmup - 1), 0.0)
        return max((math.sqrt(share) - 1) / (math.sqrt(warmup) - 1), 0.0)


def build_optimizer(groups: Iterable[Mapping[str, Any]], lr: float, *, compat: bool = False) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101) over parameter groups.

    Decay is decoupled: a parameter is multiplied by ``1 - lr * weight_decay`` in each step.

    Args:
        groups: ``{"params": ..., "weight_decay": ...}``; a group may have its own ``lr``. Parameters that need no
            gradient are left out.
        lr: learning rate of the groups without their own, before the schedule.
        compat: round as the reference did. The fused form, which takes a quarter of the time, rounds differently;
            through gradients that are pure rounding noise this grows to 1e-4 of the loss within 60 steps.

    Raises:
        ConfigError: no parameter needs a gradient.
    """
    kept = [{**group, "params": _trainable(group["params"])} for group in groups]
    kept = [group for group in kept if group["params"]]
    if not kept:
        raise ConfigError(
            "optimizer: no parameter needs a gradient. Expected a model with trainable parameters. Unfreeze some."
        )
    fused = None if compat else True
    return torch.optim.AdamW(kept, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, fused=fused)


def _trainable(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter for parameter in parameters if parameter.requires_grad]
