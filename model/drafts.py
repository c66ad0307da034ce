"""Speculative decoding: the encoder alone drafts several symbols, which the decoder verifies in one pass.

A draft head on the encoder states predicts for every piece whether an entity starts there and what follows a pointer to
it: the next legal piece, or a label. It is trained on detached states, so the model is the same with or without it, and
greedy search accepts only symbols that it would have chosen itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DRAFT_UNITS", "DraftHead", "DraftTables"]

DRAFT_UNITS = ("word", "bpe")
"""Target types in which what follows a pointer depends only on the piece that it points to."""

_EOS = 1
_FIRST_LABEL = 2
_IGNORED = -100


@dataclass
class DraftTables:
    """Predicted continuations, per sentence.

    Attributes:
        follower: (G, S) symbol after a pointer to each position.
        next_start: (G, S + 1) first pointer of the first entity that starts after position p, or EOS, in column p + 1.
    """

    follower: Tensor
    next_start: Tensor

    def select(self, sentences: Tensor) -> DraftTables:
        """The tables of other sentences."""
        return DraftTables(self.follower[sentences], self.next_start[sentences])

    def refill(self, slots: Tensor, other: DraftTables, incoming: slice) -> None:
        """Overwrite ``slots`` with the sentences ``incoming`` of ``other``."""
        extra = other.follower.shape[1] - self.follower.shape[1]
        if extra > 0:
            self.follower = functional.pad(self.follower, (0, extra), value=_EOS)
            self.next_start = functional.pad(self.next_start, (0, extra), value=_EOS)
        self.follower[slots, : other.follower.shape[1]] = other.follower[incoming]
        self.next_start[slots, : other.next_start.shape[1]] = other.next_start[incoming]

    def draft(self, written: Tensor, steps: Tensor, n_symbols: int, shift: int) -> Tensor:
        """Predict the next symbols.

        Args:
            written: (G, T) symbols, padded with EOS.
            steps: (G,) their number.
            n_symbols: Q, number of symbols to draft.
            shift: symbols before the source positions.

        Returns:
            (G, Q) symbols; EOS after the predicted end.
        """
        before, symbols = written[:, :-1], written[:, 1:]
        starts = ((symbols >= shift) & (before < shift)).long() * torch.arange(1, written.shape[1], device=steps.device)
        column = starts.max(1, keepdim=True).values
        start = torch.where(column > 0, written.gather(1, column) - shift, -1)
        last = written.gather(1, steps.unsqueeze(1) - 1)
        drafts = []
        for _ in range(n_symbols):
            inside = self.follower.gather(1, (last - shift).clamp(min=0))
            outside = self.next_start.gather(1, start + 1).masked_fill(last == _EOS, _EOS)
            is_inside = last >= shift
            following = torch.where(is_inside, inside, outside)
            start = torch.where(is_inside | (following < shift), start, following - shift)
            last = following
            drafts.append(last)
        return torch.cat(drafts, 1)


class DraftHead(nn.Module):
    """One linear layer from an encoder state to ``start``, ``continue`` and the L labels.

    Args:
        width: H.
        n_labels: L.
        unit: one of :data:`DRAFT_UNITS`.
    """

    def __init__(self, width: int, n_labels: int, unit: str) -> None:
        super().__init__()
        self.unit = unit
        # Zeros: the problem is convex, and the random state of the rest of the model stays the same.
        self.linear = nn.utils.skip_init(nn.Linear, width, 2 + n_labels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def loss(self, memory: Tensor, src_mask: Tensor, tgt_tokens: Tensor, shift: int) -> Tensor:
        """Mean cross entropy of what follows the pointers of the targets, plus that of where entities start.

        Args:
            memory: (B, S, H) encoder states; detached.
            src_mask: (B, S) bool, True = piece.
            tgt_tokens: (B, T) symbols, BOS first, padded with EOS.
            shift: symbols before the source positions.
        """
        scores = self.linear(memory.detach()).float()
        before, symbols = tgt_tokens[:, :-1], tgt_tokens[:, 1:]
        is_inside, is_pointer = before >= shift, symbols >= shift
        columns = (before - shift).clamp(min=0).unsqueeze(2).expand(-1, -1, scores.shape[2] - 1)
        follows = scores[..., 1:].gather(1, columns)
        wanted = (symbols - 1).masked_fill(is_pointer, 0).masked_fill(~is_inside, _IGNORED)
        n_inside = is_inside.sum().clamp(min=1)
        loss = functional.cross_entropy(follows.flatten(0, 1), wanted.flatten(), reduction="sum") / n_inside
        where = (symbols - shift).masked_fill(is_inside | ~is_pointer, memory.shape[1])
        starts = scores.new_zeros(len(scores), memory.shape[1] + 1).scatter_(1, where, 1.0)[:, :-1]
        weight = src_mask.to(scores.dtype)
        start_loss = functional.binary_cross_entropy_with_logits(scores[..., 0], starts, weight, reduction="sum")
        return loss + start_loss / weight.sum()

    @torch.no_grad()
    def tables(self, memory: Tensor, first: Tensor, src_seq_len: Tensor, tail: int, shift: int) -> DraftTables:
        """Predictions for G sentences.

        Args:
            memory: (G, S, H) encoder states.
            first: (G, W) first piece of every word, padded with 0.
            src_seq_len: (G,) pieces, specials included.
            tail: special pieces after the words.
            shift: symbols before the source positions.
        """
        scores = self.linear(memory).float()
        n_positions = memory.shape[1]
        position = torch.arange(n_positions, device=memory.device)
        is_first = torch.zeros(scores.shape[:2], dtype=torch.long, device=memory.device).scatter_(1, first, 1).bool()
        inside = position < (src_seq_len - tail).unsqueeze(1)
        is_first &= inside & ((position > 0) | (first[:, :1] == 0))
        may_follow = is_first if self.unit == "word" else inside
        following = _next_position(may_follow)
        label = scores[..., 2:].argmax(2) + _FIRST_LABEL
        continues = (scores[..., 1:].argmax(2) == 0) & (following < n_positions)
        starts = functional.pad(_next_position(is_first & (scores[..., 0] > 0)), (1, 0))
        starts[:, 0] = torch.where(is_first & (scores[..., 0] > 0), position, n_positions).min(1).values
        return DraftTables(
            follower=torch.where(continues, following + shift, label),
            next_start=torch.where(starts < n_positions, starts + shift, _EOS),
        )


def _next_position(marked: Tensor) -> Tensor:
    """(G, S) bool -> (G, S): the first marked position after each, S if there is none."""
    n_positions = marked.shape[1]
    position = torch.arange(n_positions, device=marked.device)
    from_here = torch.where(marked, position, n_positions).flip(1).cummin(1).values.flip(1)
    return functional.pad(from_here[:, 1:], (0, 1), value=n_positions)
