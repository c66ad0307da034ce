"""Beam search: K beams per sentence, all sentences at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.model.generation.choice import Choice, log_probabilities, penalise_repetition
from genner.model.generation.config import GenerationConfig
from genner.model.generation.constraints import EOS
from genner.model.generation.slots import SentenceQueue, Sequences, Slots
from genner.model.generation.state import Hypothesis, ModelLike, as_hypotheses, reading_waits

__all__ = ["beam_search"]


class _Beams:
    """What beam search keeps per slot.

    Attributes:
        score: (G, K) sum of log-probabilities, penalties included; -inf: a dead beam.
        symbols: (G, K) last symbols.
        written: K sequences per slot.
    """

    def __init__(self, slots: Slots, n_beams: int) -> None:
        self.written = Sequences(slots, n_beams)
        self.symbols = self.written.ids[:, :, 0].clone()
        self.score = torch.full(self.symbols.shape, -torch.inf, device=self.symbols.device)
        self.score[:, 0] = 0.0

    def reset(self, slots: Tensor, limits: Tensor) -> None:
        self.written.reset(slots, limits)
        self.symbols[slots] = self.written.ids[slots, :, 0]
        self.score[slots] = -torch.inf
        self.score[slots, 0] = 0.0

    def select(self, slots: Tensor) -> None:
        self.written.select(slots)
        self.score, self.symbols = self.score[slots], self.symbols[slots]

    def extend(self, candidates: _Candidates, steps: Tensor) -> Sequences:
        """C sequences per slot, each a candidate's parent with the candidate's symbol appended."""
        longer = self.written.gather(candidates.parent)
        longer.write(steps, candidates.symbol, candidates.logprob, candidates.mass)
        return longer


@dataclass
class _Candidates:
    """The C best continuations of each of G sentences, the best first: (G, C) each.

    Attributes:
        score: as in :class:`_Beams`; -inf: no candidate.
        parent: beam that is continued.
        symbol: symbol appended to it.
        logprob: log-probability of the symbol.
        mass: see :class:`~genner.model.generation.choice.Choice`.
        gave_up: bool, True = gives up on its group; None: none does.
        closes: bool, True = a complete hypothesis.
    """

    score: Tensor
    parent: Tensor
    symbol: Tensor
    logprob: Tensor
    mass: Tensor
    gave_up: Tensor | None
    closes: Tensor

    def continuing(self, n_beams: int) -> _Candidates:
        """The best ``n_beams`` that do not end; if there are fewer, padded with dead ones that write EOS."""
        is_end = self.symbol == EOS
        order = is_end.long().argsort(dim=1, stable=True)[:, :n_beams]
        score = self.score.masked_fill(is_end, -torch.inf).gather(1, order)
        symbol = self.symbol.gather(1, order).masked_fill(score == -torch.inf, EOS)
        kept = (self.parent, self.logprob, self.mass, self.closes)
        parent, logprob, mass, closes = (part.gather(1, order) for part in kept)
        gave_up = None if self.gave_up is None else self.gave_up.gather(1, order)
        return _Candidates(score, parent, symbol, logprob, mass, gave_up, closes)

    def end(self, done: Tensor) -> None:
        """Kill all beams of the sentences ``done``, (G,) bool."""
        self.score = self.score.masked_fill(done.unsqueeze(1), -torch.inf)
        self.symbol = self.symbol.masked_fill(done.unsqueeze(1), EOS)


class _Pool:
    """The N best complete hypotheses per slot: sequences and (G, N) scores, the best first, -inf: no hypothesis."""

    def __init__(self, slots: Slots, n_best: int) -> None:
        self.kept = Sequences(slots, n_best)
        self.score = torch.full(self.kept.ids.shape[:2], -torch.inf, device=self.kept.ids.device)

    def reset(self, slots: Tensor, limits: Tensor) -> None:
        self.kept.reset(slots, limits)
        self.score[slots] = -torch.inf

    def select(self, slots: Tensor) -> None:
        self.kept.select(slots)
        self.score = self.score[slots]

    def add(self, longer: Sequences, score: Tensor) -> None:
        """Keep the best of the present hypotheses and of new ones with (G, C) scores."""
        n_best = self.score.shape[1]
        # Present ones come first: among equal scores the earlier, shorter hypothesis is kept.
        best, columns = torch.cat((self.score, score), 1).sort(dim=1, descending=True, stable=True)
        self.score = best[:, :n_best]
        self.kept.best(longer, columns[:, :n_best])


def beam_search(
    model: ModelLike, queue: SentenceQueue, config: GenerationConfig
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """Beam search with K beams; see :func:`genner.model.generation.search.search_all`.

    A step considers the best 2K continuations of a sentence: EOS completes a hypothesis, the best K others become the
    new beams. Ties go to the lower beam, then to the lower symbol. A sentence ends as soon as no beam can beat its
    hypotheses. In compat mode EOS completes a hypothesis only among the best K, and an EOS forced by the limit costs
    nothing.
    """
    slots = Slots.open(queue, config.num_beams)
    if slots is None:
        return
    beams, pool = _Beams(slots, config.num_beams), _Pool(slots, config.n_best)
    shortest = 3 if config.compat else 2
    while slots.numbers:
        logits = model.step(beams.symbols.flatten(), slots.state)
        candidates = _candidates(logits, beams, slots, config)
        if reading_waits(candidates.closes) or bool(candidates.closes.any()):
            # The length of the empty hypothesis includes EOS, that of the others does not.
            length = _power(slots.steps.clamp(min=2), config.length_penalty).unsqueeze(1)
            score = (candidates.score / length).masked_fill(~candidates.closes, -torch.inf)
            pool.add(beams.extend(candidates, slots.steps), score)
        going = candidates.continuing(config.num_beams)
        done = _is_done(going.score[:, 0], pool.score[:, -1], slots, config)
        going.end(done)
        beams.written = beams.extend(going, slots.steps)
        beams.score, beams.symbols = going.score, going.symbol
        slots.state, slots.constraint = slots.state.reorder(going.parent), slots.constraint.reorder(going.parent)
        gave_up = None if going.gave_up is None else going.gave_up.flatten()
        slots.constraint = slots.constraint.advance(beams.symbols.flatten(), gave_up)
        slots.steps = slots.steps + ~done
        found = slots.take_ended(done, *pool.kept.parts, pool.score)
        if found is not None:
            ended, results = found
            yield from slots.numbered(ended, as_hypotheses(*results, shortest=shortest))
            slots.refill(ended, beams, pool)


def _candidates(logits: Tensor, beams: _Beams, slots: Slots, config: GenerationConfig) -> _Candidates:
    """The best 2K continuations of every sentence.

    Args:
        logits: (G * K, V).
        beams: K per sentence.
        slots: the G sentences.
        config: beams and penalties.
    """
    n_top, n_symbols = 2 * config.num_beams, logits.shape[1]
    choice = Choice.of(slots.constraint, logits, config)
    own, allowed = choice.logprobs, choice.allowed
    ranked = log_probabilities(choice.logits) if config.eos_penalty else own
    if config.repetition_penalty != 1.0:
        written = beams.written.so_far(slots.steps).flatten(0, 1)
        ranked = log_probabilities(penalise_repetition(choice.logits, written, config.repetition_penalty))
    # Clamped so that sums over a whole sequence stay finite: -inf means illegal and nothing else.
    ranked = ranked.float().clamp(min=torch.finfo(torch.float32).min / beams.written.ids.shape[2])
    if config.compat:
        # In the reference an EOS forced by the limit costs nothing.
        ranked = ranked.masked_fill((allowed.sum(1) == 1).unsqueeze(1), 0.0)
    score = beams.score.flatten().unsqueeze(1) + ranked
    score = score.masked_fill(~allowed, -torch.inf).view(len(beams.score), -1)
    score = pad(score, (0, max(n_top - score.shape[1], 0)), value=-torch.inf)
    best, columns = _top(score, n_top)
    columns = columns.clamp(max=config.num_beams * n_symbols - 1)
    logprob = own.float().view(len(best), -1).gather(1, columns)
    parent, symbol = columns // n_symbols, columns % n_symbols
    mass = choice.masses.view(len(best), -1).gather(1, parent)
    gave_up = None if choice.legal is None else ~choice.legal.view(len(best), -1).gather(1, columns)
    closes = (symbol == EOS) & (best > -torch.inf)
    if config.compat:
        closes[:, config.num_beams :] = False
    return _Candidates(best, parent, symbol, logprob, mass, gave_up, closes)


def _top(score: Tensor, n_top: int) -> tuple[Tensor, Tensor]:
    """The ``n_top`` highest of (G, N) scores and their columns; ties go to the lower column."""
    best, columns = score.topk(n_top, dim=1)
    # topk breaks ties arbitrarily; sorting all scores instead would take many times longer.
    columns, order = columns.sort(dim=1)
    best, order = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    return best, columns.gather(1, order)


def _is_done(best: Tensor, worst: Tensor, slots: Slots, config: GenerationConfig) -> Tensor:
    """(G,) bool: sentences whose hypotheses no beam can improve any more.

    Log-probabilities only fall, so a beam can at best end with its present score divided by the largest length it can
    reach (by the smallest, if the penalty is negative).

    Args:
        best: (G,) score of the best beam after this step.
        worst: (G,) score of the worst hypothesis kept, -inf while there are fewer than ``n_best``.
        slots: limits and, before this step, symbols written.
        config: penalties.
    """
    length = slots.on_device(slots.limits) - 1 if config.length_penalty >= 0 else slots.steps + 1
    bound = best / _power(length, config.length_penalty)
    # Scores are at most 0; the margin keeps rounding from ending a search that could still find an equal or better one.
    return (best == -torch.inf) | (bound * (1 - 1e-5) <= worst)


def _power(length: Tensor, penalty: float) -> Tensor:
    """Lengths to the power of the penalty, rounded once."""
    return (length.double() ** penalty).float()
