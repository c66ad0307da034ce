"""How sure the model is of an entity: by the symbols that write it, or by all hypotheses that hold it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from genner.data.schema import Entity
from genner.errors import ConfigError
from genner.model.generation import GenerationConfig, Hypothesis

__all__ = ["SCORES", "check_scores", "mass_of_entities", "symbol_scores"]

#: ``symbols``: the probability of an entity's symbols, given all that was written before it. ``nbest``: the share of
#: the n-best hypotheses' probability that falls on those that hold the entity, wherever they write it.
SCORES = ("symbols", "nbest")


def check_scores(scores: str, candidates: bool, generation: GenerationConfig) -> None:
    """Raises :class:`ConfigError` where a search cannot give the scores that are asked for."""
    if scores not in SCORES:
        raise ConfigError(f"scores: unknown kind {scores!r}. Expected one of {', '.join(SCORES)}. Choose one.")
    if scores == "nbest" and generation.num_beams < 2:
        raise ConfigError(
            f"scores: nbest with num_beams {generation.num_beams}. Expected several hypotheses to compare. "
            "Set num_beams to 2 or more, such as 8."
        )
    if candidates and scores != "nbest":
        raise ConfigError(f"candidates: asked for with scores {scores!r}. Expected nbest. Set scores to nbest.")


def symbol_scores(found: Hypothesis, symbol_spans: Sequence[tuple[int, int]]) -> list[float]:
    """The probability of every entity's symbols, label included, at half-open ranges of the hypothesis."""
    logprobs = list(accumulate(found.symbol_logprobs))
    return [math.exp(logprobs[end - 1] - logprobs[start - 1]) for start, end in symbol_spans]


def mass_of_entities(logprobs: Sequence[float], entities: Sequence[Sequence[Entity]]) -> dict[Entity, float]:
    """The share of the hypotheses' probability that falls on those that hold an entity.

    Args:
        logprobs: of every hypothesis, the best first.
        entities: of every hypothesis; one that it repeats counts once.

    Returns:
        every entity of any hypothesis: those of the best one as it writes them, then the others, the surest first.

    >>> hip, knee = Entity.from_flat("BODY", [1, 2]), Entity.from_flat("BODY", [3, 4])
    >>> mass = mass_of_entities([math.log(0.3), math.log(0.2), math.log(0.1)], [[knee], [knee, hip], []])
    >>> [(entity.flat, round(share, 3)) for entity, share in mass.items()]
    [([3, 4], 0.833), ([1, 2], 0.333)]
    """
    highest = max(logprobs)
    weights = [math.exp(logprob - highest) for logprob in logprobs]
    total = sum(weights)
    mass: dict[Entity, float] = {}
    for weight, found in zip(weights, entities, strict=True):
        for entity in dict.fromkeys(found):
            mass[entity] = mass.get(entity, 0.0) + weight / total
    best = {entity: min(mass.pop(entity), 1.0) for entity in dict.fromkeys(entities[0])}
    return best | dict(sorted(mass.items(), key=lambda pair: -pair[1]))
