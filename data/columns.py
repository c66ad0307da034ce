"""Rows of different lengths as two flat integer arrays, for the cache and for reading batches."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Ragged", "RaggedBuilder"]


@dataclass(frozen=True, eq=False)
class Ragged(Sequence[list[int]]):
    """A sequence of rows of integers; rows become lists on access, slices share the arrays.

    Args:
        values: the rows, concatenated.
        offsets: (rows + 1,) int64; row i is ``values[offsets[i]:offsets[i + 1]]``. Need not start at 0.

    >>> rows = Ragged.of([[1, 2, 3], [], [4]])
    >>> rows[0], rows[-1], list(rows[1:]), rows.lens.tolist()
    ([1, 2, 3], [4], [[], [4]], [3, 0, 1])
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> Ragged:
        """The rows, copied."""
        builder = RaggedBuilder()
        for row in rows:
            builder.append(row)
        return builder.build()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], name: str) -> Ragged:
        """The inverse of :meth:`to_arrays`."""
        return cls(arrays[f"{name}_values"], arrays[f"{name}_offsets"])

    def to_arrays(self, name: str) -> dict[str, np.ndarray]:
        """The two arrays for the cache, without values outside the rows."""
        return {f"{name}_values": self.flat, f"{name}_offsets": self.offsets - self.offsets[0]}

    @property
    def flat(self) -> np.ndarray:
        """The values of all rows, a view."""
        return self.values[self.offsets[0] : self.offsets[-1]]

    @property
    def lens(self) -> np.ndarray:
        """(rows,) int64 lengths."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, idx: int | slice) -> list[int] | Ragged:
        if isinstance(idx, slice):
            start, stop = bounds_of_slice(idx, len(self))
            return Ragged(self.values, self.offsets[start : stop + 1])
        return self.view(idx).tolist()

    def view(self, idx: int) -> np.ndarray:
        """A row as a view of ``values``."""
        row = position(idx, len(self))
        return self.values[self.offsets.item(row) : self.offsets.item(row + 1)]

    def __iter__(self) -> Iterator[list[int]]:
        """All rows as lists, converted at once."""
        flat = self.flat.tolist()
        return (flat[start:end] for start, end in pairwise((self.offsets - self.offsets[0]).tolist()))


class RaggedBuilder:
    """Collects rows of integers below 2**31; takes 4 bytes per value while it grows."""

    def __init__(self) -> None:
        self._values, self._lens = array("i"), array("q")

    def append(self, row: Sequence[int]) -> None:
        """Add a row."""
        self._values.extend(array("i", row))
        self._lens.append(len(row))

    def extend(self, rows: Ragged) -> None:
        """Add many rows of int32."""
        self._values.frombytes(rows.flat.tobytes())
        self._lens.frombytes(rows.lens.tobytes())

    def build(self) -> Ragged:
        """The rows so far."""
        offsets = np.zeros(len(self._lens) + 1, dtype=np.int64)
        np.cumsum(self._lens, out=offsets[1:])
        return Ragged(np.array(self._values, dtype=np.int32), offsets)


def position(idx: int, length: int) -> int:
    """``idx`` counted from the start; raises ``IndexError`` as a list does."""
    if not -length <= idx < length:
        raise IndexError(f"row {idx} of {length}")
    return idx + length if idx < 0 else idx


def bounds_of_slice(idx: slice, length: int) -> tuple[int, int]:
    """Start and stop of a slice; raises ``ValueError`` for a step other than 1."""
    start, stop, step = idx.indices(length)
    if step != 1:
        raise ValueError(f"rows: a slice with step {step}. Expected step 1.")
    return start, max(start, stop)
