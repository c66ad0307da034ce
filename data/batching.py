"""Instances of the pointer pipe -> padded tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np
import torch

from genner.data.codecs.symbols import EOS

__all__ = ["RowInfo", "collate_pointer", "pad_rows"]


@dataclass(frozen=True, slots=True)
class RowInfo:
    """What the answers of a batch are read back with: it stays on the host, and nobody searches it for tensors.

    Attributes:
        bounds: of every row, the piece bounds of its words.
        example_idx: the sentence of the split that the row comes from.
        word_offset: the row's first word in that sentence.
    """

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
        batch["rows"] = RowInfo(*([row[field.name] for row in instances] for field in fields(RowInfo)))
    return batch
