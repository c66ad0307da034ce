"""Temperature scaling finds what made the scores; the errors are those of bins drawn by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from genner.evaluation import calibration
from genner.evaluation.calibration import Calibration, brier_score, calibration_error, fit, reliability_bins


def judged(n: int, temperature: float, shift: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and judgements whose true probability the given calibration makes of them."""
    rng = np.random.default_rng(seed)
    scores = expit(rng.normal(2.0, 2.5, n))
    return scores, rng.random(n) < Calibration(temperature, shift).apply(scores)


@pytest.mark.parametrize(("temperature", "shift"), [(1.0, 0.0), (3.0, 0.0), (0.5, 0.3), (2.0, -0.7), (1.3, 1.5)])
def test_the_calibration_that_made_the_judgements_is_found(temperature: float, shift: float) -> None:
    scores, is_right = judged(40_000, temperature, shift)
    found = fit(scores, is_right)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.shift == pytest.approx(shift, abs=0.06)
    assert found.n == 40_000
    fresh, truth = judged(40_000, temperature, shift, seed=2)
    assert calibration_error(found.apply(fresh), truth) < 0.012
    if (temperature, shift) != (1.0, 0.0):
        assert calibration_error(fresh, truth) > 0.02
        assert brier_score(found.apply(fresh), truth) < brier_score(fresh, truth)


def test_a_temperature_alone_would_not_do_for_scores_that_are_products() -> None:
    """Three symbols are right together, so their product is far below the share of right entities."""
    rng = np.random.default_rng(5)
    of_one = rng.uniform(0.5, 0.999, 20_000)
    is_right = rng.random(20_000) < of_one
    scores = of_one**3
    alone = min(
        calibration_error(Calibration(temperature).apply(scores), is_right) for temperature in np.linspace(0.3, 5, 40)
    )
    assert calibration_error(fit(scores, is_right).apply(scores), is_right) < 0.6 * alone


def test_the_minimum_is_that_of_a_plain_search() -> None:
    scores, is_right = judged(60, 2.0, -0.5)

    def loss(slope: float, shift: float, doubt: float) -> float:
        right = expit(slope * logit(doubt / 2 + (1 - doubt) * scores) + shift)
        own = -np.where(is_right, np.log(right), np.log1p(-right)).sum()
        return own + slope - 1 - math.log(slope) + shift**2 / 2

    found = fit(scores, is_right)
    best = loss(1 / found.temperature, found.shift, found.doubt)
    slopes, shifts, doubts = (
        np.linspace(0.2, 1.2, 50),
        np.linspace(-1.5, 1.5, 50),
        [10.0**-power for power in range(1, 7)],
    )
    grid = [loss(slope, shift, doubt) for slope in slopes for shift in shifts for doubt in doubts]
    assert best <= min(grid) + 1e-6
    assert best == pytest.approx(min(grid), abs=5e-3)


def test_certain_scores_that_are_often_wrong_do_not_spoil_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the mass of a few hypotheses: one in six is exactly 1, and then right no more often than at 0.85."""
    rng = np.random.default_rng(8)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.uniform(0.2, 0.98, n)
        is_certain = rng.random(n) < 1 / 6
        truth[is_certain] = 0.85
        return np.where(is_certain, 1.0, truth), rng.random(n) < truth

    found = fit(*draw(2000))
    scores, is_right = draw(20_000)
    assert found.doubt > 0.05
    others = scores < 1
    assert calibration_error(found.apply(scores)[others], is_right[others]) < 0.05
    with monkeypatch.context() as patch:
        patch.setattr(calibration, "_DOUBTS", (1e-6,))
        certain = fit(*draw(2000))
    assert calibration_error(certain.apply(scores)[others], is_right[others]) > 0.1
    assert fit(*judged(20_000, 1.0, 0.0)).doubt < 0.005, "scores that mean what they say are not doubted"


@pytest.mark.parametrize("score", [0.01, 0.4, 0.9, 0.999999, 1.0])
def test_few_predictions_all_right_or_all_wrong_give_a_sane_answer(score: float) -> None:
    scores = np.full(20, score)
    right, wrong = fit(scores, np.ones(20, bool)), fit(scores, np.zeros(20, bool))
    for found in (right, wrong):
        assert 1 / 50 < found.temperature < 50 and abs(found.shift) < 5
    assert right.apply(scores)[0] >= min(score, 0.999999) - 1e-6
    assert right.apply([score])[0] > 0.8
    assert 0.01 < wrong.apply([score])[0] < 0.25 or score == 0.01
    assert wrong.apply([score])[0] <= score


def test_without_predictions_it_is_the_identity() -> None:
    assert fit([], []) == Calibration(1.0, 0.0, 1e-6, 0)
    assert Calibration().apply([0.2, 0.7, 1.0]) == pytest.approx([0.2, 0.7, 1.0], abs=1e-6)
    assert Calibration().apply([]).shape == (0,)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40), st.lists(st.floats(0, 1), min_size=2))
def test_the_order_of_scores_is_kept(pairs: list[tuple[float, bool]], scores: list[float]) -> None:
    found = fit([score for score, _ in pairs], [is_right for _, is_right in pairs])
    assert found.temperature > 0 and math.isfinite(found.temperature) and math.isfinite(found.shift)
    mapped = found.apply(sorted(scores))
    assert (np.diff(mapped) >= 0).all() and (mapped >= 0).all() and (mapped <= 1).all()


@pytest.mark.parametrize(
    "numbers", [(0.0,), (-1.0,), (math.inf,), (math.nan,), (1.0, math.nan), (1.0, 0.0, 0.0), (1.0, 0.0, 1.0)]
)
def test_numbers_that_are_no_calibration_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="Expected a temperature above 0, a finite shift and a doubt between 0 and 1"):
        Calibration(*numbers)


def test_bins_have_equal_mass_and_their_error_is_the_one_by_hand() -> None:
    scores = [0.1, 0.2, 0.6, 0.7, 0.9, 0.9, 0.9, 1.0]
    is_right = [False, False, True, False, True, True, False, True]
    scores, is_right = scores * 5, is_right * 5  # enough for two bins
    bins = reliability_bins(scores, is_right)
    assert [(one.low, one.high, one.n) for one in bins] == [(0.1, 0.7, 20), (0.9, 1.0, 20)]
    assert [one.mean_score for one in bins] == pytest.approx([0.4, 0.925])
    assert [one.share_right for one in bins] == [0.25, 0.75]
    assert calibration_error(scores, is_right) == pytest.approx((0.15 + 0.175) / 2)
    squares = [0.01, 0.04, 0.16, 0.49, 0.01, 0.01, 0.81, 0.0]
    assert brier_score(scores, is_right) == pytest.approx(sum(squares) / 8)


def test_equal_scores_share_a_bin_so_the_order_of_the_input_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    scores = rng.choice([0.3, 0.97, 0.98, 1.0], 400, p=[0.1, 0.2, 0.1, 0.6])
    is_right = rng.random(400) < scores
    bins = reliability_bins(scores, is_right)
    assert sum(one.n for one in bins) == 400
    assert all(left.high < right.low for left, right in pairwise(bins))
    order = rng.permutation(400)
    assert reliability_bins(scores[order], is_right[order]) == bins


@pytest.mark.parametrize(("n", "n_bins"), [(0, 0), (1, 1), (39, 1), (40, 2), (300, 15), (5000, 15)])
def test_small_sets_get_fewer_bins(n: int, n_bins: int) -> None:
    scores, is_right = judged(n, 1.0, 0.0)
    assert len(reliability_bins(scores, is_right)) == n_bins
    assert calibration_error([], []) == brier_score([], []) == 0.0
