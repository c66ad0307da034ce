"""The tests agree with scipy's and with all exchanges counted out; the t interval with the table."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from genner.data.schema import Entity
from genner.evaluation.significance import compare_counts, sentence_counts


def random_counts(rng: np.random.Generator, n_sentences: int, quality: float, gold: np.ndarray) -> np.ndarray:
    tp = rng.binomial(gold, quality)
    return np.stack([tp, rng.poisson(0.4, n_sentences), gold - tp], axis=1)


@pytest.fixture
def systems() -> tuple[np.ndarray, np.ndarray]:
    """Two seeds of two systems on 300 sentences."""
    rng = np.random.default_rng(1)
    gold = rng.poisson(2.0, 300)
    first, second = ([random_counts(rng, 300, quality, gold) for _ in range(2)] for quality in (0.70, 0.76))
    return np.array(first), np.array(second)


def f_percent(counts: np.ndarray) -> np.ndarray:
    tp, fp, fn = counts.sum(axis=-2).T
    return 200 * tp / (2 * tp + fp + fn)


def test_delta_is_the_mean_over_the_seed_pairs(systems: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = systems
    found = compare_counts(first, second, n_resamples=200)
    assert found.pair_deltas == pytest.approx(f_percent(second) - f_percent(first))
    assert found.delta == pytest.approx(np.mean(found.pair_deltas))
    assert found.second_f - found.first_f == pytest.approx(found.delta)
    assert found.low < found.delta < found.high
    assert compare_counts(first, second, n_resamples=200) == found


def test_the_interval_is_that_of_scipy(systems: tuple[np.ndarray, np.ndarray]) -> None:
    from scipy.stats import bootstrap

    first, second = systems

    def delta(drawn: np.ndarray, axis: int) -> np.ndarray:
        chosen = [[f_percent(seed[drawn.astype(int)]) for seed in system] for system in (first, second)]
        return np.mean(chosen[1], axis=0) - np.mean(chosen[0], axis=0)

    expected = bootstrap((np.arange(300),), delta, n_resamples=5000, method="percentile", vectorized=True, batch=100,
                         rng=np.random.default_rng(5)).confidence_interval  # fmt: skip
    found = compare_counts(first, second)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.25)


def test_the_permutation_test_is_the_exact_one() -> None:
    first = np.array([[[2, 0, 0], [1, 1, 1], [0, 2, 2], [3, 0, 1], [1, 0, 2], [2, 1, 0], [1, 1, 0], [0, 0, 1]]])
    second = np.array([[[1, 0, 1], [1, 0, 1], [0, 1, 2], [1, 0, 3], [1, 1, 2], [1, 1, 1], [1, 0, 0], [0, 1, 1]]])
    observed = float((f_percent(second) - f_percent(first))[0])
    n_extreme = 0
    for swaps in product([False, True], repeat=8):
        mask = np.array(swaps)[None, :, None]
        delta = f_percent(np.where(mask, first, second)) - f_percent(np.where(mask, second, first))
        n_extreme += abs(float(delta[0])) >= abs(observed) - 1e-9
    assert compare_counts(first, second, n_resamples=20_000).p_permutation == pytest.approx(n_extreme / 256, abs=0.012)


def test_a_system_does_not_differ_from_itself(systems: tuple[np.ndarray, np.ndarray]) -> None:
    found = compare_counts(systems[0], systems[0], n_resamples=500)
    assert (found.delta, found.low, found.high, found.p_bootstrap, found.p_permutation) == (0, 0, 0, 1, 1)


def test_equal_systems_are_rarely_called_different() -> None:
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(200):
        gold = rng.poisson(2.0, 120)
        first, second = (random_counts(rng, 120, 0.7, gold)[None] for _ in range(2))
        found = compare_counts(first, second, n_resamples=300)
        p_values.append((found.p_bootstrap, found.p_permutation))
    for share in (np.array(p_values) < 0.05).mean(axis=0):
        assert 0.01 < share < 0.12


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="Expected twice"):
        compare_counts(np.zeros((1, 3, 3), int), np.zeros((1, 4, 3), int))


def test_sentence_counts() -> None:
    plum, fig, pie = (Entity.from_flat("FRUIT", [n, n + 1]) for n in range(3))
    assert sentence_counts([plum, fig, plum], [plum, pie, pie]) == (1, 1, 1)
