"""Columns: rows of different lengths, and sentences made of them, as flat integer arrays for the cache."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from genner.data.schema import Entity, Example

__all__ = ["Ragged", "RaggedBuilder", "Sentences"]

_NO_DOCUMENT = np.iinfo(np.int64).min
_CODING = ("utf-8", "surrogatepass")  # lossless for any string


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
            start, stop = _bounds_of_slice(idx, len(self))
            return Ragged(self.values, self.offsets[start : stop + 1])
        return self.view(idx).tolist()

    def view(self, idx: int) -> np.ndarray:
        """A row as a view of ``values``."""
        row = _position(idx, len(self))
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


@dataclass(frozen=True, eq=False)
class Sentences(Sequence[Example]):
    """A sequence of examples in flat arrays, built on access; slices share the arrays.

    Args:
        text: bytes of each sentence's words, concatenated.
        word_lens: characters of each of its words.
        label_idx: label of each of its entities, as an index into ``labels``.
        spans: ``[s1, e1, s2, e2, ...]`` of each entity; those of sentence i are the rows
            ``label_idx.offsets[i] .. label_idx.offsets[i + 1] - 1``.
        documents: (sentences,) int64, the lowest number if the document is unknown.
        labels: in order of first appearance; a slice keeps all of them.

    >>> rows = Sentences.of([Example(("hip", "pain"), (Entity.from_flat("PART", [0, 1]),)), Example(("none",), ())])
    >>> rows[0].entities[0].flat, rows[1:][0].words, len(rows)
    ([0, 1], ('none',), 2)
    """

    text: Ragged
    word_lens: Ragged
    label_idx: Ragged
    spans: Ragged
    documents: np.ndarray
    labels: tuple[str, ...]

    @classmethod
    def of(cls, examples: Iterable[Example]) -> Sentences:
        """The examples, copied."""
        text, ends, documents = bytearray(), array("q", [0]), array("q")
        word_lens, label_idx, spans = RaggedBuilder(), RaggedBuilder(), RaggedBuilder()
        label_ids: dict[str, int] = {}
        for example in examples:
            text += "".join(example.words).encode(*_CODING)
            ends.append(len(text))
            word_lens.append(list(map(len, example.words)))
            label_idx.append([label_ids.setdefault(entity.label, len(label_ids)) for entity in example.entities])
            for entity in example.entities:
                spans.append(entity.flat)
            documents.append(_NO_DOCUMENT if example.document is None else example.document)
        letters = Ragged(np.frombuffer(text, dtype=np.uint8), np.array(ends, dtype=np.int64))
        columns = (builder.build() for builder in (word_lens, label_idx, spans))
        return cls(letters, *columns, np.array(documents, dtype=np.int64), tuple(label_ids))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], labels: Iterable[str], prefix: str = "") -> Sentences:
        """What :meth:`to_arrays` wrote."""
        columns = (Ragged.from_arrays(arrays, prefix + name) for name in ("text", "word_lens", "label_idx", "spans"))
        return cls(*columns, arrays[f"{prefix}documents"], tuple(labels))

    def to_arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """The columns for the cache; ``labels`` is stored separately."""
        offsets = self.label_idx.offsets
        spans = self.spans[offsets.item(0) : offsets.item(-1)]
        columns = {"text": self.text, "word_lens": self.word_lens, "label_idx": self.label_idx, "spans": spans}
        arrays = {f"{prefix}documents": self.documents}
        for name, column in columns.items():
            arrays |= column.to_arrays(prefix + name)
        return arrays

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the sentences."""
        sha = hashlib.sha256(json.dumps(self.labels).encode())
        for name, column in sorted(self.to_arrays().items()):
            sha.update(f"\n{name} {len(column)}\n".encode())
            sha.update(np.ascontiguousarray(column))
        return sha.hexdigest()

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, idx: int | slice) -> Example | Sentences:
        if isinstance(idx, slice):
            rows = slice(*_bounds_of_slice(idx, len(self)))
            text, word_lens, label_idx = self.text[rows], self.word_lens[rows], self.label_idx[rows]
            return replace(self, text=text, word_lens=word_lens, label_idx=label_idx, documents=self.documents[rows])
        idx = _position(idx, len(self))
        text = self.text.view(idx).tobytes().decode(*_CODING)
        words = tuple([text[start:end] for start, end in pairwise(accumulate(self.word_lens[idx], initial=0))])
        rows = enumerate(self.label_idx[idx], self.label_idx.offsets.item(idx))
        entities = tuple([Entity.from_flat(self.labels[label], self.spans[row]) for row, label in rows])
        document = self.documents.item(idx)
        return Example(words, entities, None if document == _NO_DOCUMENT else document)


def _position(idx: int, length: int) -> int:
    """``idx`` counted from the start; raises ``IndexError`` as a list does."""
    if not -length <= idx < length:
        raise IndexError(f"row {idx} of {length}")
    return idx + length if idx < 0 else idx


def _bounds_of_slice(idx: slice, length: int) -> tuple[int, int]:
    """Start and stop of a slice; raises ``ValueError`` for a step other than 1."""
    start, stop, step = idx.indices(length)
    if step != 1:
        raise ValueError(f"rows: a slice with step {step}. Expected step 1.")
    return start, max(start, stop)
