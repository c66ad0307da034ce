"""What the constraint has to know about the sentences: computed once per batch, looked up at every step.

Words are numbered from 1 here and 0 stands for "no word", so that every table has a harmless column 0; two more columns
behind the last word let ``end + 1`` and ``end + 2`` be looked up without a check.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from errors import ConfigError

__all__ = ["INFINITE", "SentenceTables", "SourceLayout", "build_tables", "put_rows", "suffix_min"]

INFINITE = 1 << 30
"""Cost of what does not exist: more than any limit, and sums of many still fit in int64."""


@dataclass(frozen=True)
class SourceLayout:
    """Where the words of a batch lie.

    Attributes:
        first: (B, W) position of the first piece of every word, padded with 0.
        src_seq_len: (B,) source pieces, specials included.
        lead: special pieces before the words.
        tail: special pieces behind them.
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

    def word_mask(self) -> Tensor:
        """(B, W) bool: real words. Raises :class:`ConfigError` where first pieces do not ascend."""
        stop = (self.src_seq_len - self.tail).unsqueeze(1)
        column = torch.arange(self.first.shape[1], device=self.first.device)
        mask = (self.first >= self.lead) & (self.first < stop) & ((self.first > 0) | (column == 0))
        falls = mask[:, 1:] & mask[:, :-1] & (self.first[:, 1:] <= self.first[:, :-1])
        if bool(falls.any()):
            row, word = falls.nonzero()[0].tolist()
            raise ConfigError(
                f"first[{row}]: word {word + 1} begins at piece {int(self.first[row, word + 1])}, word {word} at "
                f"{int(self.first[row, word])}. Expected ascending positions: every word needs a piece of its own."
            )
        return mask


@dataclass(frozen=True)
class SentenceTables:
    """Of G sentences, by word number (N = W + 3 columns).

    Attributes:
        src_seq_len: (G,) source pieces, specials included.
        cost: (G, N) symbols that writing the word takes.
        prefix: (G, N) cost of all words up to and including this one.
        cheapest: (G, N) lowest cost from this word on.
        cheapest_pair: (G, N) lowest cost of a first and a last word, the first from this word on.
        entry: (G, N), for pairs (2G, N): what a word costs with all that must follow it; for pairs the even rows hold
            first words and the odd rows last words.
        word_at: (G, S), for the unit ``span`` (2G, S) likewise: word whose pointer this position is, 0 for none.
        last_piece: (G, N) position of the word's last piece.
    """

    src_seq_len: Tensor
    cost: Tensor
    prefix: Tensor
    cheapest: Tensor
    cheapest_pair: Tensor
    entry: Tensor
    word_at: Tensor
    last_piece: Tensor

    def select(self, sentences: Tensor) -> SentenceTables:
        """Of other sentences, (G',)."""
        return self._narrow(**{name: table[self._rows(name, sentences)] for name, table in vars(self).items()})

    def put(self, places: Tensor, other: SentenceTables, picks: Tensor) -> SentenceTables:
        """With sentences ``picks`` of ``other`` in place of those at ``places``, (N,) each."""
        tables = {}
        for name, table in vars(self).items():
            if name == "entry" and table is self.cost:  # units without pairs
                tables[name] = tables["cost"]
                continue
            values = getattr(other, name)[self._rows(name, picks)]
            tables[name] = put_rows(table, self._rows(name, places), values, _FILL[name])
        return self._narrow(**tables)

    def _rows(self, name: str, sentences: Tensor) -> Tensor:
        """Rows of a table that belong to sentences."""
        if len(getattr(self, name)) == len(self.src_seq_len):
            return sentences
        return torch.stack((2 * sentences, 2 * sentences + 1), 1).flatten()

    @staticmethod
    def _narrow(**tables: Tensor) -> SentenceTables:
        """Without the columns that only longer sentences need."""
        if not len(tables["src_seq_len"]):
            return SentenceTables(**tables)
        n_pieces = int(tables["src_seq_len"].max())
        for name, table in tables.items():
            # A word has at least one piece.
            width = n_pieces if name == "word_at" else n_pieces + 3
            if name != "src_seq_len" and table.shape[1] > width:
                tables[name] = table[:, :width].contiguous()
        return SentenceTables(**tables)


_FILL = {
    "src_seq_len": 0, "cost": INFINITE, "prefix": 4 * INFINITE, "cheapest": INFINITE, "cheapest_pair": INFINITE,
    "entry": INFINITE, "word_at": 0, "last_piece": 0,
}  # fmt: skip
"""What stands in the columns behind a sentence's own."""


def put_rows(table: Tensor, rows: Tensor, values: Tensor, fill: int) -> Tensor:
    """``values``, (N, C') or (N,), in the ``rows``, (N,), of a table, (R, C) or (R,), which changes in place if it can.

    The narrower of the two is filled up behind.
    """
    if table.dim() == 1:
        return table.index_copy_(0, rows, values)
    extra = values.shape[1] - table.shape[1]
    if extra > 0:
        table = pad(table, (0, extra), value=fill)
    return table.index_copy_(0, rows, pad(values, (0, -extra), value=fill) if extra < 0 else values)


def suffix_min(values: Tensor) -> Tensor:
    """(R, N) -> (R, N): the smallest value from each column on."""
    return values.flip(1).cummin(1).values.flip(1)


def build_tables(layout: SourceLayout, *, pairs: bool, all_pieces: bool) -> SentenceTables:
    """Tables of a batch.

    Args:
        layout: the batch.
        pairs: entities are written as first and last words (units ``span`` and ``span_bpe``).
        all_pieces: a word is written with all its pieces (units ``bpe`` and ``span_bpe``).
    """
    first, width = layout.first, layout.width
    mask = layout.word_mask()
    stop = (layout.src_seq_len - layout.tail).unsqueeze(1).expand(-1, 1)
    after = torch.cat((first[:, 1:], torch.zeros_like(stop)), 1)[:, : first.shape[1]]
    follows = pad(mask[:, 1:], (0, 1))[:, : first.shape[1]]
    last = torch.where(follows, after, stop) - 1
    pieces = last + 1 - first if all_pieces else torch.ones_like(first)
    cost = pad(pieces.masked_fill(~mask, INFINITE), (1, 2), value=INFINITE)
    cheapest = suffix_min(cost)
    both = cost + cheapest
    starts, ends = _word_at(first, mask, width), _word_at(last, mask, width)
    return SentenceTables(
        src_seq_len=layout.src_seq_len.clone(),
        cost=cost,
        prefix=cost.cumsum(1),
        cheapest=cheapest,
        cheapest_pair=suffix_min(both),
        entry=torch.stack((both, cost), 1).flatten(0, 1) if pairs else cost,
        word_at=torch.stack((starts, ends), 1).flatten(0, 1) if pairs and not all_pieces else starts,
        last_piece=pad(last, (1, 2)),
    )


def _word_at(positions: Tensor, mask: Tensor, width: int) -> Tensor:
    """(B, W) positions of real words -> (B, S) word numbers."""
    words = torch.arange(1, positions.shape[1] + 1, device=positions.device).expand_as(positions)
    # Padding goes to a column of its own, which is cut off.
    where = positions.masked_fill(~mask, width)
    return positions.new_zeros(positions.shape[0], width + 1).scatter_(1, where, words)[:, :width].contiguous()
