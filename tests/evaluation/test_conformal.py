"""The promise on misses, on data whose truth is known: it is kept, and not by marking everything."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner.evaluation.calibration import MissRisk

Sentence = list[float | None]


def draw(n: int, rng: random.Random, absent: float = 0.02) -> list[Sentence]:
    """Scores of the gold entities of sentences: hard and easy sentences, whose entities are alike, and some without."""
    sentences = []
    for _ in range(n):
        skill = rng.choice([2.0, 6.0])
        scores = [None if rng.random() < absent else rng.betavariate(skill, 1.5) for _ in range(rng.randrange(6))]
        sentences.append(scores)
    return sentences


def miss_rate(sentences: Sequence[Sentence], threshold: float) -> float:
    """Mean share of missed gold entities of the sentences that have some: counted one by one."""
    losses = [
        sum(score is None or score < threshold for score in scores) / len(scores) for scores in sentences if scores
    ]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("n", [30, 100, 400])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_the_mean_miss_rate_is_at_most_alpha_and_close_to_it(n: int, alpha: float) -> None:
    rng = random.Random(n)
    rates, n_gold = [], []
    for _ in range(400):
        risk = MissRisk.measure(draw(n, rng))
        threshold = risk.threshold(alpha)
        if threshold is None:  # then the promise is not given
            assert risk.reachable > alpha
            threshold = 0.0
        n_gold.append(risk.n)
        rates.append(miss_rate(draw(300, rng), threshold))
    mean, error = np.mean(rates), np.std(rates) / len(rates) ** 0.5
    assert mean <= alpha + 3 * error, "the promise is broken"
    # Theorem 2 of the paper: at least alpha - 2 / (n + 1), here with the small room of thresholds below the scores.
    assert mean >= alpha - 2 / (np.mean(n_gold) + 1) - 3 * error - 1e-3, "far more is kept than has to be"
    assert mean > 0


def test_the_promise_needs_the_term_for_the_new_sentence() -> None:
    """With the empirical risk alone, few judged sentences would break it: this test can tell."""
    rng = random.Random(2)
    rates = []
    for _ in range(600):
        sentences = draw(15, rng, absent=0.0)
        scores = sorted({score for scores in sentences for score in scores})
        if not scores:
            continue
        naive = max(score for score in [0.0, *scores] if miss_rate(sentences, score) <= 0.1)
        rates.append(miss_rate(draw(300, rng, absent=0.0), naive))
    assert np.mean(rates) > 0.1 + 3 * np.std(rates) / len(rates) ** 0.5


scores_of_sentences = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 20).map(lambda part: part / 20)), max_size=4), max_size=12
).filter(any)


@given(scores_of_sentences, st.floats(0.01, 0.99))
def test_the_threshold_is_the_largest_that_the_rule_allows(sentences: list[Sentence], alpha: float) -> None:
    risk = MissRisk.measure(sentences)
    n = sum(bool(scores) for scores in sentences)
    assert risk.n == n

    def bound(threshold: float) -> float:
        return (n * miss_rate(sentences, threshold) + 1) / (n + 1)

    found = risk.threshold(alpha)
    possible = [threshold / 20 for threshold in range(21) if bound(threshold / 20) <= alpha + 1e-12]
    if found is None:
        assert not possible and risk.reachable == pytest.approx(bound(0.0)) and risk.reachable > alpha
        return
    assert bound(found) <= alpha + 1e-9
    present = [score for scores in sentences for score in scores if score is not None and score <= max(possible)]
    # A larger one that is no score misses nothing more, up to the next score above: so the largest score counts.
    assert found == pytest.approx(max(present, default=0.0), abs=3e-6) or bound(found + 4e-6) > alpha


def test_many_sentences_are_kept_as_few_steps_that_promise_no_less() -> None:
    rng = random.Random(4)
    sentences = draw(20_000, rng)
    risk = MissRisk.measure(sentences)
    assert len(risk.thresholds) <= 1000
    for alpha in (0.03, 0.051, 0.1, 0.5, 0.93):
        rate = miss_rate(sentences, risk.threshold(alpha))
        assert alpha - 0.002 < rate <= alpha


def test_scores_that_differ_in_their_last_digits_are_not_lost() -> None:
    risk = MissRisk.measure([[0.7]] * 99)
    assert 0.69999 < risk.threshold(0.05) < 0.7
    risk = MissRisk.measure([[1.0]] * 99)
    assert 0.9999 < risk.threshold(0.05) < 1.0


@pytest.mark.parametrize(
    "steps",
    [
        (0, (0.0,), (0.1,)),
        (5, (), ()),
        (5, (0.1,), (0.1,)),
        (5, (0.0, 0.5), (0.2, 0.1)),
        (5, (0.0, 0.5, 0.5), (0.0, 0.1, 0.2)),
        (5, (0.0, 1.5), (0.0, 0.1)),
        (5, (0.0, 0.5), (0.0, 1.1)),
        (5, (0.0,), (0.0, 1.0)),
        (5, (0.0, float("nan")), (0.0, 0.5)),
    ],
)
def test_steps_that_are_none_are_refused(steps: tuple[int, tuple[float, ...], tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="expected ascending thresholds from 0"):
        MissRisk(*steps)


def test_without_gold_entities_nothing_can_be_promised() -> None:
    with pytest.raises(ValueError, match="no sentence has a gold entity"):
        MissRisk.measure([[], []])
