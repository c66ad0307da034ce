"""Greedy search, and the door to beam search. Both work on tensors: no Python loop over rows or symbols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genner.model.generation.beams import beam_search
from genner.model.generation.config import GenerationConfig
from genner.model.generation.constraints import BOS, EOS
from genner.model.generation.lanes import Lanes, Sequences, Waiting
from genner.model.generation.scores import log_probabilities, penalise_repetition
from genner.model.generation.state import (
    ConstraintLike,
    DecoderState,
    Hypotheses,
    Hypothesis,
    ModelLike,
    Started,
    as_hypotheses,
)

__all__ = ["search", "search_all"]


def search(
    model: ModelLike, state: DecoderState, constraint: ConstraintLike, config: GenerationConfig, limits: Tensor
) -> Hypotheses:
    """Write one sequence for every sentence of a batch.

    Args:
        model: scores the next symbol.
        state: of the B sentences before the first symbol; used up by the search.
        constraint: started for the same sentences and limits.
        config: beams and penalties.
        limits: (B,) longest sequences, BOS and EOS included.

    Raises:
        ConfigError: a limit below 2.
    """
    found = dict(search_all(model, [Started(state, constraint, limits)], config))
    return Hypotheses.collect([found[number] for number in range(limits.numel())])


@torch.inference_mode()
def search_all(
    model: ModelLike, batches: Iterable[Started], config: GenerationConfig
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """Write one sequence for every sentence of many batches.

    As many sentences are written at once as the first batch has. One that is done leaves, and the next one that waits
    takes its place, so that no step is spent on what is finished. Every sentence is judged by its own limit and by
    nothing else: neither its batch nor its neighbours change its answer. Batches of sentences of like length, the
    longest first, spare the most padding.

    Args:
        model: scores the next symbol.
        batches: asked for one ahead.
        config: beams and penalties.

    Yields:
        numbers of sentences, counted over all batches from 0, with their hypotheses, the best first; in the order in
        which they are done.

    Raises:
        ConfigError: a limit below 2.
    """
    run = _greedy_search if config.num_beams == 1 else beam_search
    yield from run(model, Waiting(batches), config)


class _Line:
    """What greedy search keeps per place: the sequence, and the (G,) symbols written last."""

    def __init__(self, lanes: Lanes) -> None:
        self.written = Sequences(lanes.limits, 1)
        self.symbols = self.written.ids[:, 0, 0].clone()

    def clear(self, places: Tensor, limits: Tensor) -> None:
        self.written.clear(places, limits)
        self.symbols.index_fill_(0, places, BOS)

    def keep(self, places: Tensor) -> None:
        self.written.keep(places)
        self.symbols = self.symbols[places]

    def answers(self, lanes: Lanes, places: Tensor, shortest: int) -> Iterator[tuple[int, list[Hypothesis]]]:
        """The finished sequences at the ``places``."""
        ids, logprobs = self.written.ids.index_select(0, places), self.written.logprobs.index_select(0, places)
        found = as_hypotheses(ids, logprobs, shortest=shortest)
        yield from zip((lanes.numbers[place] for place in places.tolist()), found, strict=True)


def _greedy_search(
    model: ModelLike, waiting: Waiting, config: GenerationConfig
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """The largest score at every step."""
    lanes = Lanes.open(waiting, 1)
    if lanes is None:
        return
    line, shortest = _Line(lanes), 3 if config.compat else 2
    while lanes.numbers:
        drafts, n_drafts = None, config.n_drafts(len(lanes.numbers))
        if n_drafts:
            drafts = model.draft(line.written.ids[:, 0], lanes.steps, n_drafts, lanes.state)
        if drafts is None:
            _step(model, lanes, line, config)
        else:
            _verify(model, lanes, line, drafts)
        done = (line.symbols == EOS).nonzero().squeeze(1)
        if lanes.is_turn(len(done)):
            yield from line.answers(lanes, done, shortest)
            lanes.turn(done, line)


def _step(model: ModelLike, lanes: Lanes, line: _Line, config: GenerationConfig) -> None:
    """One symbol per sentence."""
    allowed = lanes.constraint.allowed()
    logits = penalised = model.step(line.symbols, lanes.state)
    if config.repetition_penalty != 1.0:
        penalised = penalise_repetition(logits, line.written.so_far(lanes.steps)[:, 0], config.repetition_penalty)
    scores = _greedy_scores(penalised, lanes.steps, config.length_penalty)
    best = torch.where(allowed, scores, -torch.inf).argmax(1)
    has_ended = line.symbols == EOS
    line.symbols = best.masked_fill(has_ended, EOS)
    logprobs = _logprobs(logits, line.symbols).masked_fill(has_ended, 0.0)
    line.written.write(lanes.steps, line.symbols.unsqueeze(1), logprobs.unsqueeze(1))
    lanes.steps = lanes.steps + ~has_ended
    lanes.constraint = lanes.constraint.advance(line.symbols)


def _verify(model: ModelLike, lanes: Lanes, line: _Line, drafts: Tensor) -> None:
    """All of the (G, Q) ``drafts`` up to the first that greedy search would not write, and what it writes there."""
    n_drafts, has_ended = drafts.shape[1], line.symbols == EOS
    drafts = drafts.masked_fill(has_ended.unsqueeze(1), EOS)
    logits = model.step(torch.cat((line.symbols.unsqueeze(1), drafts), 1), lanes.state)
    unrolled = lanes.constraint.unroll(drafts)
    allowed = unrolled.allowed().view_as(logits)
    scores = _greedy_scores(logits, lanes.steps, 1.0)
    best = torch.where(allowed, scores, -torch.inf).argmax(2).masked_fill(has_ended.unsqueeze(1), EOS)
    # Symbols that are certain: each behind symbols that were drafted right, none of them the end.
    is_right = (best[:, :-1] == drafts) & (drafts != EOS)
    n_right = is_right.long().cumprod(1).sum(1)
    place = torch.arange(n_drafts + 1, device=drafts.device)
    is_written = (place <= n_right.unsqueeze(1)) & ~has_ended.unsqueeze(1)
    line.written.write_line(lanes.steps, best, _logprobs(logits, best), is_written)
    lanes.steps = lanes.steps + is_written.sum(1)
    line.symbols = best.gather(1, n_right.unsqueeze(1)).squeeze(1)
    lanes.constraint = unrolled.advance(best.flatten()).pick(n_right)
    lanes.state.rewind((n_drafts - n_right).masked_fill(has_ended, 0))


def _greedy_scores(logits: Tensor, written: Tensor, length_penalty: float) -> Tensor:
    """(R, V) what the largest is taken of, after (R,) ``written`` symbols; never -inf, which marks what is illegal."""
    scores = logits
    if length_penalty != 1.0:
        logprobs = log_probabilities(logits)
        divisor = (written.double() ** length_penalty).to(logits.dtype)
        scores = logprobs / divisor.unsqueeze(1)
        scores[:, EOS] = logprobs[:, EOS]
    return scores.clamp(min=torch.finfo(scores.dtype).min)


def _logprobs(logits: Tensor, symbols: Tensor) -> Tensor:
    """Log-probabilities of the symbols, of the logits' shape without its last dimension."""
    return logits.log_softmax(-1).gather(-1, symbols.unsqueeze(-1)).squeeze(-1).float()
