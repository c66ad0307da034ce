"""What goes into a search and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

__all__ = ["ConstraintLike", "Hypotheses", "Hypothesis", "ModelLike", "StateLike"]


class StateLike(Protocol):
    """State of R rows; also what a model's decoding state must be."""

    def select(self, rows: Tensor) -> Self:
        """The state of other rows: (R',) row numbers, repetitions allowed."""


class ModelLike(Protocol):
    """What writes a sequence."""

    def step(self, symbols: Tensor, state: StateLike) -> Tensor:
        """(R,) symbols written last -> (R, V) logits of the next; ``state`` moves on."""


class ConstraintLike(StateLike, Protocol):
    """A started constraint."""

    def allowed(self) -> Tensor:
        """(R, V) bool, True = may come next; at least one per row. At the limit it is EOS alone."""

    def advance(self, symbols: Tensor) -> Self:
        """The state after (R,) symbols."""


class Hypothesis(NamedTuple):
    """One answer for one sentence.

    Attributes:
        ids: symbols, BOS first, EOS last.
        symbol_logprobs: one per symbol, 0 for BOS.
        logprob: their sum.
        score: what hypotheses are ranked by.
    """

    ids: list[int]
    symbol_logprobs: list[float]
    logprob: float
    score: float


@dataclass(frozen=True)
class Hypotheses:
    """Answers of a batch, the best hypothesis of every sentence; the others are in :attr:`n_best`.

    Log-probabilities are of the model as it is: softmax over all columns, before constraint and penalties.

    Attributes:
        ids: (B, T) symbols, BOS first, EOS last, padded with EOS.
        lengths: (B,) symbols up to and including EOS.
        logprob: (B,) log-probability of the sequence after BOS.
        symbol_logprobs: (B, T) log-probability of every symbol; 0 for BOS and padding.
        score: (B,) what beams are ranked by, see ``GenerationConfig.length_penalty``; greedy: ``logprob``.
        n_best: for every sentence its hypotheses, the best first; fewer than asked for where no more are legal.
    """

    ids: Tensor
    lengths: Tensor
    logprob: Tensor
    symbol_logprobs: Tensor
    score: Tensor
    n_best: list[list[Hypothesis]]

    @classmethod
    def collect(cls, ids: Tensor, symbol_logprobs: Tensor, score: Tensor, *, shortest: int) -> Hypotheses:
        """Sort out finished sequences.

        Args:
            ids: (B, N, T) the best first, padded with EOS.
            symbol_logprobs: (B, N, T) 0 for BOS and padding.
            score: (B, N) -inf where there is no hypothesis.
            shortest: length that an answer has at least (3 for the reference's empty answer).
        """
        is_end = ids == 1
        lengths = (is_end.shape[2] - is_end.sum(2) + 1).clamp(min=shortest)
        width = int(lengths[:, 0].max()) if lengths.numel() else shortest
        logprob = symbol_logprobs.sum(2)
        n_best = _as_lists(ids, lengths, symbol_logprobs, logprob, score)
        best = slice(None), 0
        return cls(
            ids[best][:, :width], lengths[best], logprob[best], symbol_logprobs[best][:, :width], score[best], n_best
        )


def _as_lists(
    ids: Tensor, lengths: Tensor, symbol_logprobs: Tensor, logprob: Tensor, score: Tensor
) -> list[list[Hypothesis]]:
    """Hypotheses as plain numbers, one transfer per tensor."""
    columns = [tensor.tolist() for tensor in (ids, lengths, symbol_logprobs, logprob, score)]
    return [
        [
            Hypothesis(row[:length], logprobs[:length], total, rank)
            for row, length, logprobs, total, rank in zip(*sentence, strict=True)
            if rank > -torch.inf
        ]
        for sentence in zip(*columns, strict=True)
    ]
