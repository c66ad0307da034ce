"""Embedding rows of the label symbols, and their initialisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from genner.data.alignment import label_token, label_token_ids

__all__ = ["init_label_rows", "label_pieces", "reference_label_ids"]


def label_pieces(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[list[int]]:
    """Piece ids of every label's words, tokenised alone and without a leading blank."""
    return [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]


def reference_label_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[int]:
    """The reference's ids of the label tokens (``compat`` only), whether or not the tokenizer already has them."""
    added = tokenizer.get_added_vocab()
    n_there = sum(label_token(word) in added for word in words)
    return label_token_ids(len(tokenizer) - n_there, words, compat=True)


@torch.no_grad()
def init_label_rows(
    weight: Tensor, rows: Sequence[int], pieces: Sequence[Sequence[int]], *, compat_words: Sequence[str] | None = None
) -> None:
    """Initialise every label's row from the rows of its words, in place.

    Yan et al. (2021), section 3.2, https://arxiv.org/abs/2106.01223

    Args:
        weight: (rows, H) shared embedding.
        rows: row of every label.
        pieces: piece ids of every label's words; a label without any keeps its random row.
        compat_words: the labels' words, to repeat the reference's arithmetic: it sums the pieces in the row of the
            first one, which is overwritten, and processes the labels in the order of their token strings, so that
            later ones read modified rows. None: the mean of the original rows, which are left unchanged.
    """
    if compat_words is None:
        means = [weight[torch.tensor(ids, device=weight.device)].mean(dim=0) if ids else None for ids in pieces]
        for row, mean in zip(rows, means, strict=True):
            if mean is not None:
                weight[row] = mean
        return
    work = sorted(range(len(rows)), key=lambda i: label_token(compat_words[i]))
    for label in work:
        ids = pieces[label]
        if not ids:
            continue
        total = weight[ids[0]]
        for piece in ids[1:]:
            total += weight[piece]
        total /= len(ids)
        weight[rows[label]] = total
