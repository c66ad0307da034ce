"""Greedy search, and the door to beam search. Both work on tensors: no Python loop over rows or symbols."""

from __future__ import annotations

import torch
from torch import Tensor

from model.generation.beams import beam_search
from model.generation.config import GenerationConfig
from model.generation.constraints import BOS, EOS, check_limits
from model.generation.scores import log_probabilities, penalise_repetition
from model.generation.state import ConstraintLike, Hypotheses, ModelLike, StateLike

__all__ = ["search"]

_COMPACT_BELOW = 0.75
"""Finished rows leave the batch once the live ones are fewer than this share of it: leaving copies the caches."""


@torch.no_grad()
def search(
    model: ModelLike, state: StateLike, constraint: ConstraintLike, config: GenerationConfig, limits: Tensor
) -> Hypotheses:
    """Write one sequence per sentence.

    Every sentence is judged by its own limit, so that its answer does not depend on the others of the batch.

    Args:
        model: scores the next symbol.
        state: of the B sentences before the first symbol; used up by the search.
        constraint: started for the same sentences and limits.
        config: beams and penalties.
        limits: (B,) longest sequences, BOS and EOS included.

    Returns:
        the best sequence of every sentence.

    Raises:
        ConfigError: a limit below 2.
    """
    check_limits(limits)
    run = greedy_search if config.num_beams == 1 else beam_search
    return run(model, state, constraint, config, limits)


def greedy_search(
    model: ModelLike, state: StateLike, constraint: ConstraintLike, config: GenerationConfig, limits: Tensor
) -> Hypotheses:
    """The largest score at every step; see :func:`search`."""
    n_rows, width = limits.numel(), max(int(limits.max()), 3) if limits.numel() else 1
    ids = limits.new_full((n_rows, width), EOS)
    ids[:, 0] = BOS
    logprobs = torch.zeros(n_rows, width, device=limits.device)
    rows = torch.arange(n_rows, device=limits.device)
    is_live = torch.ones_like(rows, dtype=torch.bool)
    symbols = ids[:, 0]
    for step in range(1, width):
        logits = penalised = model.step(symbols, state)
        if config.repetition_penalty != 1.0:
            penalised = penalise_repetition(logits, ids[rows, :step], config.repetition_penalty)
        scores = _greedy_scores(penalised, step, config.length_penalty)
        symbols = scores.masked_fill(~constraint.allowed(), -torch.inf).argmax(1)
        symbols = symbols.masked_fill(~is_live, EOS)
        ids[rows, step] = symbols
        chosen = logits.gather(1, symbols.unsqueeze(1)).squeeze(1) - logits.logsumexp(1)
        logprobs[rows, step] = chosen.float().masked_fill(~is_live, 0.0)
        is_live = is_live & (symbols != EOS)
        n_live = int(is_live.sum())
        if not n_live:
            break
        if n_live < _COMPACT_BELOW * rows.numel():
            kept = is_live.nonzero().squeeze(1)
            rows, symbols, is_live = rows[kept], symbols[kept], is_live[kept]
            state, constraint = state.select(kept), constraint.select(kept)
        constraint = constraint.advance(symbols)
    return Hypotheses.collect(
        ids.unsqueeze(1), logprobs.unsqueeze(1), logprobs.sum(1, keepdim=True), shortest=3 if config.compat else 2
    )


def _greedy_scores(logits: Tensor, written: int, length_penalty: float) -> Tensor:
    """(R, V) what the largest is taken of, after ``written`` symbols; never -inf, which marks what is illegal."""
    scores = logits
    if length_penalty != 1.0:
        logprobs = log_probabilities(logits)
        scores = logprobs / written**length_penalty
        scores[:, EOS] = logprobs[:, EOS]
    return scores.clamp(min=torch.finfo(scores.dtype).min)
