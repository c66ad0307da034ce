"""Places of the sentences that are being written, and how those that wait take the place of those that are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.model.generation.constraints import BOS, EOS, check_limits
from genner.model.generation.state import ConstraintLike, DecoderState, Started

__all__ = ["Lanes", "Part", "Sequences", "Waiting"]

_TURN_SHARE = 16
"""Places are given to others once one in so many is free: a turn costs some 100 small operations."""

_COMPACT_BELOW = 0.75
"""When nobody waits, places are given up once the used ones are fewer than this share: that moves parts of caches."""


class Waiting:
    """Sentences that wait for a place, batch by batch; a batch is started when one of its sentences may be wanted.

    Args:
        batches: started lazily, one ahead.

    Raises:
        ConfigError: while iterating, a length limit that cannot even hold BOS and EOS.
    """

    def __init__(self, batches: Iterable[Started]) -> None:
        self._batches = iter(batches)
        self._batch: Started | None = None
        self._next = self._size = self._n_before = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits; starts the next batch to find out."""
        while self._next >= self._size:
            self._n_before += self._size
            self._next, self._size, self._batch = 0, 0, next(self._batches, None)
            if self._batch is None:
                return True
            check_limits(self._batch.limits)
            self._size = self._batch.limits.numel()
        return False

    def take_batch(self) -> tuple[Started, range] | None:
        """A whole batch and the numbers of its sentences, counted over all batches from 0."""
        if self.is_empty:
            return None
        self._next = self._size
        return self._batch, range(self._n_before, self._n_before + self._size)

    def take(self, n_sentences: int) -> Iterator[tuple[Started, slice, range]]:
        """The next sentences, as far as there are: batch, their places in it, and their numbers."""
        while n_sentences and not self.is_empty:
            picks = slice(self._next, min(self._next + n_sentences, self._size))
            numbers = range(self._n_before + picks.start, self._n_before + picks.stop)
            self._next, n_sentences = picks.stop, n_sentences - len(numbers)
            yield self._batch, picks, numbers


class Part(Protocol):
    """Anything else that is kept per place."""

    def clear(self, places: Tensor, limits: Tensor) -> None:
        """Begin anew at ``places``, (N,), with sequences up to ``limits``, (N,), long."""

    def keep(self, places: Tensor) -> None:
        """Only some places, (G',)."""


@dataclass
class Lanes:
    """G places.

    Attributes:
        state: of the model; constraint: likewise.
        limits: (G,) longest sequences.
        steps: (G,) symbols written, BOS included.
        numbers: of the sentences.
        waiting: those without a place.
    """

    state: DecoderState
    constraint: ConstraintLike
    limits: Tensor
    steps: Tensor
    numbers: list[int]
    waiting: Waiting

    @classmethod
    def open(cls, waiting: Waiting, n_rows: int) -> Lanes | None:
        """As many places as the first batch has sentences, ``n_rows`` rows each; None if nobody waits."""
        first = waiting.take_batch()
        if first is None:
            return None
        batch, numbers = first
        state, constraint = batch.state, batch.constraint
        if n_rows > 1:
            state, constraint = state.spread(n_rows), constraint.spread(n_rows)
        return cls(state, constraint, batch.limits.clone(), torch.ones_like(batch.limits), list(numbers), waiting)

    def is_turn(self, n_done: int) -> bool:
        """Whether ``n_done`` sentences that are done should leave now."""
        n_places = len(self.numbers)
        if n_done == 0:
            return False
        if n_done >= max(1, n_places // _TURN_SHARE) and not self.waiting.is_empty:
            return True
        return n_places - n_done < _COMPACT_BELOW * n_places

    def turn(self, places: Tensor, *parts: Part) -> None:
        """Give the places of those that are done, (N,) ascending, to those that wait, and give up what is left over."""
        for batch, picks, numbers in self.waiting.take(len(places)):
            taken, places = places[: len(numbers)], places[len(numbers) :]
            self.state = self.state.put(taken, batch.state, picks)
            self.constraint = self.constraint.put(taken, batch.constraint, picks)
            limits = batch.limits[picks]
            self.limits.index_copy_(0, taken, limits)
            self.steps.index_fill_(0, taken, 1)
            for place, number in zip(taken.tolist(), numbers, strict=True):
                self.numbers[place] = number
            for part in parts:
                part.clear(taken, limits)
        if places.numel():
            self._keep(_moved_up(places, len(self.numbers)), parts)

    def _keep(self, kept: Tensor, parts: tuple[Part, ...]) -> None:
        self.numbers = [self.numbers[place] for place in kept.tolist()]
        if not self.numbers:
            return
        self.state, self.constraint = self.state.select(kept), self.constraint.select(kept)
        self.limits, self.steps = self.limits[kept], self.steps[kept]
        for part in parts:
            part.keep(kept)


def _moved_up(gaps: Tensor, n_places: int) -> Tensor:
    """All places but the ``gaps``, (N,) ascending: those at the end fill the gaps before them, the others stay."""
    kept = torch.arange(n_places, device=gaps.device)
    n_kept = n_places - len(gaps)
    is_live = torch.ones_like(kept, dtype=torch.bool).index_fill_(0, gaps, False)
    last = kept[n_kept:][is_live[n_kept:]]
    return kept[:n_kept].index_copy_(0, gaps[: len(last)], last)


class Sequences:
    """Symbols and their log-probabilities, N sequences per place.

    Attributes:
        ids: (G, N, T) padded with EOS; T is one more than the largest limit, for rows that have ended to write into.
        logprobs: (G, N, T) padded with 0.
    """

    def __init__(self, limits: Tensor, n_sequences: int) -> None:
        shape = limits.numel(), n_sequences, int(limits.max()) + 1
        self.ids = limits.new_full(shape, EOS)
        self.ids[:, :, 0] = BOS
        self.logprobs = torch.zeros(shape, device=limits.device)

    def clear(self, places: Tensor, limits: Tensor) -> None:
        extra = int(limits.max()) + 1 - self.ids.shape[2]
        if extra > 0:
            self.ids, self.logprobs = pad(self.ids, (0, extra), value=EOS), pad(self.logprobs, (0, extra))
        self.ids.index_fill_(0, places, EOS)
        self.ids[:, :, 0].index_fill_(0, places, BOS)
        self.logprobs.index_fill_(0, places, 0.0)

    def keep(self, places: Tensor) -> None:
        self.ids, self.logprobs = self.ids[places], self.logprobs[places]

    def so_far(self, steps: Tensor) -> Tensor:
        """(G, N, T) with BOS behind the (G,) ``steps`` symbols that were written, instead of EOS."""
        is_behind = torch.arange(self.ids.shape[2], device=steps.device) >= steps.view(-1, 1, 1)
        return self.ids.masked_fill(is_behind, BOS)

    def write(self, steps: Tensor, symbols: Tensor, logprobs: Tensor) -> None:
        """Put (G, N) symbols at the places ``steps``, (G,), of their sequences."""
        where = steps.view(-1, 1, 1).expand(-1, symbols.shape[1], 1)
        self.ids.scatter_(2, where, symbols.unsqueeze(2))
        self.logprobs.scatter_(2, where, logprobs.unsqueeze(2))

    def write_line(self, steps: Tensor, symbols: Tensor, logprobs: Tensor, is_written: Tensor) -> None:
        """Put those of (G, Q) symbols in a row that ``is_written``, (G, Q), into the one sequence of each place."""
        end = self.ids.shape[2] - 1
        where = steps.unsqueeze(1) + torch.arange(symbols.shape[1], device=steps.device)
        # The last column is nobody's: what is not written goes there, as padding.
        where = torch.where(is_written, where, end)
        self.ids[:, 0].scatter_(1, where, symbols.masked_fill(~is_written, EOS))
        self.logprobs[:, 0].scatter_(1, where, logprobs.masked_fill(~is_written, 0.0))

    def gather(self, parents: Tensor) -> Sequences:
        """Sequences that begin as those of ``parents``, (G, C)."""
        found = object.__new__(Sequences)
        where = parents.unsqueeze(2).expand(-1, -1, self.ids.shape[2])
        found.ids, found.logprobs = self.ids.gather(1, where), self.logprobs.gather(1, where)
        return found
