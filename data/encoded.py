"""An encoded split: rows of the pointer model as columns, in memory or in a cache file, and batches of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch

from genner.data.codecs.pointer import EOS
from genner.data.columns import Ragged, RaggedBuilder

__all__ = ["EncodedSplit", "RowInfo", "SplitBuilder", "collate_pointer", "pad_rows"]

_RAGGED = ("src_tokens", "bounds", "tgt_tokens")


@dataclass(frozen=True, eq=False)
class EncodedSplit(Sequence[dict[str, Any]]):
    """A row is a sentence or a part of a long one; rows are dicts of plain lists, built on access.

    Attributes:
        src_tokens: (S,) pieces of each row.
        bounds: (W + 1,) piece bounds of its words.
        tgt_tokens: (T,) symbols.
        example_idx: (rows,) number of the row's sentence in the split.
        word_offset: (rows,) the row's first word in its sentence.
        compat: whether ``first`` is every position, as in the reference, instead of the first piece of every word.

    >>> builder = SplitBuilder()
    >>> builder.append(0, 0, [5, 6, 7, 8], [1, 2, 3], [0, 1])
    >>> split = builder.build(compat=False)
    >>> split[0]["first"], split.lengths.tolist(), split.target_lengths.tolist()
    ([1, 2], [4], [2])
    """

    src_tokens: Ragged
    bounds: Ragged
    tgt_tokens: Ragged
    example_idx: np.ndarray
    word_offset: np.ndarray
    compat: bool

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], *, compat: bool) -> EncodedSplit:
        """What :meth:`to_arrays` wrote."""
        ragged = (Ragged.from_arrays(arrays, name) for name in _RAGGED)
        return cls(*ragged, arrays["example_idx"], arrays["word_offset"], compat)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All columns, for the cache."""
        arrays = {"example_idx": self.example_idx, "word_offset": self.word_offset}
        for name in _RAGGED:
            arrays |= getattr(self, name).to_arrays(name)
        return arrays

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) source pieces."""
        return self.src_tokens.lens

    @property
    def target_lengths(self) -> np.ndarray:
        """(rows,) symbols."""
        return self.tgt_tokens.lens

    def __len__(self) -> int:
        return len(self.example_idx)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        src_tokens, bounds, tgt_tokens = self.src_tokens[idx], self.bounds[idx], self.tgt_tokens[idx]
        first = list(range(len(src_tokens))) if self.compat else bounds[:-1]
        return {
            "src_tokens": src_tokens,
            "src_seq_len": len(src_tokens),
            "tgt_tokens": tgt_tokens,
            "tgt_seq_len": len(tgt_tokens),
            "first": first,
            "bounds": bounds,
            "example_idx": self.example_idx.item(idx),
            "word_offset": self.word_offset.item(idx),
        }


class SplitBuilder:
    """Collects the rows of a split."""

    def __init__(self) -> None:
        self._src, self._bounds, self._tgt = RaggedBuilder(), RaggedBuilder(), RaggedBuilder()
        self._example_idx, self._word_offset = array("i"), array("i")

    def append(
        self,
        example_idx: int,
        word_offset: int,
        src_tokens: Sequence[int],
        bounds: Sequence[int],
        tgt_tokens: Sequence[int],
    ) -> None:
        """Add a row."""
        self._src.append(src_tokens)
        self._bounds.append(bounds)
        self._tgt.append(tgt_tokens)
        self._example_idx.append(example_idx)
        self._word_offset.append(word_offset)

    def extend(self, first_idx: int, src_tokens: Ragged, bounds: Ragged, tgt_tokens: Iterable[Sequence[int]]) -> None:
        """Add consecutive sentences, numbered from ``first_idx``, as a row each."""
        self._src.extend(src_tokens)
        self._bounds.extend(bounds)
        for symbols in tgt_tokens:
            self._tgt.append(symbols)
        self._example_idx.extend(range(first_idx, first_idx + len(src_tokens)))
        self._word_offset.extend([0] * len(src_tokens))

    def build(self, *, compat: bool) -> EncodedSplit:
        """The rows so far; see :class:`EncodedSplit` for ``compat``."""
        ragged = (builder.build() for builder in (self._src, self._bounds, self._tgt))
        numbers = (np.array(column, dtype=np.int32) for column in (self._example_idx, self._word_offset))
        return EncodedSplit(*ragged, *numbers, compat)


@dataclass(frozen=True, slots=True)
class RowInfo:
    """What a batch is searched and its answers are read back with: it stays on the host when tensors are moved.

    Attributes:
        lens: (B,) ``src_seq_len``; targets: (B, T) ``tgt_tokens``, None without targets.
        bounds: of every row, the piece bounds of its words.
        example_idx: the sentence of the split that the row comes from.
        word_offset: the row's first word in that sentence.
    """

    lens: torch.Tensor
    targets: torch.Tensor | None
    bounds: list[list[int]]
    example_idx: list[int]
    word_offset: list[int]


def pad_rows(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of different lengths as one tensor.

    Returns:
        (B, longest) int64, ``pad`` behind the shorter rows; (B,) int64 lengths.

    >>> pad_rows([[5, 6], [7]], pad=1)
    (tensor([[5, 6],
            [7, 1]]), tensor([2, 1]))
    """
    lens = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    longest = int(lens.max(initial=0))
    padded = np.full((len(rows), longest), pad, dtype=np.int64)
    values = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lens.sum()))
    padded[np.arange(longest) < lens[:, None]] = values
    return torch.from_numpy(padded), torch.from_numpy(lens)


def collate_pointer(instances: Iterable[Mapping[str, Any]], pad_id: int) -> dict[str, Any]:
    """One batch of B instances of :class:`genner.data.pipe.PointerPipe`; use it with ``functools.partial``.

    Args:
        instances: with or without targets (prediction).
        pad_id: the tokenizer's padding piece.

    Returns:
        ``src_tokens`` (B, S) padded with ``pad_id``, ``src_seq_len`` (B,), ``first`` (B, W) padded with 0, where there
        are targets ``tgt_tokens`` (B, T) padded with EOS and ``tgt_seq_len`` (B,), all int64; and ``rows``, a
        :class:`RowInfo`, where there are bounds.
    """
    instances = list(instances)
    batch: dict[str, Any] = {}
    batch["src_tokens"], batch["src_seq_len"] = pad_rows([row["src_tokens"] for row in instances], pad_id)
    batch["first"], _ = pad_rows([row["first"] for row in instances], 0)
    if instances and "tgt_tokens" in instances[0]:
        batch["tgt_tokens"], batch["tgt_seq_len"] = pad_rows([row["tgt_tokens"] for row in instances], EOS)
    if instances and "bounds" in instances[0]:
        columns = ([row[name] for row in instances] for name in ("bounds", "example_idx", "word_offset"))
        batch["rows"] = RowInfo(batch["src_seq_len"], batch.get("tgt_tokens"), *columns)
    return batch
