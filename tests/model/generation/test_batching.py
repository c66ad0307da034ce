"""The search over many batches: slots, refills, and drafts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from genner.errors import ConfigError
from genner.model.generation import AnyPiece, GenerationConfig, PreparedBatch, search_all
from tests.model.generation.table_model import BOS, EOS, TableModel, answers, random_table
from tests.model.generation.table_search import FIRST, LABEL, N_SYMBOLS, path_table, prepare, run, run_all


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_answers_do_not_depend_on_the_batch(num_beams: int, compat: bool) -> None:
    limits = [9, 2, 5, 14, 7, 3, 20, 6]
    table = random_table(11, N_SYMBOLS)
    config = GenerationConfig(num_beams=num_beams, length_penalty=0.7, repetition_penalty=1.3, compat=compat)
    alone = [run(table, [limit], config, [sentence])[0] for sentence, limit in enumerate(limits)]
    order = list(range(len(limits)))
    for _ in range(3):
        together, _ = run(table, [limits[sentence] for sentence in order], config, order)
        for row, sentence in enumerate(order):
            assert answers(together)[row] == answers(alone[sentence])[0]
            ours, theirs = together[row][0], alone[sentence][0][0]
            assert (ours.logprob, ours.score) == pytest.approx((theirs.logprob, theirs.score), rel=1.3e-6, abs=1e-5)
        random.Random(len(order)).shuffle(order)


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_results_do_not_depend_on_batches_or_earlier_sentences(num_beams: int, constrained: bool) -> None:
    """Slots are refilled; limits are short, long, and longer than all earlier ones."""
    draw = random.Random(5)
    limits = [draw.choice([2, 3, 5, 9, 14]) for _ in range(40)] + [30]
    table = random_table(23, N_SYMBOLS)
    config = GenerationConfig(
        num_beams=num_beams,
        n_best=min(num_beams, 2),
        length_penalty=0.8,
        repetition_penalty=1.2,
        constrained=constrained,
        give_up=0.5,
    )
    alone = [run(table, [limit], config, [sentence])[0][0] for sentence, limit in enumerate(limits)]
    for sizes in ([41], [1] * 41, [4, 16, 1, 20], [16, 8, 8, 9], [3, 0, 38]):
        found, _ = run_all(table, sizes, limits, config)
        for ours, theirs in zip(found, alone, strict=True):
            assert [one.ids for one in ours] == [one.ids for one in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert one.symbol_logprobs == pytest.approx(other.symbol_logprobs, abs=1e-5)
                assert one.masses == pytest.approx(other.masses, abs=1e-5)
                assert (one.logprob, one.score) == pytest.approx((other.logprob, other.score), abs=1e-4)


@pytest.mark.parametrize(
    ("constrained", "give_up"), [(False, 0.0), (True, 0.0), (True, 0.5), (True, 1.0), (True, None)]
)
@pytest.mark.parametrize("structure", ["flat", "nested", "discontinuous"])
@pytest.mark.parametrize("share_right", [0.0, 0.7, 1.0])
def test_drafts_change_nothing_but_the_number_of_passes(
    constrained: bool, structure: str, share_right: float, give_up: float | None
) -> None:
    """Drafts are right, legal but wrong, or nonsense; they may go beyond the end and the limit."""
    draw = random.Random(7)
    limits = [draw.choice([2, 3, 5, 9, 14]) for _ in range(30)]
    table = random_table(29, N_SYMBOLS)
    masked = constrained and give_up is None
    options = {"structure": structure, "give_up": give_up or 0.0, "masked": masked, "eos_penalty": 0.5}
    config = GenerationConfig(constrained=constrained, **options)
    sizes = [6, 10, 1, 13]
    plain, slow = run_all(table, sizes, limits, config)

    def guess(sentence: int, prefix: list[int], n_symbols: int) -> list[int]:
        right = [*plain[sentence][0].ids[len(prefix) :], *[EOS] * n_symbols][:n_symbols]
        return [symbol if draw.random() < share_right else draw.randrange(N_SYMBOLS) for symbol in right]

    for draft_len in (1, 2, 5):
        drafted = replace(config, draft_len=draft_len, draft_rows=6 * draft_len)
        found, fast = run_all(table, sizes, limits, drafted, guess)
        for (ours,), (theirs,) in zip(found, plain, strict=True):
            assert ours.ids == theirs.ids
            assert ours.symbol_logprobs == pytest.approx(theirs.symbol_logprobs, abs=1e-5)
            assert ours.masses == pytest.approx(theirs.masses, abs=1e-5)
        n_passes, n_plain = len(fast.rows_per_step), len(slow.rows_per_step)
        assert n_passes <= n_plain
        if share_right == 1.0 and not (constrained and give_up):  # no draft is right behind a group that is given up on
            assert n_passes <= n_plain / (1 + draft_len) + 12, "at least one pass per refilled sentence"


@pytest.mark.parametrize("options", [{"repetition_penalty": 1.5}, {"length_penalty": 0.5}, {"draft_len": 0}])
def test_nothing_is_drafted_under_penalties(options: dict[str, float]) -> None:
    def guess(sentence: int, prefix: list[int], n_symbols: int) -> list[int]:
        raise AssertionError("asked for a draft")

    found, _ = run_all(random_table(31, N_SYMBOLS), [3], [4] * 3, GenerationConfig(**{"draft_len": 3} | options), guess)
    assert len(found) == 3


def test_the_more_sentences_the_shorter_the_drafts() -> None:
    config = GenerationConfig(draft_len=6, draft_rows=20)
    assert [config.n_drafts(n_sentences) for n_sentences in (1, 3, 4, 8, 16, 20, 21, 64)] == [6, 6, 5, 2, 1, 1, 0, 0]


def test_slots_are_refilled_while_sentences_are_queued() -> None:
    paths = [(BOS, *[FIRST, LABEL] * (1 + number % 7 * (number % 3)), EOS) for number in range(200)]
    limits = [len(path) for path in paths]
    config = GenerationConfig(constrained=False)
    found, model = run_all(path_table(*paths, peak=30.0), [20] * 10, limits, config)
    assert [tuple(hypotheses[0].ids) for hypotheses in found] == paths
    assert model.rows_per_step[0] == 20
    needed = sum(len(path) - 1 for path in paths)
    assert needed <= sum(model.rows_per_step) <= 1.06 * needed


def test_batches_are_prepared_lazily() -> None:
    prepared, config = [], GenerationConfig(constrained=False)

    def batches():
        for number in range(6):
            prepared.append(number)
            yield prepare(model, [0, 0], [3, 3], config)

    model = TableModel(path_table((BOS, EOS), peak=9.0))
    found = search_all(model, batches(), config)
    next(found)
    assert prepared == [0, 1], "one ahead"
    assert len(list(found)) == 11
    assert prepared == list(range(6))


def test_beams_end_early_and_leave() -> None:
    """A sentence whose answer is certain costs no further step: two beams each, then those of the second sentence."""
    paths = [(BOS, EOS), (BOS, FIRST, LABEL, EOS)]
    _, model = run(path_table(*paths, peak=20.0), [40, 40], GenerationConfig(num_beams=2))
    assert model.rows_per_step == [4, 2, 2]


def test_batch_without_sentences() -> None:
    for num_beams in (1, 2):
        empty = torch.zeros(0, dtype=torch.long)
        constraint = AnyPiece(1).start(empty.view(0, 1), empty, 1, 1, empty, n_positions=3)
        model = TableModel(random_table(0, 6))
        batch = PreparedBatch(model.start([]), constraint, empty)
        assert list(search_all(model, [batch], GenerationConfig(num_beams=num_beams))) == []


def test_limit_without_room_for_an_answer() -> None:
    model = TableModel(random_table(0, N_SYMBOLS))
    with pytest.raises(ConfigError, match=r"limit of sentence 0 of the batch is 1\. Expected at least 2"):
        list(search_all(model, [PreparedBatch(model.start([0]), None, torch.tensor([1]))], GenerationConfig()))
