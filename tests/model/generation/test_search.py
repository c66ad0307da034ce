"""The search on probability tables: hand-written ones, and random ones against plain searches in Python."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.model.generation import GenerationConfig
from genner.model.generation.config import STRUCTURES
from tests.model.generation.plain_search import legal_sequences, plain_beams, plain_greedy, score_of
from tests.model.generation.table_model import BOS, EOS, answers, logprob_of, random_table
from tests.model.generation.table_search import FIRST, LABEL, N_SYMBOLS, OTHER, SECOND, path_table, run


def test_greedy_follows_the_table_and_reports_probabilities() -> None:
    paths = [(BOS, FIRST, SECOND, LABEL, SECOND, OTHER, EOS), (BOS, EOS), (BOS, SECOND, LABEL, EOS)]
    found, model = run(path_table(*paths), [9, 9, 9], GenerationConfig())
    assert answers(found) == [list(path) for path in paths]
    one = 3.0 - math.log(math.exp(3.0) + N_SYMBOLS - 1)
    assert found[2][0].symbol_logprobs == pytest.approx([0, one, one, one])
    assert [hypotheses[0].logprob for hypotheses in found] == pytest.approx([6 * one, one, 3 * one])
    # With two of three rows still live, caches are not copied before the second ends.
    assert model.rows_per_step == [3, 2, 2, 1, 1, 1]


def test_greedy_takes_the_legal_best() -> None:
    """An illegal favourite is skipped; log-probabilities still include its probability mass."""
    table = path_table((BOS, LABEL, EOS), base=0.0, peak=2.0)
    with_favour = lambda s, prefix: [*table(s, prefix)[:FIRST], 1.0, *table(s, prefix)[SECOND:]]  # noqa: E731
    found, _ = run(with_favour, [4], GenerationConfig())
    assert answers(found) == [[BOS, FIRST, LABEL, EOS]]
    total = math.exp(2) + math.e + 6
    assert found[0][0].symbol_logprobs[1] == pytest.approx(1 - math.log(total))
    later = math.e + 7  # the first word again is the favourite; labels may follow it, and in the end only EOS
    assert found[0][0].masses == pytest.approx([1, (math.e + 2) / total, 2 / later, 1 / later])


def test_probabilities_of_a_model_that_knows_the_constraint() -> None:
    """They are those among the legal symbols: EOS and two words, then words and labels."""
    table = path_table((BOS, LABEL, EOS), peak=5.0)
    for num_beams in (1, 2):
        found, _ = run(table, [4], GenerationConfig(masked=True, num_beams=num_beams))
        assert answers(found) == [[BOS, EOS]]
        assert found[0][0].symbol_logprobs == pytest.approx([0, -math.log(3)])
        assert found[0][0].masses == [1, 1]


@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_penalty_for_ending_changes_the_choice_but_no_probability(num_beams: int) -> None:
    table = path_table((BOS, EOS), peak=2.0)
    total = math.exp(2) + 7
    for penalty, answer in ((1.9, [BOS, EOS]), (2.1, [BOS, FIRST, LABEL, EOS])):
        config = GenerationConfig(num_beams=num_beams, eos_penalty=penalty)
        found = run(table, [4], config)[0][0][0]
        assert found.ids == answer or num_beams == 2
        first = 2.0 if found.ids[1] == EOS else 0.0
        assert found.symbol_logprobs[1] == pytest.approx(first - math.log(total))


def test_the_penalty_ends_with_the_first_repetition() -> None:
    """A model that has nothing more to say repeats itself; then it may end."""
    entity = (FIRST, LABEL)
    table = path_table((BOS, *entity, *entity, *entity, EOS), peak=5.0)

    def would_end(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        row = list(table(sentence, prefix))
        if len(prefix) % 2:  # outside entities
            row[EOS] = 6.0
        return row

    for penalty, answer in ((0.0, (BOS, EOS)), (2.0, (BOS, *entity, *entity, EOS))):
        assert answers(run(would_end, [9], GenerationConfig(eos_penalty=penalty))[0]) == [list(answer)]


def test_greedy_gives_up_below_the_threshold() -> None:
    """A label without words is dropped, and the model goes on as if it had been allowed to write it."""
    table = path_table((BOS, LABEL, SECOND, OTHER, EOS), peak=2.0)
    mass = 3 / (math.exp(2) + 7)  # EOS and two words
    wishes, forced = [BOS, LABEL, SECOND, OTHER, EOS], [BOS, EOS]
    for give_up, answer in ((0.0, forced), (mass - 0.01, forced), (mass + 0.01, wishes), (1.0, wishes)):
        assert answers(run(table, [6], GenerationConfig(give_up=give_up))[0]) == [answer]


def test_limit_never_cuts_an_entity() -> None:
    endless = path_table((BOS, *[FIRST, SECOND, OTHER] * 9))
    for limit, answer in ((2, [BOS, EOS]), (3, [BOS, EOS]), (4, [BOS, FIRST, LABEL, EOS])):
        assert answers(run(endless, [limit], GenerationConfig())[0]) == [answer]
    free = GenerationConfig(constrained=False)
    assert answers(run(endless, [4], free)[0]) == [[BOS, FIRST, SECOND, EOS]]


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf, torch.finfo(torch.float32).min])
def test_answers_are_legal_whatever_the_logits(num_beams: int, value: float) -> None:
    config = GenerationConfig(num_beams=num_beams)
    found, _ = run(lambda sentence, prefix: [value] * N_SYMBOLS, [7, 4], config)
    assert all(tuple(answer) in legal_sequences(7, True) for answer in answers(found))


def test_empty_answers() -> None:
    ends = path_table((BOS, EOS), (BOS, EOS), peak=9.0)
    for num_beams in (1, 2):
        config = GenerationConfig(num_beams=num_beams)
        found, _ = run(ends, [8, 2], config)
        assert answers(found) == [[BOS, EOS]] * 2
        found, _ = run(ends, [8, 2], replace(config, compat=True))
        assert answers(found) == [[BOS, EOS, EOS]] * 2


def test_greedy_length_penalty() -> None:
    """Third step, two symbols written and BOS: log-probabilities are divided by 3, EOS's is not."""

    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        if len(prefix) == 1:
            return [0, 1.0, 0, 0, 0, 1.1, 0, 0]
        return [0, 0, 9.0, 0, 0, 0, 0, 0] if len(prefix) == 2 else [0, 3.0, 0, 0, 0, 1.0, 1.0, 0]

    assert answers(run(table, [4], GenerationConfig(constrained=False))[0]) == [[BOS, FIRST, LABEL, EOS]]
    total = math.log(math.exp(3) + 2 * math.e + 5)
    for penalty in (0.5, 2.0):
        longer = (1 - total) / 3**penalty > 3 - total
        found, _ = run(table, [5], GenerationConfig(constrained=False, length_penalty=penalty))
        assert (answers(found)[0][3] == FIRST) == longer == (penalty == 2.0)


def test_repetition_penalty() -> None:
    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        return [-9, -30, -9, -9, -9, -1.0, -1.5, -9] if sentence else [-9, -30, -9, -9, -9, 2.0, 1.5, -9]

    free = GenerationConfig(constrained=False)
    for num_beams in (1, 2):
        config = replace(free, num_beams=num_beams)
        assert answers(run(table, [4, 4], config)[0]) == [[BOS, FIRST, FIRST, EOS]] * 2
        found, _ = run(table, [4, 4], replace(config, repetition_penalty=2.0))
        assert answers(found) == [[BOS, FIRST, SECOND, EOS]] * 2
        for row, answer in enumerate(answers(found)):
            assert found[row][0].logprob == pytest.approx(sum(logprob_of(table, row, answer)), abs=1e-5)


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("penalty", [1.0, 0.0, 0.6, 1.7, -0.5])
def test_many_beams_find_what_exhaustive_search_finds(penalty: float, constrained: bool) -> None:
    limits, sentences = [5, 6, 4], [0, 1, 2]
    table = random_table(3, N_SYMBOLS)
    config = GenerationConfig(num_beams=300, n_best=8, length_penalty=penalty, constrained=constrained)
    found, _ = run(table, limits, config)
    for sentence in sentences:
        every = [(sum(logprob_of(table, sentence, ids)), ids) for ids in legal_sequences(limits[sentence], constrained)]
        ranked = sorted(((score_of(total, ids, penalty), total, ids) for total, ids in every), reverse=True)
        assert len(found[sentence]) == min(8, len(ranked))
        for ours, (score, total, ids) in zip(found[sentence], ranked, strict=False):
            assert tuple(ours.ids) == ids
            assert (ours.score, ours.logprob) == pytest.approx((score, total), abs=1e-4)
            assert ours.symbol_logprobs[1:] == pytest.approx(logprob_of(table, sentence, ids), abs=1e-4)
        assert answers(found)[sentence] == list(ranked[0][2])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    limits=st.lists(st.integers(2, 8), min_size=1, max_size=5),
    num_beams=st.integers(1, 4),
    penalty=st.sampled_from([1.0, 0.8, 1.5, 0.0]),
    constrained=st.booleans(),
    give_up=st.sampled_from([0.0, 0.3, 0.6, 1.0, None]),
    structure=st.sampled_from(STRUCTURES),
    eos_penalty=st.sampled_from([0.0, 1.5]),
)
def test_equals_the_plain_search(
    seed: int,
    limits: list[int],
    num_beams: int,
    penalty: float,
    constrained: bool,
    give_up: float | None,
    structure: str,
    eos_penalty: float,
) -> None:
    """Early stopping, compaction and reordering change nothing; without a threshold, the model knows the constraint."""
    penalty = penalty if num_beams > 1 else 1.0
    n_best = min(num_beams, 2)
    config = GenerationConfig(
        num_beams=num_beams,
        n_best=n_best,
        length_penalty=penalty,
        constrained=constrained,
        give_up=give_up or 0.0,
        eos_penalty=eos_penalty,
        masked=constrained and give_up is None,
        structure=structure,
    )
    table = random_table(seed, N_SYMBOLS, scale=1.0 + seed % 4)
    found, _ = run(table, limits, config)
    for sentence, limit in enumerate(limits):
        if num_beams == 1:
            ids, masses = plain_greedy(table, sentence, limit, config)
            assert answers(found)[sentence] == ids
            assert found[sentence][0].masses == pytest.approx(masses, abs=1e-5)
            continue
        expected = plain_beams(table, sentence, limit, config)
        assert [ours.ids for ours in found[sentence]] == [ids for _, ids in expected]
        scores = [ours.score for ours in found[sentence]]
        assert scores == pytest.approx([score for score, _ in expected], abs=1e-4)
