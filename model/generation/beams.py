"""Beam search: K beams per sentence, all sentences at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.model.generation.config import GenerationConfig
from genner.model.generation.constraints import EOS
from genner.model.generation.lanes import Lanes, Sequences, Waiting
from genner.model.generation.scores import log_probabilities, penalise_repetition
from genner.model.generation.state import Hypothesis, ModelLike, as_hypotheses

__all__ = ["beam_search"]


class _Beams:
    """What beam search keeps per place.

    Attributes:
        score: (G, K) sum of log-probabilities, penalties included; -inf: no such beam.
        symbols: (G, K) written last.
        written: K sequences per place.
    """

    def __init__(self, lanes: Lanes, n_beams: int) -> None:
        self.written = Sequences(lanes.limits, n_beams)
        self.symbols = self.written.ids[:, :, 0].clone()
        self.score = torch.full(self.symbols.shape, -torch.inf, device=lanes.limits.device)
        self.score[:, 0] = 0.0

    def clear(self, places: Tensor, limits: Tensor) -> None:
        self.written.clear(places, limits)
        self.symbols[places] = self.written.ids[places, :, 0]
        self.score[places] = -torch.inf
        self.score[places, 0] = 0.0

    def keep(self, places: Tensor) -> None:
        self.written.keep(places)
        self.score, self.symbols = self.score[places], self.symbols[places]

    def extend(self, candidates: _Candidates, steps: Tensor) -> Sequences:
        """C sequences per place, each that of a candidate's parent and one symbol more."""
        longer = self.written.gather(candidates.parent)
        longer.write(steps, candidates.symbol, candidates.logprob)
        return longer


@dataclass
class _Candidates:
    """The best continuations of G sentences, the best first: (G, C) each.

    Attributes:
        score: as of beams; -inf: none.
        parent: beam that is continued.
        symbol: what it is continued with.
        logprob: log-probability of the symbol.
        closes: bool, a complete hypothesis.
    """

    score: Tensor
    parent: Tensor
    symbol: Tensor
    logprob: Tensor
    closes: Tensor

    def continuing(self, n_beams: int) -> _Candidates:
        """The best ``n_beams`` that do not close; where there are fewer, dead ones that write EOS."""
        is_end = self.symbol == EOS
        order = is_end.long().argsort(dim=1, stable=True)[:, :n_beams]
        score = self.score.masked_fill(is_end, -torch.inf).gather(1, order)
        symbol = self.symbol.gather(1, order).masked_fill(score == -torch.inf, EOS)
        parent, logprob, closes = (part.gather(1, order) for part in (self.parent, self.logprob, self.closes))
        return _Candidates(score, parent, symbol, logprob, closes)

    def end(self, done: Tensor) -> None:
        """Let the beams of the sentences ``done``, (G,) bool, die."""
        self.score = self.score.masked_fill(done.unsqueeze(1), -torch.inf)
        self.symbol = self.symbol.masked_fill(done.unsqueeze(1), EOS)


class _Pool:
    """The best complete hypotheses per place: (G, N) scores, the best first, -inf: none; and their sequences."""

    def __init__(self, lanes: Lanes, n_best: int) -> None:
        self.kept = Sequences(lanes.limits, n_best)
        self.score = torch.full((lanes.limits.numel(), n_best), -torch.inf, device=lanes.limits.device)

    def clear(self, places: Tensor, limits: Tensor) -> None:
        self.kept.clear(places, limits)
        self.score[places] = -torch.inf

    def keep(self, places: Tensor) -> None:
        self.kept.keep(places)
        self.score = self.score[places]

    def add(self, longer: Sequences, score: Tensor) -> None:
        """Keep the best of what is here and of the candidates with their (G, C) hypothesis scores."""
        n_best = self.score.shape[1]
        # What was here comes first: of equals the earlier, shorter one stays.
        best, places = torch.cat((self.score, score), 1).sort(dim=1, descending=True, stable=True)
        self.score, places = best[:, :n_best], places[:, :n_best].unsqueeze(2).expand(-1, -1, longer.ids.shape[2])
        self.kept.ids = torch.cat((self.kept.ids, longer.ids), 1).gather(1, places)
        self.kept.logprobs = torch.cat((self.kept.logprobs, longer.logprobs), 1).gather(1, places)

    def answers(self, lanes: Lanes, places: Tensor, shortest: int) -> Iterator[tuple[int, list[Hypothesis]]]:
        """The hypotheses at the ``places``."""
        found = as_hypotheses(self.kept.ids[places], self.kept.logprobs[places], self.score[places], shortest=shortest)
        yield from zip((lanes.numbers[place] for place in places.tolist()), found, strict=True)


def beam_search(model: ModelLike, waiting: Waiting, config: GenerationConfig) -> Iterator[tuple[int, list[Hypothesis]]]:
    """The best of K beams; see :func:`genner.model.generation.search.search_all`.

    A step looks at the best 2K continuations of a sentence: EOS closes a hypothesis, the best K others go on. Of equal
    scores the lower beam and the lower symbol come first. A sentence ends as soon as no beam can beat what it has.
    In compat mode an EOS closes a hypothesis only among the best K, and one that the limit forces is free of charge.
    """
    lanes = Lanes.open(waiting, config.num_beams)
    if lanes is None:
        return
    beams, pool = _Beams(lanes, config.num_beams), _Pool(lanes, config.n_best)
    shortest = 3 if config.compat else 2
    while lanes.numbers:
        logits = model.step(beams.symbols.flatten(), lanes.state)
        candidates = _candidates(logits, lanes.constraint.allowed(), beams, lanes, config)
        if bool(candidates.closes.any()):
            # The empty hypothesis counts EOS, the others do not.
            length = _power(lanes.steps.clamp(min=2), config.length_penalty).unsqueeze(1)
            score = (candidates.score / length).masked_fill(~candidates.closes, -torch.inf)
            pool.add(beams.extend(candidates, lanes.steps), score)
        going = candidates.continuing(config.num_beams)
        done = _is_done(going.score[:, 0], pool.score[:, -1], lanes, config)
        going.end(done)
        beams.written = beams.extend(going, lanes.steps)
        beams.score, beams.symbols = going.score, going.symbol
        lanes.state, lanes.constraint = lanes.state.follow(going.parent), lanes.constraint.follow(going.parent)
        lanes.constraint = lanes.constraint.advance(beams.symbols.flatten())
        lanes.steps = lanes.steps + ~done
        places = done.nonzero().squeeze(1)
        if lanes.is_turn(len(places)):
            yield from pool.answers(lanes, places, shortest)
            lanes.turn(places, beams, pool)


def _candidates(logits: Tensor, allowed: Tensor, beams: _Beams, lanes: Lanes, config: GenerationConfig) -> _Candidates:
    """The best 2K continuations of every sentence.

    Args:
        logits: (G * K, V).
        allowed: (G * K, V) bool.
        beams: K of each sentence.
        lanes: the G sentences.
        config: beams and penalties.
    """
    n_top, n_symbols = 2 * config.num_beams, logits.shape[1]
    own = log_probabilities(logits)
    ranked = own
    if config.repetition_penalty != 1.0:
        written = beams.written.so_far(lanes.steps).flatten(0, 1)
        ranked = log_probabilities(penalise_repetition(logits, written, config.repetition_penalty))
    # The sum of as many of these as a sequence is long stays finite: -inf means illegal and nothing else.
    ranked = ranked.float().clamp(min=torch.finfo(torch.float32).min / beams.written.ids.shape[2])
    if config.compat:
        # The reference charges nothing for an end that the limit forces.
        ranked = ranked.masked_fill((allowed.sum(1) == 1).unsqueeze(1), 0.0)
    score = beams.score.flatten().unsqueeze(1) + ranked
    score = score.masked_fill(~allowed, -torch.inf).view(len(beams.score), -1)
    score = pad(score, (0, max(n_top - score.shape[1], 0)), value=-torch.inf)
    best, places = _top(score, n_top)
    places = places.clamp(max=config.num_beams * n_symbols - 1)
    logprob = own.float().view(len(best), -1).gather(1, places)
    parent, symbol = places // n_symbols, places % n_symbols
    closes = (symbol == EOS) & (best > -torch.inf)
    if config.compat:
        closes[:, config.num_beams :] = False
    return _Candidates(best, parent, symbol, logprob, closes)


def _top(score: Tensor, n_top: int) -> tuple[Tensor, Tensor]:
    """The ``n_top`` highest of (G, N) scores and their columns, of equal ones the lower column first."""
    best, places = score.topk(n_top, dim=1)
    # topk orders equal scores by chance; sorting everything instead would take many times longer.
    places, order = places.sort(dim=1)
    best, order = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    return best, places.gather(1, order)


def _is_done(best: Tensor, worst: Tensor, lanes: Lanes, config: GenerationConfig) -> Tensor:
    """(G,) bool: sentences that no beam can change any more.

    Log-probabilities only fall, so a beam's best end has its present score, divided by the largest length it can reach
    (by the smallest, if the penalty is negative).

    Args:
        best: (G,) score of the best beam after this step.
        worst: (G,) score of the last hypothesis that is kept, -inf while there are fewer.
        lanes: limits and, before this step, symbols written.
        config: penalties.
    """
    length = lanes.limits - 1 if config.length_penalty >= 0 else lanes.steps + 1
    bound = best / _power(length, config.length_penalty)
    # Scores are not above 0; the margin keeps rounding from stopping a search that would have come out equal or better.
    return (best == -torch.inf) | (bound * (1 - 1e-5) <= worst)


def _power(length: Tensor, penalty: float) -> Tensor:
    """Lengths to the power of the penalty, rounded once."""
    return (length.double() ** penalty).float()
