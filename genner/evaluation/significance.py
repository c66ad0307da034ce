"""Is the difference between two systems significant? Paired bootstrap and approximate randomisation on micro F1.

Both tests need only the true positives, false positives and false negatives of each sentence. A sample is a vector of
weights over the sentences (how often each was drawn; whether its two outputs are swapped), so many samples are one
matrix product.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from genner.data.schema import Entity

__all__ = ["Comparison", "compare_counts", "sentence_counts"]

_CELLS_AT_ONCE = 2_000_000  # samples x sentences in memory at a time: 16 MB


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same sentences; scores in percent, differences in percentage points, second minus first.

    Attributes:
        first_f: micro F1 of the first system, the mean over its seeds.
        second_f: that of the second.
        delta: the mean difference over the seed pairs.
        low: lower end of the 95 % percentile interval of ``delta`` over resampled sentences.
        high: its upper end.
        p_bootstrap: share of samples whose delta is at least as far from the observed one as that is from 0.
        p_permutation: share of random swaps of the two outputs that give a delta at least as far from 0.
        pair_deltas: the difference of every seed pair.
        n_sentences: number of sentences compared.
        n_resamples: number of samples of each test.
    """

    first_f: float
    second_f: float
    delta: float
    low: float
    high: float
    p_bootstrap: float
    p_permutation: float
    pair_deltas: tuple[float, ...]
    n_sentences: int
    n_resamples: int


def sentence_counts(gold: Collection[Entity], predicted: Collection[Entity]) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of a sentence; duplicates count once."""
    gold_set, predicted_set = set(gold), set(predicted)
    n_right = len(gold_set & predicted_set)
    return n_right, len(predicted_set) - n_right, len(gold_set) - n_right


def compare_counts(first: np.ndarray, second: np.ndarray, *, n_resamples: int = 10_000) -> Comparison:
    """Compare two systems by their counts per sentence.

    With several seeds, the models are compared in pairs on the same sample of sentences, and the differences in F1 are
    averaged. So the tests ask whether *these trained models* differ on other sentences of the same kind;
    ``pair_deltas``, not the interval, shows how much a new seed would change the score.

    Args:
        first: integers of shape (seed pairs, sentences, 3); the last axis is true positives, false positives, false
            negatives.
        second: the same for the other system.
        n_resamples: number of samples of each test.

    Raises:
        ValueError: the shapes differ or are empty.
    """
    if first.shape != second.shape or first.ndim != 3 or not first.size:
        raise ValueError(f"counts of shape {first.shape} and {second.shape}. Expected twice (pairs, sentences, 3).")
    n_pairs, n_sentences, _ = first.shape
    rows = np.concatenate([first, second]).transpose(1, 0, 2).reshape(n_sentences, -1)
    rows = rows.astype(np.float64)  # float products run on BLAS; the counts stay exact
    totals = rows.sum(axis=0)
    scores = _f_percent(totals[None], n_pairs)[0]
    delta = float((scores[1] - scores[0]).mean())
    exchange = np.roll(rows, rows.shape[1] // 2, axis=1) - rows  # what changes if the two outputs are swapped
    rng = np.random.default_rng(0)  # the same counts give the same answer
    portions = list(_portions(n_resamples, max(_CELLS_AT_ONCE // n_sentences, 1)))
    resampled = _deltas((_times_drawn(rng, n, n_sentences) @ rows for n in portions), n_pairs)
    exchanged = _deltas((totals + _coins(rng, n, n_sentences) @ exchange for n in portions), n_pairs)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Comparison(
        first_f=float(scores[0].mean()),
        second_f=float(scores[1].mean()),
        delta=delta,
        low=float(low),
        high=float(high),
        p_bootstrap=_p_value(resampled - delta, delta),
        p_permutation=_p_value(exchanged, delta),
        pair_deltas=tuple(float(value) for value in scores[1] - scores[0]),
        n_sentences=n_sentences,
        n_resamples=n_resamples,
    )


def _times_drawn(rng: np.random.Generator, n_draws: int, n_sentences: int) -> np.ndarray:
    """How often each sentence occurs in each bootstrap sample, drawn with replacement and of the size of the split."""
    drawn = rng.integers(0, n_sentences, (n_draws, n_sentences), dtype=np.int32)
    cells = (drawn + np.arange(n_draws)[:, None] * n_sentences).ravel()
    return np.bincount(cells, minlength=n_draws * n_sentences).reshape(n_draws, n_sentences)


def _coins(rng: np.random.Generator, n_draws: int, n_sentences: int) -> np.ndarray:
    """A fair coin, 0 or 1, for each sample and sentence."""
    coins = rng.integers(0, 256, (n_draws, -(-n_sentences // 8)), dtype=np.uint8)
    return np.unpackbits(coins, axis=1, count=n_sentences)


def _deltas(totals: Iterable[np.ndarray], n_pairs: int) -> np.ndarray:
    """The difference in F1 in every sample, averaged over the seed pairs."""
    scores = (_f_percent(portion, n_pairs) for portion in totals)
    return np.concatenate([(portion[:, 1] - portion[:, 0]).mean(axis=1) for portion in scores])


def _portions(n: int, size: int) -> Iterator[int]:
    for begun in range(0, n, size):
        yield min(size, n - begun)


def _f_percent(totals: np.ndarray, n_pairs: int) -> np.ndarray:
    """F1 of shape (samples, 2 systems, pairs) from summed counts (samples, 2 * pairs * 3)."""
    tp, fp, fn = np.moveaxis(totals.reshape(len(totals), 2, n_pairs, 3), -1, 0)
    return 200 * tp / np.maximum(2 * tp + fp + fn, 1)


def _p_value(differences: np.ndarray, delta: float) -> float:
    """Share of the differences that are at least as extreme; never 0, as the observed one counts as a sample."""
    n_extreme = int((np.abs(differences) >= abs(delta) - 1e-9).sum())
    return (n_extreme + 1) / (len(differences) + 1)
