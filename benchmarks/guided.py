"""A model forced to write the gold targets: random weights would write something else in every setting."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genner.model.decode_state import DecodeState
from genner.model.pointer import PointerModel

__all__ = ["GuidedModel", "raise_gold"]

_GOLD_MARGIN = 1e4


def raise_gold(logits: Tensor, gold: Tensor) -> Tensor:
    """(R, V) logits with the column ``gold``, (R,), of every row raised above all others."""
    return logits.scatter_add(1, gold.unsqueeze(1), logits.new_full((len(gold), 1), _GOLD_MARGIN))


class GuidedModel(nn.Module):
    """Scores like the model, but with the gold symbol first at every step; this costs all sides the same.

    Args:
        model: scores.
        targets: symbols of the sentences, in the order of decoding.

    Attributes:
        n_row_steps: rows fed so far, over all steps.
    """

    def __init__(self, model: PointerModel, targets: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model, self.backbone = model, model.backbone
        width = max(map(len, targets)) + 2
        # After the end of a target EOS is gold, also for beams that live longer.
        padded = [[*target, *[1] * (width - len(target))] for target in targets]
        device = model.backbone.embedding.weight.device
        self.targets = torch.tensor(padded, device=device)
        self.n_row_steps = self.n_started = 0

    def restart(self) -> None:
        """Start again with the first target."""
        self.n_row_steps = self.n_started = 0

    def start(self, src_tokens: Tensor, src_seq_len: Tensor, first: Tensor | None = None) -> DecodeState:
        """As the model's; sentence numbers continue from the previous batches."""
        state = self.model.start(src_tokens, src_seq_len, first)
        state.sentence_idx += self.n_started
        self.n_started += len(src_tokens)
        return state

    def step(self, symbols: Tensor, state: DecodeState) -> Tensor:
        """As the model's, with the gold column raised."""
        n_beams = len(symbols) // len(state.sentence_idx)
        sentence_idx = state.sentence_idx if n_beams == 1 else state.sentence_idx.repeat_interleave(n_beams)
        gold = self.gold_at(sentence_idx, state.positions)
        self.n_row_steps += symbols.numel()
        return raise_gold(self.model.step(symbols, state), gold)

    def draft(self, *_: object) -> None:
        """No drafts: the head is not trained."""

    def gold_at(self, sentence_idx: Tensor, positions: Tensor) -> Tensor:
        """(R,) gold symbols that follow the symbols at ``positions``, (R,)."""
        return self.targets[sentence_idx, positions.clamp(max=self.targets.shape[1] - 2) + 1]
