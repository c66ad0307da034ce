"""Sentences as columns: the form of a corpus in the cache, and a sequence of examples built on access."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from genner.data.columns import Ragged, RaggedBuilder, bounds_of_slice, position
from genner.data.schema import Entity, Example

__all__ = ["Sentences"]

_NO_DOCUMENT = np.iinfo(np.int64).min
_CODING = ("utf-8", "surrogatepass")  # lossless for any string


@dataclass(frozen=True, eq=False)
class Sentences(Sequence[Example]):
    """Examples in flat arrays; slices share them.

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
            rows = slice(*bounds_of_slice(idx, len(self)))
            text, word_lens, label_idx = self.text[rows], self.word_lens[rows], self.label_idx[rows]
            return replace(self, text=text, word_lens=word_lens, label_idx=label_idx, documents=self.documents[rows])
        idx = position(idx, len(self))
        text = self.text.view(idx).tobytes().decode(*_CODING)
        words = tuple([text[start:end] for start, end in pairwise(accumulate(self.word_lens[idx], initial=0))])
        rows = enumerate(self.label_idx[idx], self.label_idx.offsets.item(idx))
        entities = tuple([Entity.from_flat(self.labels[label], self.spans[row]) for row, label in rows])
        document = self.documents.item(idx)
        return Example(words, entities, None if document == _NO_DOCUMENT else document)
