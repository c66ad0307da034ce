"""What a decoder carries from symbol to symbol."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import EncoderDecoderCache

__all__ = ["DecodeState"]


@dataclass
class DecodeState:
    """R rows (sentences or beams) half-way through their targets; made by ``PointerModel.start``.

    Attributes:
        row_table: (R, V) embedding row of each symbol.
        columns: (R, V, H) what the decoder state is compared with, scaled.
        legal: (R, V) bool, True = some target may hold this symbol.
        memory: (R, S, H) encoder states; after the first step only the cache's keys and values made from it are read.
        memory_mask: (R, 1, 1, S) for the attention layers.
        is_finished: (R,) bool, True = the row has written EOS.
        sentence_idx: (R,) which of the sentences given to ``start`` the row belongs to.
        cache: keys and values.
    """

    row_table: Tensor
    columns: Tensor
    legal: Tensor
    memory: Tensor
    memory_mask: Tensor
    is_finished: Tensor
    sentence_idx: Tensor
    cache: EncoderDecoderCache

    @property
    def n_rows(self) -> int:
        return len(self.sentence_idx)

    @property
    def n_steps(self) -> int:
        """Symbols fed so far."""
        return self.cache.get_seq_length()

    @torch.no_grad()
    def select(self, rows: Tensor) -> DecodeState:
        """The state of ``rows``, which may drop, repeat and reorder; this one must not be used any more.

        Args:
            rows: (R',) long, old row of each new one.
        """
        sentence_idx = self.sentence_idx[rows]
        if torch.equal(sentence_idx, self.sentence_idx):
            # Beams changed places within their sentences: what belongs to the sentence, by far the most, may stay.
            self.cache.self_attention_cache.reorder_cache(rows)
            self.is_finished = self.is_finished[rows]
            return self
        self.cache.reorder_cache(rows)
        return DecodeState(
            row_table=self.row_table[rows],
            columns=self.columns[rows],
            legal=self.legal[rows],
            memory=self.memory[rows] if self.n_steps == 0 else self.memory,
            memory_mask=self.memory_mask[rows],
            is_finished=self.is_finished[rows],
            sentence_idx=sentence_idx,
            cache=self.cache,
        )
