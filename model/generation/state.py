"""What goes into a search and what comes out of it.

Every state covers G sentences with K rows each (one row, or K beams), sentence by sentence. Four methods rearrange
sentences and rows, see :class:`BatchState`; a state passed to or returned by one of them is used up, and only what was
returned may be used from then on.

Reading a number from a GPU makes the host wait until the device has done all that it was asked to, so states keep what
decides about shapes on the host.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

__all__ = ["ConstraintLike", "DecoderState", "Hypothesis", "ModelLike", "PreparedBatch", "reading_waits", "rows_of"]


class BatchState(Protocol):
    """State of G sentences with K rows each. Numbers of sentences and slots lie on the host, those of rows do not."""

    def expand_beams(self, n_beams: int) -> Self:
        """``n_beams`` rows per sentence instead of one, before the first symbol."""

    def select(self, sentences: Tensor) -> Self:
        """Other sentences, (G',): some left out, repeated or in another order, each with all its rows."""

    def refill(self, slots: Tensor, other: Self, incoming: slice) -> Self:
        """Overwrite ``slots``, (N,), with the sentences ``incoming`` of ``other``, an unused state of one row each.

        The incoming sentences are adjacent, which saves a copy.
        """

    def reorder(self, parents: Tensor) -> Self:
        """Beam reordering: row k of sentence g continues row ``parents[g, k]`` of that sentence, (G, K)."""


class DecoderState(BatchState, Protocol):
    """State of a model."""

    def rewind(self, n_symbols: Tensor) -> None:
        """Remove the last symbols fed to each row, (R,). Called only if the model drafts."""


class ModelLike(Protocol):
    """What scores the symbols of a sequence."""

    def step(self, symbols: Tensor, state: DecoderState) -> Tensor:
        """(R,) last symbols -> (R, V) logits of the next; advances ``state``.

        V covers the longest sentence in the batch. A row that is fed EOS has ended, and its logits do not matter.
        With drafts, symbols may be (R, Q), Q consecutive ones, and the logits (R, Q, V).
        """

    def draft(self, written: Tensor, steps: Tensor, n_symbols: int, state: DecoderState) -> Tensor | None:
        """Draft (R, Q <= ``n_symbols``) symbols to follow the first (R,) ``steps`` of (R, T) ``written``; or None."""


class ConstraintLike(BatchState, Protocol):
    """A started constraint.

    It is unrolled to verify drafts: the K rows of a sentence are then its state before each of K consecutive symbols.

    Attributes:
        guides: whether ``allowed`` says what makes entities, so that there is something to force or to give up.
    """

    guides: bool

    def unroll(self, drafts: Tensor) -> Self:
        """From one row per sentence to K, given (G, K-1) symbols: row k has advanced by the first k of them.

        Symbols may be illegal; what is allowed after an illegal one is undefined.
        """

    def accept(self, n_accepted: Tensor) -> Self:
        """Back to one row per sentence: row ``n_accepted[g]`` of sentence g, (G,)."""

    def allowed(self) -> Tensor:
        """(R, V) bool, True = may come next; at least one per row, only EOS at the limit."""

    def possible(self) -> Tensor:
        """(R, V) bool, True = may be written by a row that gives up on what it is writing; at least what is allowed."""

    def repeats(self) -> Tensor:
        """(R,) bool: rows whose last group is one that they have written before."""

    def advance(self, symbols: Tensor, gave_up: Tensor | None = None) -> Self:
        """The state after (R,) symbols; ``gave_up``, (R,) bool: those that were possible, but not allowed."""


class PreparedBatch(NamedTuple):
    """Encoded sentences, ready to be decoded.

    Attributes:
        state: of the model, before the first symbol, one row each.
        constraint: started for the same sentences and limits.
        limits: (G,) longest sequences, BOS and EOS included; on the host.
        device: of the two states.
    """

    state: DecoderState
    constraint: ConstraintLike
    limits: Tensor
    device: torch.device = torch.device("cpu")


class Hypothesis(NamedTuple):
    """One sequence for one sentence.

    Log-probabilities are the model's own: softmax over all columns, before constraint and penalties; if it was trained
    to know the constraint (``GenerationConfig.masked``), over what is allowed.

    Attributes:
        ids: symbols, BOS first, EOS last.
        symbol_logprobs: one per symbol, 0 for BOS.
        masses: one per symbol: 1, or the probability of all allowed symbols together where the most probable symbol was
            not allowed, so that another one was forced.
        logprob: their sum.
        score: what beams are ranked by, see ``GenerationConfig.length_penalty``; greedy: ``logprob``.
    """

    ids: list[int]
    symbol_logprobs: list[float]
    masses: list[float]
    logprob: float
    score: float


def reading_waits(tensor: Tensor) -> bool:
    """Whether reading a number of this tensor makes the host wait."""
    return tensor.device.type != "cpu"


def on_host(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors of booleans, float32 and numbers below 2 ** 53, in one transfer: float64 holds their values exactly."""
    if not reading_waits(tensors[0]):
        return tensors
    together = torch.cat([tensor.double().flatten() for tensor in tensors]).cpu()
    parts = together.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True))


def rows_of(sentences: Tensor, n_rows: int) -> Tensor:
    """Rows of sentences that have K rows each, (N,) -> (N * K,)."""
    if n_rows == 1:
        return sentences
    return (sentences.unsqueeze(1) * n_rows + torch.arange(n_rows, device=sentences.device)).flatten()


def as_hypotheses(
    ids: Tensor, symbol_logprobs: Tensor, masses: Tensor, score: Tensor | None = None, *, shortest: int
) -> list[list[Hypothesis]]:
    """Finished sequences as plain numbers.

    Args:
        ids: (G, N, T) the best first, padded with EOS.
        symbol_logprobs: (G, N, T) 0 for BOS and padding.
        masses: (G, N, T) see :class:`Hypothesis`.
        score: (G, N) -inf where there is no hypothesis; the first always exists. None: the log-probabilities.
        shortest: minimum length of a result (3 for the reference's empty result).

    The tensors lie on the host, see :func:`on_host`.
    """
    columns = [tensor.tolist() for tensor in (ids, symbol_logprobs, masses, symbol_logprobs.sum(2))]
    columns.append(columns[-1] if score is None else score.tolist())
    return [
        [
            _hypothesis(*parts, shortest)
            for number, parts in enumerate(zip(*sentence, strict=True))
            if number == 0 or parts[-1] > -torch.inf
        ]
        for sentence in zip(*columns, strict=True)
    ]


def _hypothesis(
    ids: list[int], logprobs: list[float], masses: list[float], logprob: float, score: float, shortest: int
) -> Hypothesis:
    """The sequence up to its first EOS; there always is one."""
    length = max(ids.index(1) + 1, shortest)
    return Hypothesis(ids[:length], logprobs[:length], masses[:length], logprob, score)
