"""An encoded split: rows of the pointer model as columns, in memory or in a cache file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genner.data.columns import Ragged, RaggedBuilder

__all__ = ["EncodedSplit", "SplitBuilder"]

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
