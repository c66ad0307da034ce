"""State of incremental decoding, for continuous batching."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.model.drafts import DraftTables
from genner.model.generation.state import reading_waits, rows_of
from genner.model.stepping import StepCache, select_rows

__all__ = ["DecodeState"]


@dataclass
class DecodeState:
    """G partly decoded sentences, K rows each (one, or beams); made by ``PointerModel.start``.

    Rows are numbered sentence by sentence, the best beam first. The methods of
    :class:`~genner.model.generation.state.DecoderState` work in place. Columns beyond the longest sentence are padding.

    Attributes:
        row_table: (G, V) embedding row of each symbol as decoder input.
        symbols: (V - S, H) output vectors of BOS, EOS and labels, scaled; shared by all sentences.
        candidates: (G, S, H) output vectors of the source positions, scaled.
        illegal: (G, V) bool, True = no target holds this symbol.
        src_seq_len: (G,) pieces, specials included; on the host.
        sentence_idx: (G,) number of the sentence in the batch given to ``start``, or whatever a caller has set.
        shift: symbols before the source positions.
        cache: keys and values.
        drafts: predicted continuations; None: the model has no draft head.
        cache_rows: (R,) cache row of every row; None: rows and cache rows are the same.
    """

    row_table: Tensor
    symbols: Tensor
    candidates: Tensor
    illegal: Tensor
    src_seq_len: Tensor
    sentence_idx: Tensor
    shift: int
    cache: StepCache
    drafts: DraftTables | None = None
    cache_rows: Tensor | None = None

    @property
    def n_rows(self) -> int:
        """R."""
        return len(self.cache.positions)

    @property
    def n_symbols(self) -> int:
        """V, that of the longest sentence."""
        return self.shift + self.cache.width

    @property
    def positions(self) -> Tensor:
        """(R,) symbols fed to each row."""
        return self.to_rows(self.cache.positions)

    def to_rows(self, values: Tensor) -> Tensor:
        """Cache order, (R, ...), to row order."""
        return values if self.cache_rows is None else values.index_select(0, self.cache_rows)

    def to_cache(self, values: Tensor) -> Tensor:
        """Row order, (R, ...), to cache order."""
        return values if self.cache_rows is None else torch.empty_like(values).index_copy_(0, self.cache_rows, values)

    def expand_beams(self, n_beams: int) -> DecodeState:
        self.cache.expand_beams(n_beams)
        return self

    def select(self, sentences: Tensor) -> DecodeState:
        n_beams = self.cache.rows_per_sentence
        rows, chosen = rows_of(sentences, n_beams), self._on_device(sentences)
        if self.cache_rows is not None:
            # Cache row of a beam within its sentence, and first cache row of the sentence's new slot.
            within = self.cache_rows.index_select(0, self._on_device(rows)) % n_beams
            base = torch.arange(len(sentences), device=chosen.device) * n_beams
            self.cache_rows = base.repeat_interleave(n_beams) + within
        self.src_seq_len, self.sentence_idx = self.src_seq_len[sentences], self.sentence_idx[chosen]
        width = self._longest()
        self.row_table, self.illegal = (
            values[:, : self.shift + width].index_select(0, chosen) for values in (self.row_table, self.illegal)
        )
        self.candidates = select_rows(self.candidates[:, :width], sentences, dim=0)
        if self.drafts is not None:
            self.drafts = self.drafts.select(chosen)
        self.cache.select(sentences, rows, width)
        return self

    def refill(self, slots: Tensor, other: DecodeState, incoming: slice) -> DecodeState:
        n_other = other.candidates.shape[1]
        if n_other > self.candidates.shape[1]:
            extra = n_other - self.candidates.shape[1]
            self.candidates = pad(self.candidates, (0, 0, 0, extra))
            self.row_table, self.illegal = pad(self.row_table, (0, extra)), pad(self.illegal, (0, extra), value=True)
        filled = self._on_device(slots)
        self.candidates[filled, :n_other] = other.candidates[incoming]
        self.row_table[filled, : self.shift + n_other] = other.row_table[incoming]
        self.illegal[filled] = True
        self.illegal[filled, : self.shift + n_other] = other.illegal[incoming]
        self.src_seq_len[slots] = other.src_seq_len[incoming]
        self.sentence_idx[filled] = other.sentence_idx[incoming]
        if self.drafts is not None:
            self.drafts.refill(filled, other.drafts, incoming)
        rows = rows_of(slots, self.cache.rows_per_sentence)
        self.cache.refill(slots, rows, other.cache, incoming, self._longest())
        return self

    def reorder(self, parents: Tensor) -> DecodeState:
        # The first child of a row takes over its cache row; only further children are copied, to free cache rows.
        n_sentences, n_beams = parents.shape
        cache_rows = self.cache_rows
        if cache_rows is None:
            cache_rows = torch.arange(parents.numel(), device=parents.device)
        base = torch.arange(n_sentences, device=parents.device).unsqueeze(1) * n_beams
        origins = cache_rows.view_as(parents).gather(1, parents)
        is_same = parents.unsqueeze(2) == parents.unsqueeze(1)
        is_first = ~is_same.tril(-1).any(2)
        is_taken = torch.zeros_like(parents, dtype=torch.bool).scatter_(1, origins - base, True)
        # The n-th child that has to be copied goes to the n-th free cache row.
        free = base + is_taken.long().argsort(dim=1, stable=True)
        number = (~is_first).cumsum(1) - 1
        targets = torch.where(is_first, origins, free.gather(1, number.clamp(min=0)))
        if reading_waits(parents):  # copying every row, most of them to themselves, is cheaper than to wait
            self.cache.copy_rows(targets.flatten(), origins.flatten())
        else:
            copied = (~is_first).flatten().nonzero().squeeze(1)
            if copied.numel():
                self.cache.copy_rows(targets.flatten()[copied], origins.flatten()[copied])
        self.cache_rows = targets.flatten()
        return self

    def rewind(self, n_symbols: Tensor) -> None:
        self.cache.positions = self.cache.positions - self.to_cache(n_symbols)

    def _on_device(self, numbers: Tensor) -> Tensor:
        return numbers.to(self.row_table.device, non_blocking=True)

    def _longest(self) -> int:
        return int(self.src_seq_len.max()) if len(self.src_seq_len) else 0
