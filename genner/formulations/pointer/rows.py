"""Rows and batches of the pointer formulation, beside what :mod:`genner.data.encoded` makes of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from genner.data.alignment import WordTokenizer
from genner.data.encoded import RowInfo, collate_pointer
from genner.data.schema import Segment
from genner.formulations.base import Batch
from genner.model.generation import PointerConstraint

__all__ = ["EncodedWords", "collate_allowed", "remembered"]


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """See :class:`genner.formulations.passages.EncodedPassage`."""

    piece_ids: list[int]
    bounds: list[int]
    words: WordTokenizer

    @property
    def lens(self) -> list[int]:
        return [end - start for start, end in pairwise(self.bounds)]

    def row(self, window: Segment, idx: int) -> dict[str, Any]:
        words, bounds = self.words, self.bounds
        piece_ids = words.enclose(self.piece_ids[bounds[window.start] : bounds[window.end]])
        shift = words.lead - bounds[window.start]
        inside = [bound + shift for bound in bounds[window.start : window.end + 1]]
        first = list(range(len(piece_ids))) if words.compat else inside[:-1]
        return {"src_tokens": piece_ids, "first": first, "bounds": inside, "example_idx": idx, "word_offset": 0}


def collate_allowed(
    pad_id: int, constraint: PointerConstraint, lead: int, tail: int, instances: Sequence[Mapping[str, Any]]
) -> Batch:
    """A batch with ``allowed``, (B, T-1, 2+L+S) bool: what the constraint allows at every place of the targets."""
    batch = collate_pointer(instances, pad_id)
    if (targets := batch.get("tgt_tokens")) is not None:
        sizes = batch["first"], batch["src_seq_len"], lead, tail, targets, batch["src_tokens"].shape[1]
        allowed = constraint.along(*sizes)
        batch["allowed"] = allowed.scatter_(2, targets[:, 1:].unsqueeze(2), True)  # gold is, whatever the data hold
    return batch


def remembered(batches: Iterable[Batch], rows: dict[int, tuple]) -> Iterator[Batch]:
    """The batches; of every sentence, ``rows`` gets what its answer has to be read with, by its number."""
    n_before = 0
    for batch in batches:
        info: RowInfo = batch["rows"]
        size = len(info.bounds)
        golds = [None] * size if info.targets is None else info.targets.tolist()
        columns = zip(info.bounds, info.example_idx, info.word_offset, golds, strict=True)
        rows.update(enumerate(columns, n_before))
        n_before += size
        yield batch
