"""Invented sentences for the benchmarks: words of Zipf-like frequency, entities of every structure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate

from genner.data.schema import Entity, Example, merge_segments

__all__ = ["LABELS", "draw_sentences"]

LABELS = ("person", "place", "group", "event", "sign")

_SYLLABLES = (
    "ba", "ko", "ri", "men", "tal", "su", "vor", "in", "da", "le", "mo", "gra", "pel", "on", "ith", "es", "qua", "ne",
)  # fmt: skip
_N_WORDS = 30_000
# Zipf's law with Mandelbrot's shift, without which the most frequent word would be a third of the text.
_SHIFT = 2.7
_MARKS = (",", ".", "(", ")", "-", "%")


def draw_sentences(n_sentences: int, lengths: Sequence[int] = (25,), *, seed: int = 11) -> list[Example]:
    """Random sentences; the same arguments give the same ones.

    About three in ten have no entity, the others one to four, mostly of one to three words, some nested in another
    one, some with a gap.

    Args:
        n_sentences: their number.
        lengths: numbers of words, used cyclically.
        seed: of the generator.
    """
    rng = random.Random(seed)
    words = _vocabulary(rng)
    weights = list(accumulate(1.0 / (rank + _SHIFT) for rank in range(len(words))))
    examples = []
    for number in range(n_sentences):
        length = lengths[number % len(lengths)]
        sentence = tuple(rng.choices(words, cum_weights=weights, k=length))
        n_entities = rng.choice((0, 0, 0, 1, 1, 1, 2, 2, 3, 4))
        entities = dict.fromkeys(_draw_entity(rng, length) for _ in range(n_entities))
        examples.append(Example(sentence, tuple(entities)))
    return examples


def _vocabulary(rng: random.Random) -> list[str]:
    """Distinct words, the frequent ones shorter; some capitals, numbers, marks and accents."""
    words = dict.fromkeys(_MARKS)
    while len(words) < _N_WORDS:
        n_syllables = rng.randint(1, 2 + (len(words) > 200) + (len(words) > 5000))
        word = "".join(rng.choices(_SYLLABLES, k=n_syllables))
        kind = rng.random()
        if kind < 0.15:
            word = word.capitalize()
        elif kind < 0.2:
            word = str(rng.randrange(3000))
        elif kind < 0.22:
            word += "é"
        words.setdefault(word)
    return list(words)


def _draw_entity(rng: random.Random, length: int) -> Entity:
    start = rng.randrange(length)
    end = min(start + rng.choice((1, 1, 2, 2, 3, 5)), length)
    segments = [(start, end)]
    if rng.random() < 0.15 and end + 1 < length:
        behind = rng.randrange(end + 1, length)
        segments.append((behind, min(behind + rng.randint(1, 2), length)))
    return Entity(rng.choice(LABELS), merge_segments(segments))
