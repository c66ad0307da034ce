"""Tables that the constraint needs about the sentences: computed once per batch, looked up at every step.

Words are numbered from 1 here and 0 stands for "no word", so every table has a harmless column 0; two more columns
after the last word let ``end + 1`` and ``end + 2`` be looked up without a check.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.errors import ConfigError

__all__ = ["INFINITE", "SentenceTables", "SourceLayout", "build_tables", "set_rows", "suffix_min"]

INFINITE = 1 << 30
"""Cost of what does not exist: above any limit, and small enough that sums of many fit in int64."""

_MORE_COLUMNS = 3
"""Columns per sentence besides its words."""


@dataclass(frozen=True)
class SourceLayout:
    """Positions of the words of a batch.

    Attributes:
        first: (B, W) position of the first piece of every word, padded with 0.
        src_seq_len: (B,) source pieces, specials included.
        lead: special pieces before the words.
        tail: special pieces after them.
        n_positions: S, the number of pointer columns; by default the longest source.
    """

    first: Tensor
    src_seq_len: Tensor
    lead: int
    tail: int
    n_positions: int | None = None

    @property
    def width(self) -> int:
        """S."""
        if self.n_positions is not None:
            return self.n_positions
        return int(self.src_seq_len.max()) if len(self.src_seq_len) else 0

    def stop(self) -> Tensor:
        """(B, 1) the position after the last word, on the device of ``first``."""
        return (self.src_seq_len - self.tail).unsqueeze(1).to(self.first.device, non_blocking=True)

    def word_mask(self) -> Tensor:
        """(B, W) bool, True = real word."""
        column = torch.arange(self.first.shape[1], device=self.first.device)
        return (self.first >= self.lead) & (self.first < self.stop()) & ((self.first > 0) | (column == 0))

    def falls(self, mask: Tensor) -> Tensor:
        """(B, W - 1) bool, True = the next word does not start after this one, which is an error."""
        return mask[:, 1:] & mask[:, :-1] & (self.first[:, 1:] <= self.first[:, :-1])

    def refuse(self, falls: Tensor) -> NoReturn:
        """Raise a :class:`ConfigError` for first pieces that do not ascend."""
        row, word = falls.nonzero()[0].tolist()
        raise ConfigError(
            f"first[{row}]: word {word + 1} starts at piece {int(self.first[row, word + 1])}, word {word} at "
            f"{int(self.first[row, word])}. Expected ascending positions. Give every word a "
            "piece of its own."
        )


@dataclass(frozen=True)
class SentenceTables:
    """C tables of each of G sentences in one tensor: a slot is refilled by one operation instead of one per table.

    Tables indexed by word number use N columns, those indexed by symbol V. They are padded with the last value of the
    sentence's own columns, which means "none" there.

    * ``cost``: symbols it takes to write the word;
    * ``prefix``, for lists: cost of all words up to and including this one;
    * ``first_and_rest``, for pairs: cost of this word as a first word plus its cheapest last word;
    * ``last_piece``, if all pieces are written: position of the word's last piece;
    * ``starts``: word that this symbol points to, 0 for none;
    * ``ends``, the next table, for the unit ``span``: likewise for last words of segments;
    * ``possible``: 1 for every symbol but BOS, special pieces and padding.

    Attributes:
        names: of the tables, in order.
        values: (G, C, M), M at least N and more than V.
        sizes: (G, 3) number of the last word, source pieces with specials, and the highest cost of a word; on the host.
        n_columns: N, three more than the highest of these numbers.
        n_positions: S, pieces of the longest sentence.
        max_cost: the highest cost of a word.
    """

    names: tuple[str, ...]
    values: Tensor
    sizes: Tensor
    n_columns: int
    n_positions: int
    max_cost: int

    def select(self, sentences: Tensor) -> SentenceTables:
        """Of other sentences, (G',)."""
        chosen = sentences.to(self.values.device, non_blocking=True)
        return self._of(self.values.index_select(0, chosen), self.sizes.index_select(0, sentences))

    def refill(self, slots: Tensor, other: SentenceTables, incoming: slice) -> SentenceTables:
        """Overwrite ``slots``, (N,), with the sentences ``incoming`` of ``other``; works in place."""
        values, new = self.values, other.values[incoming]
        extra = values.shape[2] - new.shape[2]
        values, new = _widen(values, -extra), _widen(new, extra)
        values.index_copy_(0, slots.to(values.device, non_blocking=True), new)
        return self._of(values, self.sizes.index_copy_(0, slots, other.sizes[incoming]))

    def _of(self, values: Tensor, sizes: Tensor) -> SentenceTables:
        """With other contents; columns that only longer sentences need are no longer used."""
        if not len(sizes):
            return replace(self, values=values, sizes=sizes)
        last_word, n_pieces, max_cost = sizes.amax(0).tolist()
        return SentenceTables(self.names, values, sizes, last_word + _MORE_COLUMNS, n_pieces, max_cost)


def _widen(values: Tensor, extra: int) -> Tensor:
    """(G, C, M) -> (G, C, M + extra): the last column repeated."""
    return values if extra <= 0 else torch.cat((values, values[:, :, -1:].expand(-1, -1, extra)), 2)


def set_rows(table: Tensor, rows: Tensor, values: Tensor, fill: int) -> Tensor:
    """Write ``values``, (N, C') or (N,), into the ``rows``, (N,), of a table, (R, C) or (R,); in place if possible.

    The narrower of the two is padded on the right with ``fill``.
    """
    if table.dim() == 1:
        return table.index_copy_(0, rows, values)
    extra = values.shape[1] - table.shape[1]
    if extra > 0:
        table = pad(table, (0, extra), value=fill)
    return table.index_copy_(0, rows, pad(values, (0, -extra), value=fill) if extra < 0 else values)


def suffix_min(values: Tensor) -> Tensor:
    """(R, N) -> (R, N): the minimum from each column on."""
    return values.flip(1).cummin(1).values.flip(1)


def build_tables(layout: SourceLayout, *, pairs: bool, all_pieces: bool, shift: int) -> SentenceTables:
    """Tables of a batch.

    Args:
        layout: the batch.
        pairs: entities are written as first and last words (units ``span`` and ``span_bpe``).
        all_pieces: a word is written with all its pieces (units ``bpe`` and ``span_bpe``).
        shift: symbols before the source positions.
    """
    first, width = layout.first, layout.width
    mask = layout.word_mask()
    n_columns = first.shape[1] + _MORE_COLUMNS
    length = max(n_columns, shift + width + 1)
    n_padding = length - 1 - first.shape[1]
    stop = layout.stop()
    after = torch.cat((first[:, 1:], torch.zeros_like(stop)), 1)[:, : first.shape[1]]
    follows = pad(mask[:, 1:], (0, 1))[:, : first.shape[1]]
    last = torch.where(follows, after, stop) - 1
    pieces = last + 1 - first if all_pieces else torch.ones_like(first)
    cost = pad(pieces.masked_fill(~mask, INFINITE), (1, n_padding), value=INFINITE)
    found = {"cost": cost}
    if pairs:
        found["first_and_rest"] = cost + suffix_min(cost)
    else:
        found["prefix"] = cost.cumsum(1)
    if all_pieces:
        found["last_piece"] = pad(last, (1, n_padding))
    found["starts"] = _word_of(shift + first, mask, length)
    if pairs and not all_pieces:
        found["ends"] = _word_of(shift + last, mask, length)
    symbols = torch.arange(length, device=first.device)
    is_piece = (symbols >= shift + layout.lead) & (symbols < shift + stop)
    found["possible"] = (is_piece | ((symbols > 0) & (symbols < shift))).long()
    highest = cost.masked_fill(cost == INFINITE, 0).amax(1)
    falls = layout.falls(mask)
    n_pieces = layout.src_seq_len.to(first.device, non_blocking=True)
    sizes = torch.stack((found["starts"].amax(1), n_pieces, highest, falls.any(1)), 1).cpu()  # the only wait
    if bool(sizes[:, 3].any()):
        layout.refuse(falls)
    sizes, values = sizes[:, :3].contiguous(), torch.stack(list(found.values()), 1)
    # No word has more pieces than the longest sentence.
    return SentenceTables(tuple(found), values, sizes, n_columns, width, width if all_pieces else 1)


def _word_of(pointers: Tensor, mask: Tensor, length: int) -> Tensor:
    """(B, W) pointers of real words -> (B, M) word numbers by symbol, 0 in the last column."""
    words = torch.arange(1, pointers.shape[1] + 1, device=pointers.device).expand_as(pointers)
    # Padding goes to an extra column, which is cut off.
    where = pointers.masked_fill(~mask, length)
    return pointers.new_zeros(pointers.shape[0], length + 1).scatter_(1, where, words)[:, :length]
