"""What goes into a search and what comes out of it.

Everything that has a state is kept for G sentences with K rows each (one row, or K beams), sentence by sentence. Four
methods move sentences and rows about, see :class:`Movable`; a state that was given to one of them, or returned by it,
is only good for what was returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

__all__ = ["ConstraintLike", "DecoderState", "Hypotheses", "Hypothesis", "ModelLike", "Started", "rows_of"]


class Movable(Protocol):
    """State of G sentences with K rows each."""

    def spread(self, n_rows: int) -> Self:
        """``n_rows`` rows per sentence in place of one, before the first symbol."""

    def select(self, sentences: Tensor) -> Self:
        """Other sentences, (G',): some left out, repeated or in another order, each with all its rows."""

    def put(self, places: Tensor, other: Self, picks: slice) -> Self:
        """Sentences ``picks`` of ``other``, which has one row each and has not begun, over those at ``places``, (N,).

        Those that come stand in a row: that spares copying them twice.
        """

    def follow(self, parents: Tensor) -> Self:
        """Row k of sentence g goes on from row ``parents[g, k]`` of that sentence, (G, K)."""


class DecoderState(Movable, Protocol):
    """State of a model."""

    def rewind(self, n_symbols: Tensor) -> None:
        """Take back the last symbols fed to each row, (R,). Only asked for where the model drafts."""


class ModelLike(Protocol):
    """What writes a sequence."""

    def step(self, symbols: Tensor, state: DecoderState) -> Tensor:
        """(R,) symbols written last -> (R, V) logits of the next; ``state`` moves on.

        V covers the longest sentence that is there now. A row that is fed EOS has ended and may be given any logits.
        Where drafts are on, symbols may be (R, Q), Q in a row, and the logits (R, Q, V).
        """

    def draft(self, written: Tensor, steps: Tensor, n_symbols: int, state: DecoderState) -> Tensor | None:
        """Guess (R, Q) symbols, up to ``n_symbols``, behind the first (R,) ``steps`` of (R, T) ``written``; or None."""


class ConstraintLike(Movable, Protocol):
    """A started constraint.

    To verify drafts it is unrolled: the K rows of a sentence are then its state before each of K symbols in a row.
    """

    def unroll(self, drafts: Tensor) -> Self:
        """From one row per sentence, (G, K-1) symbols: K rows, of which row k has advanced by the first k of them.

        Symbols may be illegal; what is allowed from there on means nothing.
        """

    def pick(self, rows: Tensor) -> Self:
        """Back to one row per sentence: row ``rows[g]`` of sentence g, (G,)."""

    def allowed(self) -> Tensor:
        """(R, V) bool, True = may come next; at least one per row. At the limit it is EOS alone."""

    def advance(self, symbols: Tensor) -> Self:
        """The state after (R,) symbols."""


class Started(NamedTuple):
    """Some sentences that are ready to be written.

    Attributes:
        state: of the model, before the first symbol, one row each.
        constraint: started for the same sentences and limits.
        limits: (G,) longest sequences, BOS and EOS included.
    """

    state: DecoderState
    constraint: ConstraintLike
    limits: Tensor


class Hypothesis(NamedTuple):
    """One answer for one sentence.

    Log-probabilities are of the model as it is: softmax over all columns, before constraint and penalties.

    Attributes:
        ids: symbols, BOS first, EOS last.
        symbol_logprobs: one per symbol, 0 for BOS.
        logprob: their sum.
        score: what beams are ranked by, see ``GenerationConfig.length_penalty``; greedy: ``logprob``.
    """

    ids: list[int]
    symbol_logprobs: list[float]
    logprob: float
    score: float


@dataclass(frozen=True)
class Hypotheses:
    """Answers of a batch as tensors, the best hypothesis of every sentence; all of them are in :attr:`n_best`.

    Attributes:
        ids: (B, T) symbols, BOS first, EOS last, padded with EOS.
        lengths: (B,) symbols up to and including EOS.
        logprob: (B,) log-probability of the sequence after BOS.
        symbol_logprobs: (B, T) log-probability of every symbol; 0 for BOS and padding.
        score: (B,) see :class:`Hypothesis`.
        n_best: for every sentence its hypotheses, the best first; fewer than asked for where no more are legal.
    """

    ids: Tensor
    lengths: Tensor
    logprob: Tensor
    symbol_logprobs: Tensor
    score: Tensor
    n_best: list[list[Hypothesis]]

    @classmethod
    def collect(cls, n_best: list[list[Hypothesis]]) -> Hypotheses:
        """Of sentences in order."""
        best = [hypotheses[0] for hypotheses in n_best]
        lengths = [len(hypothesis.ids) for hypothesis in best]
        width = max(lengths, default=0)
        logprobs = [_padded(one.symbol_logprobs, width, 0.0) for one in best]
        return cls(
            ids=torch.tensor([_padded(one.ids, width, 1) for one in best], dtype=torch.long).view(len(best), width),
            lengths=torch.tensor(lengths, dtype=torch.long),
            logprob=torch.tensor([one.logprob for one in best]),
            symbol_logprobs=torch.tensor(logprobs).view(len(best), width),
            score=torch.tensor([one.score for one in best]),
            n_best=n_best,
        )


def rows_of(sentences: Tensor, n_rows: int) -> Tensor:
    """Rows of sentences that have K rows each, (N,) -> (N * K,)."""
    if n_rows == 1:
        return sentences
    return (sentences.unsqueeze(1) * n_rows + torch.arange(n_rows, device=sentences.device)).flatten()


def as_hypotheses(
    ids: Tensor, symbol_logprobs: Tensor, score: Tensor | None = None, *, shortest: int
) -> list[list[Hypothesis]]:
    """Finished sequences as plain numbers, one transfer per tensor.

    Args:
        ids: (G, N, T) the best first, padded with EOS.
        symbol_logprobs: (G, N, T) 0 for BOS and padding.
        score: (G, N) -inf where there is no hypothesis; the first is always there. None: the log-probabilities.
        shortest: length that an answer has at least (3 for the reference's empty answer).
    """
    columns = [tensor.tolist() for tensor in (ids, symbol_logprobs, symbol_logprobs.sum(2))]
    columns.append(columns[-1] if score is None else score.tolist())
    return [
        [
            _hypothesis(*parts, shortest)
            for number, parts in enumerate(zip(*sentence, strict=True))
            if number == 0 or parts[-1] > -torch.inf
        ]
        for sentence in zip(*columns, strict=True)
    ]


def _hypothesis(ids: list[int], logprobs: list[float], logprob: float, score: float, shortest: int) -> Hypothesis:
    """What stands up to the first EOS, which there always is."""
    length = max(ids.index(1) + 1, shortest)
    return Hypothesis(_padded(ids[:length], length, 1), _padded(logprobs[:length], length, 0.0), logprob, score)


def _padded(row: list, width: int, value: float) -> list:
    return row if len(row) == width else [*row, *[value] * (width - len(row))]
