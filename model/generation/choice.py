"""What a row may write next: what the constraint allows, or anything where the search gives up on the open group."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

from genner.model.generation.config import GenerationConfig
from genner.model.generation.state import ConstraintLike

__all__ = ["Choice", "log_probabilities", "penalise_repetition"]

_EOS = 1


class Choice(NamedTuple):
    """The choice of R rows.

    The probability of all allowed symbols together says how far the model agrees with the constraint. Where it is below
    a threshold, the search gives up on the group: it may write what it wishes, and the group will be dropped.

    Attributes:
        logits: (R, V) to choose by: of the model, less the penalty for ending, but for rows that have just repeated a
            group; if the model knows the constraint (``GenerationConfig.masked``), the lowest number for what is not
            legal.
        logprobs: (R, V) log-softmax of the model's logits, without the penalty.
        allowed: (R, V) bool: by the constraint or, in rows that may give up, whatever is possible.
        legal: (R, V) bool: by the constraint alone; None: no row may give up.
        masses: (R,) 1, or the probability of all legal symbols together where the most probable symbol is not allowed.
    """

    logits: Tensor
    logprobs: Tensor
    allowed: Tensor
    legal: Tensor | None
    masses: Tensor

    @classmethod
    def of(cls, constraint: ConstraintLike, logits: Tensor, config: GenerationConfig) -> Self:
        """That of the rows of a constraint with (R, V) logits."""
        legal = allowed = constraint.allowed()
        if config.masked and constraint.guides:
            logits = logits.masked_fill(~legal, torch.finfo(logits.dtype).min)
        logprobs = log_probabilities(logits)
        if config.eos_penalty:
            logits = logits.clone()
            logits[:, _EOS] -= config.eos_penalty * ~constraint.repeats()
        if config.masked or not constraint.guides:
            return cls(logits, logprobs, legal, None, logprobs.new_ones(len(logprobs), dtype=torch.float32))
        mass = torch.where(legal, logprobs.float().exp(), 0.0).sum(1)
        gives_up = config.give_up > 0
        if gives_up:
            allowed = legal | (constraint.possible() & (mass < config.give_up).unsqueeze(1))
        is_free = allowed.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
        return cls(logits, logprobs, allowed, legal if gives_up else None, mass.masked_fill(is_free, 1.0))

    def gave_up(self, symbols: Tensor) -> Tensor | None:
        """(R,) bool: the rows that give up with these symbols; None: none of them."""
        return None if self.legal is None else ~self.legal.gather(1, symbols.unsqueeze(1)).squeeze(1)


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
        penalty: above 1 makes repetition less likely.
    """
    chosen = logits.gather(1, written)
    return logits.scatter(1, written, torch.where(chosen < 0, chosen * penalty, chosen / penalty))
