"""From logits to the scores that the search compares."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["log_probabilities", "penalise_repetition"]


def log_probabilities(logits: Tensor) -> Tensor:
    """(R, V) log-softmax over all columns; NaN becomes the lowest value."""
    lowest = torch.finfo(logits.dtype).min
    return logits.log_softmax(1).nan_to_num(nan=lowest, neginf=lowest)


def penalise_repetition(logits: Tensor, written: Tensor, penalty: float) -> Tensor:
    """Make symbols that were already written less likely.

    Keskar et al. (2019), section 4.1, https://arxiv.org/abs/1909.05858; negative logits are multiplied, not divided.

    Args:
        logits: (R, V).
        written: (R, T) symbols so far.
        penalty: above 1 makes repetition less likely, 1 changes nothing.
    """
    if penalty == 1.0:
        return logits
    chosen = logits.gather(1, written)
    return logits.scatter(1, written, torch.where(chosen < 0, chosen * penalty, chosen / penalty))
