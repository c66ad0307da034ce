"""Least scores: where they lie on judged predictions made by hand, and what they never do."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.evaluation.thresholds import JudgedScores, LeastScores, fit_least_scores

Found = tuple[str, float, bool]


def judged(*sentences: Sequence[Found], missed: int = 0) -> JudgedScores:
    """Sentences whose gold entities are those that were found, and in the last one some more."""
    made = JudgedScores()
    for number, found in enumerate(sentences, start=1):
        made.add(found, sum(is_right for *_, is_right in found) + missed * (number == len(sentences)))
    return made


def spread(n: int, low: float, high: float, share_right: float, label: str = "DRUG") -> list[list[Found]]:
    """Sentences of one prediction each, with scores from ``low`` to ``high`` of which a share is right."""
    scores = [low + (high - low) * place / n for place in range(n)]
    return [[(label, score, int((n + 1) * share_right) > place * 7 % n)] for place, score in enumerate(scores)]


def f1(sentences: JudgedScores, least: LeastScores) -> float:
    """A plain count, in percent."""
    rows = zip(sentences.labels, sentences.scores, sentences.is_right, strict=True)
    kept = [is_right for label, score, is_right in rows if least.keeps(label, score)]
    return 200 * sum(kept) / (len(kept) + sum(sentences.n_gold))


def test_sentences_are_kept_one_by_one() -> None:
    made = judged([("DRUG", 0.9, True), ("PART", 0.3, False)], [], [("DRUG", 0.5, True)], missed=2)
    assert made.labels == ["DRUG", "PART", "DRUG"]
    assert made.scores == [0.9, 0.3, 0.5]
    assert made.is_right == [True, False, True]
    assert made.places == [0, 0, 2]
    assert made.n_gold == [1, 0, 3]


def test_a_type_of_its_own_comes_before_the_common_score() -> None:
    least = LeastScores(0.4, {"PART": 0.6, "SIGN": 0.0})
    assert [least.keeps("DRUG", score) for score in (0.39, 0.4, 0.41)] == [False, True, True]
    assert [least.keeps("PART", score) for score in (0.4, 0.6)] == [False, True]
    assert least.keeps("SIGN", 0.0)
    assert LeastScores().keeps("DRUG", 0.0)


@pytest.mark.parametrize("wrong", [LeastScores, lambda value: LeastScores(0.5, {"DRUG": value})])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_scores_are_probabilities(wrong: type, value: float) -> None:
    with pytest.raises(ValueError, match="expected numbers from 0 to 1"):
        wrong(value)


def test_nothing_known_leaves_nothing_out() -> None:
    assert fit_least_scores(JudgedScores()) == LeastScores()
    assert fit_least_scores(judged([], [], missed=3)) == LeastScores(), "nothing was found"
    assert fit_least_scores(judged(*spread(90, 0.1, 0.9, 0.0))) == LeastScores(), "there is no gold entity"


@pytest.mark.parametrize("missed", [0, 40])
def test_all_right_leaves_nothing_out(missed: int) -> None:
    least = fit_least_scores(judged(*spread(120, 0.01, 0.99, 1.0), missed=missed))
    assert (least.common, dict(least.by_type)) == (0.0, {"DRUG": 0.0})
    assert least.f_before == least.f_after == pytest.approx(200 * 120 / (240 + missed), abs=0.005)


def test_a_gap_holds_the_threshold() -> None:
    """Right ones above it, wrong ones below: none of those goes, and all of these but for what some samples lack."""
    equal = fit_least_scores(judged(*spread(60, 0.8, 0.95, 1.0), *[[("DRUG", 0.2, False)]] * 40))
    assert 0.2 < equal.common < 0.8 and 0.2 < equal.by_type["DRUG"] < 0.8
    assert equal.f_before == pytest.approx(75.0), "60 of 100 are right, and all gold entities are found"
    assert equal.f_after == 100.0
    made = judged(*spread(60, 0.8, 0.95, 1.0), *spread(40, 0.05, 0.2, 0.0))
    least = fit_least_scores(made)
    wrong = [score for score in made.scores if score < 0.5]
    assert sum(score >= least.common for score in wrong) <= 3
    assert least.common < 0.8 and least.f_before == 75.0 < 97 < least.f_after


def test_what_is_right_often_enough_stays() -> None:
    """An entity is worth keeping if it is right with half of F1: if 60 of 100 are, not if 10 of 100 are."""
    sure = spread(200, 0.85, 0.99, 0.9)
    for share, is_worth in ((0.6, True), (0.1, False)):
        made = judged(*sure, *spread(100, 0.3, 0.5, share), missed=20)
        least = fit_least_scores(made)
        assert (least.common < 0.3) == is_worth, share
        assert (least.f_after > least.f_before) != is_worth, share


def test_few_predictions_leave_nothing_out() -> None:
    """One or two wrong ones are missing from many a sample, however low their scores are."""
    for n_wrong in (1, 2):
        wrong = [[("DRUG", 0.02 * number, False)] for number in range(1, n_wrong + 1)]
        made = judged(*spread(12, 0.8, 0.99, 1.0), *wrong)
        least = fit_least_scores(made)
        assert (least.common, dict(least.by_type)) == (0.0, {})
        assert least.f_before == least.f_after < 100
    # The same in many sentences is no chance.
    many = (spread(12, 0.8, 0.99, 1.0) + [[("DRUG", 0.02, False)]] * 2) * 10
    assert 0.02 < fit_least_scores(judged(*many)).common < 0.8


def test_sentences_are_drawn_and_not_predictions() -> None:
    """Forty wrong predictions in one sentence are one mistake, in forty sentences they are a rule."""
    right, wrong = spread(40, 0.8, 0.99, 1.0), [("DRUG", 0.1 + place / 1000, False) for place in range(40)]
    assert fit_least_scores(judged(*right, wrong)).common == 0.0
    assert 0.13 < fit_least_scores(judged(*right, *([one] for one in wrong))).common < 0.8


def test_equal_scores_stay_or_go_together() -> None:
    """Of a heap of equal scores, the first ones are all right: no threshold lies between them and the others."""
    heap = [[("DRUG", 0.5, place < 30)] for place in range(80)]
    made = judged(*spread(30, 0.9, 0.99, 1.0), *heap)
    least = fit_least_scores(made)
    assert least.common == 0.0, "30 of 80 of the heap are right, more than half of F1 in nearly all samples"
    worse = judged(*spread(30, 0.9, 0.99, 1.0), *[[("DRUG", 0.5, place < 8)] for place in range(80)])
    least = fit_least_scores(worse)
    assert 0.5 < least.common < 0.9, "8 of 80 are not, and all of them go"
    assert least.f_after == pytest.approx(100 * 60 / 68, abs=0.005)


def test_a_threshold_lies_halfway_to_the_next_lower_score() -> None:
    made = judged(*([("DRUG", 0.8, True)] for _ in range(40)), *([("DRUG", 0.2, False)] for _ in range(49)))
    least = fit_least_scores(made)
    assert least.common == 0.5
    assert least.by_type["DRUG"] == 0.5


@pytest.mark.parametrize(("n", "has_own"), [(49, False), (50, True)])
def test_a_type_has_a_threshold_of_its_own_from_fifty_predictions_on(n: int, has_own: bool) -> None:
    made = judged(*spread(n, 0.1, 0.9, 0.8, "PART"), *spread(200, 0.1, 0.9, 0.8))
    assert set(fit_least_scores(made).by_type) == ({"DRUG", "PART"} if has_own else {"DRUG"})


def test_a_type_is_drawn_towards_the_common_threshold_the_more_so_the_fewer_it_has() -> None:
    """Scores of one type are right from 0.2 on, those of the others from 0.6 on."""
    own = []
    for n in (60, 1200):
        part = [[("PART", 0.01 + 0.98 * place / n, 0.01 + 0.98 * place / n >= 0.2)] for place in range(n)]
        drug = [[("DRUG", 0.01 + 0.98 * place / 2400, 0.01 + 0.98 * place / 2400 >= 0.6)] for place in range(2400)]
        least = fit_least_scores(judged(*part, *drug))
        assert 0.15 < least.by_type["PART"] < least.common <= 0.6
        assert least.by_type["DRUG"] == pytest.approx(0.6, abs=0.02)
        share = n / (n + 100)
        assert least.by_type["PART"] == pytest.approx(share * 0.2 + (1 - share) * least.common, abs=0.02)
        own.append(least.by_type["PART"])
    assert own[0] > own[1] + 0.1


def test_the_same_predictions_give_the_same_thresholds() -> None:
    made = judged(*spread(90, 0.5, 0.98, 0.9), *spread(70, 0.02, 0.4, 0.1), *spread(70, 0.02, 0.98, 0.3, "PART"))
    first, second = fit_least_scores(made), fit_least_scores(made)
    assert first == second and first.common > 0
    random.seed(7)
    assert fit_least_scores(made) == first, "it hangs on nothing that others draw"


@st.composite
def some_judged(draw: st.DrawFn) -> JudgedScores:
    """Sentences with any predictions: few different scores, so that many are equal."""
    score = st.sampled_from([0.0, 0.05, 0.2, 0.21, 0.5, 0.77, 0.9, 1.0]) | st.floats(0, 1)
    one = st.tuples(st.sampled_from(["DRUG", "PART", "SIGN"]), score, st.booleans())
    made = JudgedScores()
    for found in draw(st.lists(st.lists(one, max_size=6), max_size=25)):
        made.add(found * draw(st.sampled_from([1, 1, 4])), len(found) + draw(st.integers(0, 2)))
    return made


@given(made=some_judged())
@settings(max_examples=150)
def test_any_predictions(made: JudgedScores) -> None:
    least = fit_least_scores(made)
    assert all(0 <= value <= 1 for value in (least.common, *least.by_type.values()))
    assert all(made.labels.count(label) >= 50 for label in least.by_type)
    if made.labels and sum(made.n_gold):
        assert least.f_before == pytest.approx(f1(made, LeastScores()), abs=0.006)
        assert least.f_after == pytest.approx(f1(made, least), abs=0.006)
    assert least.f_after >= least.f_before - 1.0
    best = max((score for score in made.scores), default=1.0)
    assert not made.labels or best == 0 or least.common < best, "something always stays"
