"""What a decoder carries from symbol to symbol, for sentences that come and go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.model.drafts import DraftTables
from genner.model.generation.state import rows_of
from genner.model.stepping import StepCache, select_rows

__all__ = ["DecodeState"]


@dataclass
class DecodeState:
    """G sentences half-way through their targets, K rows each (one, or beams); made by ``PointerModel.start``.

    Rows are numbered sentence by sentence, the best beam first. Changed in place: of two states, that which a method
    returns is the one to go on with. Columns past the longest sentence's are padding and may be left unread.

    Attributes:
        row_table: (G, V) embedding row that each symbol is fed as.
        symbols: (V - S, H) what the decoder state is compared with for labels and frame, scaled; of all sentences.
        candidates: (G, S, H) what the decoder state is compared with at the source positions, scaled.
        illegal: (G, V) bool, True = no target holds this symbol.
        src_seq_len: (G,) pieces, specials included.
        sentence_idx: (G,) number of the sentence among those given to ``start``, or what a caller put there.
        shift: symbols before the source positions.
        cache: keys and values.
        drafts: guesses of what follows; None: the model has no head for them.
        order: (R,) place in the cache of every row; None: the same.
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
    order: Tensor | None = None

    @property
    def n_rows(self) -> int:
        """R."""
        return len(self.cache.positions)

    @property
    def n_symbols(self) -> int:
        """V of the longest sentence."""
        return self.shift + self.cache.width

    @property
    def positions(self) -> Tensor:
        """(R,) symbols fed to each row."""
        return self.to_rows(self.cache.positions)

    def to_rows(self, values: Tensor) -> Tensor:
        """From the order of the cache, (R, ...), to that of the rows."""
        return values if self.order is None else values.index_select(0, self.order)

    def to_cache(self, values: Tensor) -> Tensor:
        """From the order of the rows, (R, ...), to that of the cache."""
        return values if self.order is None else torch.empty_like(values).index_copy_(0, self.order, values)

    def spread(self, n_rows: int) -> DecodeState:
        """``n_rows`` rows per sentence in place of one; before the first symbol."""
        self.cache.spread(n_rows)
        return self

    def select(self, sentences: Tensor) -> DecodeState:
        """Other sentences, (G',): some left out, repeated or in another order, each with all its rows."""
        n_beams = self.cache.rows_per_sentence
        rows = rows_of(sentences, n_beams)
        if self.order is not None:
            # Of each row the beam's place within its sentence, and the sentence's new place.
            within = self.order.index_select(0, rows) % n_beams
            base = torch.arange(len(sentences), device=rows.device) * n_beams
            self.order = base.repeat_interleave(n_beams) + within
        self.src_seq_len, self.sentence_idx = self.src_seq_len[sentences], self.sentence_idx[sentences]
        width = self._longest()
        self.row_table, self.illegal = (
            values[:, : self.shift + width].index_select(0, sentences) for values in (self.row_table, self.illegal)
        )
        self.candidates = select_rows(self.candidates[:, :width], sentences, dim=0)
        if self.drafts is not None:
            self.drafts = self.drafts.select(sentences)
        self.cache.select(sentences, rows, width)
        return self

    def put(self, places: Tensor, other: DecodeState, picks: slice) -> DecodeState:
        """Sentences ``picks`` of ``other``, to which nothing was fed, in place of those at ``places``, (N,)."""
        n_other = other.candidates.shape[1]
        if n_other > self.candidates.shape[1]:
            extra = n_other - self.candidates.shape[1]
            self.candidates = pad(self.candidates, (0, 0, 0, extra))
            self.row_table, self.illegal = pad(self.row_table, (0, extra)), pad(self.illegal, (0, extra), value=True)
        self.candidates[places, :n_other] = other.candidates[picks]
        self.row_table[places, : self.shift + n_other] = other.row_table[picks]
        self.illegal[places] = True
        self.illegal[places, : self.shift + n_other] = other.illegal[picks]
        self.src_seq_len[places] = other.src_seq_len[picks]
        self.sentence_idx[places] = other.sentence_idx[picks]
        if self.drafts is not None:
            self.drafts.put(places, other.drafts, picks)
        rows = rows_of(places, self.cache.rows_per_sentence)
        self.cache.put(places, rows, other.cache, picks, self._longest())
        return self

    def follow(self, parents: Tensor) -> DecodeState:
        """Beams: row k of sentence g goes on from row ``parents[g, k]`` of that sentence, (G, K).

        The first that goes on from a row keeps its place in the cache; only further ones are copied, to where rows end.
        """
        n_sentences, n_beams = parents.shape
        order = torch.arange(parents.numel(), device=parents.device) if self.order is None else self.order
        base = torch.arange(n_sentences, device=parents.device).unsqueeze(1) * n_beams
        origins = order.view_as(parents).gather(1, parents)  # places in the cache
        is_same = parents.unsqueeze(2) == parents.unsqueeze(1)
        is_first = ~is_same.tril(-1).any(2)
        is_taken = torch.zeros_like(parents, dtype=torch.bool).scatter_(1, origins - base, True)
        # The n-th that is no first one goes to the n-th place that nobody keeps.
        free = base + is_taken.long().argsort(dim=1, stable=True)
        number = (~is_first).cumsum(1) - 1
        places = torch.where(is_first, origins, free.gather(1, number.clamp(min=0)))
        copied = (~is_first).flatten().nonzero().squeeze(1)
        if copied.numel():
            self.cache.copy_rows(places.flatten()[copied], origins.flatten()[copied])
        self.order = places.flatten()
        return self

    def rewind(self, n_symbols: Tensor) -> None:
        """Take back the last symbols of every row, (R,)."""
        self.cache.positions = self.cache.positions - self.to_cache(n_symbols)

    def _longest(self) -> int:
        return int(self.src_seq_len.max()) if len(self.src_seq_len) else 0
