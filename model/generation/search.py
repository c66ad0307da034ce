"""Entry point of the search, and greedy search. Both searches work on tensors: no Python loop over rows or symbols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genner.model.generation.beams import beam_search
from genner.model.generation.choice import Choice, log_probabilities, penalise_repetition
from genner.model.generation.config import GenerationConfig
from genner.model.generation.constraints import BOS, EOS
from genner.model.generation.slots import SentenceQueue, Sequences, Slots
from genner.model.generation.state import Hypothesis, ModelLike, PreparedBatch, as_hypotheses

__all__ = ["search_all"]


@torch.inference_mode()
def search_all(
    model: ModelLike, batches: Iterable[PreparedBatch], config: GenerationConfig
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """Decode the sentences of many batches, with continuous batching.

    The decoding batch has as many slots as the first batch has sentences. A slot whose sentence has ended is refilled
    with the next sentence in the queue, so that no step is spent on finished sentences. The result for a sentence does
    not depend on the other sentences. Batches of sentences of similar length, the longest first, need the least
    padding.

    Args:
        model: scores the next symbol.
        batches: consumed one ahead.
        config: beams and penalties.

    Yields:
        sentence numbers, counted from 0 over all batches, with the hypotheses, the best first; in the order in which
        sentences end.

    Raises:
        ConfigError: a limit below 2.
    """
    run = _greedy_search if config.num_beams == 1 else beam_search
    yield from run(model, SentenceQueue(batches), config)


class _GreedyState:
    """What greedy search keeps per slot: the sequence and its last symbol, (G,)."""

    def __init__(self, slots: Slots) -> None:
        self.written = Sequences(slots, 1)
        self.symbols = self.written.ids[:, 0, 0].clone()

    def reset(self, slots: Tensor, limits: Tensor) -> None:
        self.written.reset(slots, limits)
        self.symbols.index_fill_(0, slots, BOS)

    def select(self, slots: Tensor) -> None:
        self.written.select(slots)
        self.symbols = self.symbols[slots]


def _greedy_search(
    model: ModelLike, queue: SentenceQueue, config: GenerationConfig
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """The symbol with the highest score at every step."""
    slots = Slots.open(queue, 1)
    if slots is None:
        return
    greedy, shortest = _GreedyState(slots), 3 if config.compat else 2
    while slots.numbers:
        drafts, n_drafts = None, config.n_drafts(len(slots.numbers))
        if n_drafts:
            drafts = model.draft(greedy.written.ids[:, 0], slots.steps, n_drafts, slots.state)
        if drafts is None:
            _step(model, slots, greedy, config)
        else:
            _verify(model, slots, greedy, drafts, config)
        found = slots.take_ended(greedy.symbols == EOS, *greedy.written.parts)
        if found is not None:
            ended, results = found
            yield from slots.numbered(ended, as_hypotheses(*results, shortest=shortest))
            slots.refill(ended, greedy)


def _step(model: ModelLike, slots: Slots, greedy: _GreedyState, config: GenerationConfig) -> None:
    """One symbol per sentence."""
    choice = Choice.of(slots.constraint, model.step(greedy.symbols, slots.state), config)
    penalised = choice.logits
    if config.repetition_penalty != 1.0:
        penalised = penalise_repetition(penalised, greedy.written.so_far(slots.steps)[:, 0], config.repetition_penalty)
    scores = _greedy_scores(penalised, slots.steps, config.length_penalty)
    best = torch.where(choice.allowed, scores, -torch.inf).argmax(1)
    has_ended = greedy.symbols == EOS
    greedy.symbols = best.masked_fill(has_ended, EOS)
    logprobs = _of(choice.logprobs, greedy.symbols).masked_fill(has_ended, 0.0)
    values = greedy.symbols, logprobs, choice.masses.masked_fill(has_ended, 1.0)
    greedy.written.write(slots.steps, *(value.unsqueeze(1) for value in values))
    slots.steps = slots.steps + ~has_ended
    slots.constraint = slots.constraint.advance(greedy.symbols, choice.gave_up(greedy.symbols))


def _verify(model: ModelLike, slots: Slots, greedy: _GreedyState, drafts: Tensor, config: GenerationConfig) -> None:
    """Accept (G, Q) ``drafts`` up to the first symbol that greedy search would not choose, and its choice there."""
    n_drafts, has_ended = drafts.shape[1], greedy.symbols == EOS
    drafts = drafts.masked_fill(has_ended.unsqueeze(1), EOS)
    logits = model.step(torch.cat((greedy.symbols.unsqueeze(1), drafts), 1), slots.state)
    unrolled = slots.constraint.unroll(drafts)
    choice = Choice.of(unrolled, logits.flatten(0, 1), config)
    scores = _greedy_scores(choice.logits, slots.steps, 1.0)
    chosen = torch.where(choice.allowed, scores, -torch.inf).argmax(1)
    gave_up = choice.gave_up(chosen)
    best = chosen.view(len(drafts), -1).masked_fill(has_ended.unsqueeze(1), EOS)
    # A choice stands if all drafts before it were right and none of them was EOS. Behind a group that is given up on,
    # the unrolled states are not those of the search.
    is_right = (best[:, :-1] == drafts) & (drafts != EOS)
    if gave_up is not None:
        is_right &= ~gave_up.view_as(best)[:, :-1]
    n_accepted = is_right.long().cumprod(1).sum(1)
    column = torch.arange(n_drafts + 1, device=drafts.device)
    is_accepted = (column <= n_accepted.unsqueeze(1)) & ~has_ended.unsqueeze(1)
    values = best, _of(choice.logprobs, best.flatten()).view_as(best), choice.masses.view_as(best)
    greedy.written.write_accepted(slots.steps, is_accepted, *values)
    slots.steps = slots.steps + is_accepted.sum(1)
    greedy.symbols = best.gather(1, n_accepted.unsqueeze(1)).squeeze(1)
    slots.constraint = unrolled.advance(best.flatten(), gave_up).accept(n_accepted)
    slots.state.rewind((n_drafts - n_accepted).masked_fill(has_ended, 0))


def _greedy_scores(logits: Tensor, written: Tensor, length_penalty: float) -> Tensor:
    """(R, V) scores to maximise after (R,) ``written`` symbols; never -inf, which marks illegal symbols."""
    scores = logits
    if length_penalty != 1.0:
        logprobs = log_probabilities(logits)
        divisor = (written.double() ** length_penalty).to(logits.dtype)
        scores = logprobs / divisor.unsqueeze(1)
        scores[:, EOS] = logprobs[:, EOS]
    return scores.clamp(min=torch.finfo(scores.dtype).min)


def _of(logprobs: Tensor, symbols: Tensor) -> Tensor:
    """(R, V) log-probabilities -> (R,) those of the symbols."""
    return logprobs.gather(1, symbols.unsqueeze(1)).squeeze(1).float()
