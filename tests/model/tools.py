"""What the fixtures and the tests of the models share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genner.model.backbones import Backbone

LABEL_WORDS = ("person", "location", "cell_line")
SYLLABLES = ("ba", "ko", "ri", "men", "tal", "su", "vor", "in", "da", "le", "mo", "gra", "pel", "on", "ith")
BOTH = ("scratch:tiny", "scratch-t5:tiny")


@dataclass(frozen=True)
class Batch:
    """Padded fields of a few sentences, and how long each target is."""

    src_tokens: Tensor
    src_seq_len: Tensor
    tgt_tokens: Tensor

    def rows(self, rows: slice) -> Batch:
        """Some of the sentences, still as wide as the whole."""
        return Batch(self.src_tokens[rows], self.src_seq_len[rows], self.tgt_tokens[rows])

    def __iter__(self):
        return iter((self.src_tokens, self.src_seq_len, self.tgt_tokens))

    @property
    def is_real(self) -> Tensor:
        """(B, T-1) bool, True = the symbol scored there is not padding."""
        is_end = self.tgt_tokens == 1
        return (is_end.cumsum(1) <= is_end)[:, 1:]


def sources_of(backbone: Backbone, sentences: list[list[str]]) -> tuple[Tensor, Tensor]:
    """Padded pieces and their lengths."""
    ids = [backbone.tokenizer(" ".join(words))["input_ids"] for words in sentences]
    lengths = torch.tensor([len(row) for row in ids])
    padded = [row + [backbone.pad_id] * (int(lengths.max()) - len(row)) for row in ids]
    return torch.tensor(padded), lengths
