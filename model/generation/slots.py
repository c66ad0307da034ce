"""Continuous batching: the slots of the decoding batch, refilled with queued sentences as others end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.model.generation.constraints import BOS, EOS, check_limits
from genner.model.generation.state import (
    ConstraintLike,
    DecoderState,
    Hypothesis,
    PreparedBatch,
    on_host,
    reading_waits,
)

__all__ = ["SentenceQueue", "Sequences", "SlotState", "Slots"]

_REFILL_SHARE = 16
"""Slots are refilled once one in so many has ended: a refill costs some 100 small operations."""

_LOOK_EVERY = 2
"""Where looking for ended sentences makes the host wait, it looks every so many steps."""

_COMPACT_BELOW = 0.75
"""With the queue empty, the batch shrinks once fewer than this share of its slots are live: that copies caches."""


class SentenceQueue:
    """Sentences waiting for a slot, batch by batch; a batch is prepared when its first sentence may be needed.

    Args:
        batches: consumed lazily, one ahead.

    Raises:
        ConfigError: while iterating, a length limit too small for BOS and EOS.
    """

    def __init__(self, batches: Iterable[PreparedBatch]) -> None:
        self._batches = iter(batches)
        self._batch: PreparedBatch | None = None
        self._next = self._size = self._n_before = 0

    @property
    def is_empty(self) -> bool:
        """Whether the queue is empty; prepares the next batch to find out."""
        while self._next >= self._size:
            self._n_before += self._size
            self._next, self._size, self._batch = 0, 0, next(self._batches, None)
            if self._batch is None:
                return True
            check_limits(self._batch.limits)
            self._size = self._batch.limits.numel()
        return False

    def take_batch(self) -> tuple[PreparedBatch, range] | None:
        """A whole batch and its sentence numbers, counted from 0 over all batches."""
        if self.is_empty:
            return None
        self._next = self._size
        return self._batch, range(self._n_before, self._n_before + self._size)

    def take(self, n_sentences: int) -> Iterator[tuple[PreparedBatch, slice, range]]:
        """The next sentences, at most ``n_sentences``: batch, slice of the batch, and sentence numbers."""
        while n_sentences and not self.is_empty:
            incoming = slice(self._next, min(self._next + n_sentences, self._size))
            numbers = range(self._n_before + incoming.start, self._n_before + incoming.stop)
            self._next, n_sentences = incoming.stop, n_sentences - len(numbers)
            yield self._batch, incoming, numbers


class SlotState(Protocol):
    """What a search keeps per slot besides the states of model and constraint."""

    def reset(self, slots: Tensor, limits: Tensor) -> None:
        """Start new sequences in ``slots``, (N,), with length limits ``limits``, (N,), which lie on the host."""

    def select(self, slots: Tensor) -> None:
        """Keep only these slots, (G',)."""


@dataclass
class Slots:
    """G slots, each decoding one sentence.

    Attributes:
        state: of the model; constraint: likewise.
        limits: (G,) length limits; on the host.
        steps: (G,) symbols written, BOS included; on the device.
        numbers: sentence number of each slot.
        queue: sentences waiting for a slot.
    """

    state: DecoderState
    constraint: ConstraintLike
    limits: Tensor
    steps: Tensor
    numbers: list[int]
    queue: SentenceQueue
    _steps_unseen: int = 0

    @classmethod
    def open(cls, queue: SentenceQueue, n_beams: int) -> Slots | None:
        """One slot per sentence of the first batch, ``n_beams`` rows each; None if the queue is empty."""
        first = queue.take_batch()
        if first is None:
            return None
        batch, numbers = first
        state, constraint = batch.state, batch.constraint
        if n_beams > 1:
            state, constraint = state.expand_beams(n_beams), constraint.expand_beams(n_beams)
        steps = torch.ones(len(numbers), dtype=torch.long, device=batch.device)
        return cls(state, constraint, batch.limits.clone(), steps, list(numbers), queue)

    def take_ended(self, is_ended: Tensor, *results: Tensor) -> tuple[Tensor, list[Tensor]] | None:
        """The slots to refill, (N,) ascending, and what of ``results`` is theirs, all on the host.

        A slot that has ended stays as it is until it is refilled or dropped, so a later look finds the same.

        Args:
            is_ended: (G,) bool.
            results: (G, ...) each.

        Returns:
            None while it does not pay to look or to refill.
        """
        self._steps_unseen += 1
        if reading_waits(is_ended):
            if self._steps_unseen < _LOOK_EVERY:
                return None
            is_ended, *results = on_host(is_ended, *results)
        self._steps_unseen = 0
        ended = is_ended.nonzero().squeeze(1)
        if not self._should_refill(len(ended)):
            return None
        return ended, [result.index_select(0, ended) for result in results]

    def _should_refill(self, n_ended: int) -> bool:
        """Whether it pays to refill or drop the ``n_ended`` slots whose sentences have ended."""
        n_slots = len(self.numbers)
        if n_ended == 0:
            return False
        if n_ended >= max(1, n_slots // _REFILL_SHARE) and not self.queue.is_empty:
            return True
        return n_slots - n_ended < _COMPACT_BELOW * n_slots

    def numbered(self, ended: Tensor, hypotheses: Iterable[list[Hypothesis]]) -> Iterator[tuple[int, list[Hypothesis]]]:
        """The hypotheses of the slots ``ended`` with their sentence numbers."""
        return zip((self.numbers[slot] for slot in ended.tolist()), hypotheses, strict=True)

    def on_device(self, slots: Tensor) -> Tensor:
        """Numbers of slots, to index what is on the device."""
        return slots.to(self.steps.device, non_blocking=True)

    def refill(self, ended: Tensor, *states: SlotState) -> None:
        """Refill the slots ``ended``, as :meth:`take_ended` returns them, and drop those that stay empty."""
        for batch, incoming, numbers in self.queue.take(len(ended)):
            filled, ended = ended[: len(numbers)], ended[len(numbers) :]
            self.state = self.state.refill(filled, batch.state, incoming)
            self.constraint = self.constraint.refill(filled, batch.constraint, incoming)
            limits = batch.limits[incoming]
            self.limits.index_copy_(0, filled, limits)
            for slot, number in zip(filled.tolist(), numbers, strict=True):
                self.numbers[slot] = number
            filled = self.on_device(filled)
            self.steps.index_fill_(0, filled, 1)
            for state in states:
                state.reset(filled, limits)
        if ended.numel():
            self._select(_compacted(ended, len(self.numbers)), states)

    def _select(self, kept: Tensor, states: tuple[SlotState, ...]) -> None:
        self.numbers = [self.numbers[slot] for slot in kept.tolist()]
        if not self.numbers:
            return
        self.state, self.constraint = self.state.select(kept), self.constraint.select(kept)
        self.limits, kept = self.limits[kept], self.on_device(kept)
        self.steps = self.steps[kept]
        for state in states:
            state.select(kept)


def _compacted(empty: Tensor, n_slots: int) -> Tensor:
    """All slots but the ``empty`` ones, (N,) ascending: the last ones fill the gaps, the others stay in place."""
    kept = torch.arange(n_slots)
    n_kept = n_slots - len(empty)
    is_live = torch.ones_like(kept, dtype=torch.bool).index_fill_(0, empty, False)
    last = kept[n_kept:][is_live[n_kept:]]
    return kept[:n_kept].index_copy_(0, empty[: len(last)], last)


class Sequences:
    """Symbols and what is known of each, N sequences per slot.

    Attributes:
        ids: (G, N, T) padded with EOS; T is the largest limit plus one column that absorbs writes of ended rows.
        logprobs: (G, N, T) padded with 0.
        masses: (G, N, T) padded with 1, see :class:`~genner.model.generation.state.Hypothesis`.
    """

    _PADDING: ClassVar = {"ids": EOS, "logprobs": 0.0, "masses": 1.0}

    def __init__(self, slots: Slots, n_sequences: int) -> None:
        limits, device = slots.limits, slots.steps.device
        shape = limits.numel(), n_sequences, int(limits.max()) + 1
        self.ids = torch.full(shape, EOS, device=device)
        self.ids[:, :, 0] = BOS
        self.logprobs, self.masses = torch.zeros(shape, device=device), torch.ones(shape, device=device)

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols, log-probabilities and masses."""
        return self.ids, self.logprobs, self.masses

    def _change(self, change: Callable[[Tensor, float], Tensor]) -> None:
        """Replace every part by what ``change`` makes of it and of its padding."""
        for name, padding in self._PADDING.items():
            setattr(self, name, change(getattr(self, name), padding))

    def reset(self, slots: Tensor, limits: Tensor) -> None:
        extra = max(int(limits.max()) + 1 - self.ids.shape[2], 0)
        self._change(lambda part, padding: pad(part, (0, extra), value=padding).index_fill_(0, slots, padding))
        self.ids[:, :, 0].index_fill_(0, slots, BOS)

    def select(self, slots: Tensor) -> None:
        self._change(lambda part, _: part[slots])

    def so_far(self, steps: Tensor) -> Tensor:
        """(G, N, T) padded with BOS, not EOS, after the first ``steps``, (G,), symbols."""
        is_padding = torch.arange(self.ids.shape[2], device=steps.device) >= steps.view(-1, 1, 1)
        return self.ids.masked_fill(is_padding, BOS)

    def write(self, steps: Tensor, *values: Tensor) -> None:
        """Write (G, N) symbols, log-probabilities and masses at the positions ``steps``, (G,), of their sequences."""
        column = steps.view(-1, 1, 1).expand(-1, values[0].shape[1], 1)
        for part, value in zip(self.parts, values, strict=True):
            part.scatter_(2, column, value.unsqueeze(2))

    def write_accepted(self, steps: Tensor, is_accepted: Tensor, *values: Tensor) -> None:
        """Append the accepted ones of (G, Q) consecutive symbols to the only sequence of each slot; see `write`."""
        end = self.ids.shape[2] - 1
        column = steps.unsqueeze(1) + torch.arange(is_accepted.shape[1], device=steps.device)
        # The last column belongs to no sequence: rejected symbols go there, as padding.
        column = torch.where(is_accepted, column, end)
        for part, value, padding in zip(self.parts, values, self._PADDING.values(), strict=True):
            part[:, 0].scatter_(1, column, value.masked_fill(~is_accepted, padding))

    def gather(self, parents: Tensor) -> Sequences:
        """Copies of the sequences ``parents``, (G, C)."""
        found = object.__new__(Sequences)
        index = parents.unsqueeze(2).expand(-1, -1, self.ids.shape[2])
        for name, part in zip(self._PADDING, self.parts, strict=True):
            setattr(found, name, part.gather(1, index))
        return found

    def best(self, other: Sequences, columns: Tensor) -> None:
        """Keep of one's own sequences and of others behind them the ``columns``, (G, N')."""
        columns = columns.unsqueeze(2).expand(-1, -1, self.ids.shape[2])
        for name, mine, theirs in zip(self._PADDING, self.parts, other.parts, strict=True):
            setattr(self, name, torch.cat((mine, theirs), 1).gather(1, columns))
