"""Beam search: K beams per sentence, all sentences at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from model.generation.config import GenerationConfig
from model.generation.constraints import BOS, EOS
from model.generation.scores import log_probabilities, penalise_repetition
from model.generation.state import ConstraintLike, Hypotheses, ModelLike, StateLike

__all__ = ["beam_search"]


@dataclass
class _Beams:
    """G live sentences with K beams each (one at the first step).

    Attributes:
        sentence: (G,) which sentences.
        score: (G, K) sum of log-probabilities, penalties included; -inf: no such beam.
        ids: (G, K, T) symbols, padded with EOS.
        logprobs: (G, K, T) log-probability of each symbol.
    """

    sentence: Tensor
    score: Tensor
    ids: Tensor
    logprobs: Tensor

    @classmethod
    def start(cls, n_sentences: int, width: int, device: torch.device) -> _Beams:
        ids = torch.full((n_sentences, 1, width), EOS, device=device)
        ids[:, :, 0] = BOS
        sentence = torch.arange(n_sentences, device=device)
        return cls(sentence, torch.zeros(n_sentences, 1, device=device), ids, torch.zeros(ids.shape, device=device))

    @property
    def n_beams(self) -> int:
        """Beams per sentence now."""
        return self.score.shape[1]

    def extend(self, parent: Tensor, symbol: Tensor, logprob: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Symbols and log-probabilities (G, C, T) of the beams ``parent`` (G, C), one symbol longer."""
        places = parent.unsqueeze(2).expand(-1, -1, self.ids.shape[2])
        ids, logprobs = self.ids.gather(1, places), self.logprobs.gather(1, places)
        ids[:, :, step], logprobs[:, :, step] = symbol, logprob
        return ids, logprobs


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


@dataclass
class _Pool:
    """The best complete hypotheses: (B, N) scores, the best first, -inf: none; (B, N, T) ids and log-probabilities."""

    score: Tensor
    ids: Tensor
    logprobs: Tensor

    @classmethod
    def start(cls, n_best: int, beams: _Beams) -> _Pool:
        ids = beams.ids.repeat(1, n_best, 1)
        return cls(beams.score.new_full(ids.shape[:2], -torch.inf), ids, beams.logprobs.repeat(1, n_best, 1))

    def add(self, beams: _Beams, candidates: _Candidates, score: Tensor, step: int) -> None:
        """Keep the best of what is here and of the candidates with their (G, C) hypothesis scores."""
        n_best = self.score.shape[1]
        rows = beams.sentence
        # What was here comes first: of equals the earlier, shorter one stays.
        scores = torch.cat((self.score[rows], score), 1)
        best, places = scores.sort(dim=1, descending=True, stable=True)
        self.score[rows], places = best[:, :n_best], places[:, :n_best]
        ids, logprobs = beams.extend(candidates.parent, candidates.symbol, candidates.logprob, step)
        places = places.unsqueeze(2).expand(-1, -1, ids.shape[2])
        self.ids[rows] = torch.cat((self.ids[rows], ids), 1).gather(1, places)
        self.logprobs[rows] = torch.cat((self.logprobs[rows], logprobs), 1).gather(1, places)


def beam_search(
    model: ModelLike, state: StateLike, constraint: ConstraintLike, config: GenerationConfig, limits: Tensor
) -> Hypotheses:
    """The best of K beams; see :func:`model.generation.search.search`.

    A step looks at the best 2K continuations of a sentence: EOS closes a hypothesis, the best K others go on. Of equal
    scores the lower beam and the lower symbol come first. A sentence ends as soon as no beam can beat what it has.
    In compat mode an EOS closes a hypothesis only among the best K, and one that the limit forces is free of charge.
    """
    width = max(int(limits.max()), 3) if limits.numel() else 1
    beams = _Beams.start(limits.numel(), width, limits.device)
    pool = _Pool.start(config.n_best, beams)
    symbols = beams.ids[:, 0, 0]
    for step in range(1, width):
        candidates = _candidates(model.step(symbols, state), constraint.allowed(), beams, step, config)
        if bool(candidates.closes.any()):
            # The empty hypothesis counts EOS, the others do not.
            score = candidates.score / max(step, 2) ** config.length_penalty
            pool.add(beams, candidates, score.masked_fill(~candidates.closes, -torch.inf), step)
        going = candidates.continuing(config.num_beams)
        keep = ~_is_done(going.score, pool.score[beams.sentence, -1], limits[beams.sentence], step, config)
        kept = keep.nonzero().squeeze(1)
        if not kept.numel():
            break
        n_before = beams.n_beams
        rows = (torch.arange(keep.numel(), device=keep.device).unsqueeze(1) * n_before + going.parent)[kept]
        ids, logprobs = beams.extend(going.parent, going.symbol, going.logprob, step)
        beams = _Beams(beams.sentence[kept], going.score[kept], ids[kept], logprobs[kept])
        symbols = going.symbol[kept].flatten()
        state, constraint = _reorder(state, constraint, rows.flatten(), keep.numel() * n_before)
        constraint = constraint.advance(symbols)
    return Hypotheses.collect(pool.ids, pool.logprobs, pool.score, shortest=3 if config.compat else 2)


def _candidates(logits: Tensor, allowed: Tensor, beams: _Beams, step: int, config: GenerationConfig) -> _Candidates:
    """The best 2K continuations of every sentence.

    Args:
        logits: (G*K, V).
        allowed: (G*K, V) bool.
        beams: the G sentences.
        step: symbols written, BOS included.
        config: beams and penalties.
    """
    n_top, n_symbols = 2 * config.num_beams, logits.shape[1]
    own = log_probabilities(logits)
    written = beams.ids[:, :, :step].flatten(0, 1)
    ranked = own
    if config.repetition_penalty != 1.0:
        ranked = log_probabilities(penalise_repetition(logits, written, config.repetition_penalty))
    # The sum of as many of these as a sequence is long stays finite: -inf means illegal and nothing else.
    ranked = ranked.float().clamp(min=torch.finfo(torch.float32).min / beams.ids.shape[2])
    if config.compat:
        # The reference charges nothing for an end that the limit forces.
        ranked = ranked.masked_fill((allowed.sum(1) == 1).unsqueeze(1), 0.0)
    score = beams.score.flatten().unsqueeze(1) + ranked
    score = score.masked_fill(~allowed, -torch.inf).view(beams.sentence.numel(), -1)
    score = pad(score, (0, max(n_top - score.shape[1], 0)), value=-torch.inf)
    best, places = _top(score, n_top)
    places = places.clamp(max=beams.n_beams * n_symbols - 1)
    logprob = own.float().view(best.shape[0], -1).gather(1, places)
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


def _is_done(score: Tensor, worst: Tensor, limits: Tensor, step: int, config: GenerationConfig) -> Tensor:
    """(G,) bool: sentences that no beam can change any more.

    Log-probabilities only fall, so a beam's best end has its present score, divided by the largest length it can reach
    (by the smallest, if the penalty is negative).

    Args:
        score: (G, K) of the beams after this step.
        worst: (G,) score of the last hypothesis that is kept, -inf while there are fewer.
        limits: (G,) longest sequences.
        step: symbols written before this step.
        config: penalties.
    """
    length = limits - 1 if config.length_penalty >= 0 else torch.full_like(limits, step + 1)
    bound = score[:, 0] / length.to(score.dtype) ** config.length_penalty
    # Scores are not above 0; the margin keeps rounding from stopping a search that would have come out equal or better.
    return (score[:, 0] == -torch.inf) | (bound * (1 - 1e-5) <= worst)


def _reorder(
    state: StateLike, constraint: ConstraintLike, rows: Tensor, n_before: int
) -> tuple[StateLike, ConstraintLike]:
    """Bring the ``n_before`` rows into their new order, if it is a new one: the model's caches are large."""
    if rows.numel() == n_before and torch.equal(rows, torch.arange(n_before, device=rows.device)):
        return state, constraint
    return state.select(rows), constraint.select(rows)
