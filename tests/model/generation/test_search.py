"""The search on probability tables: hand-written ones, and random ones against plain searches in Python."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.errors import ConfigError
from genner.model.generation import AnyPiece, GenerationConfig, PointerConstraint, PreparedBatch, search_all
from genner.model.generation.config import STRUCTURES
from genner.model.generation.state import Hypothesis
from tests.model.generation.oracle import Rules, Sentence, following, prefix_tree
from tests.model.generation.table_model import (
    BOS,
    EOS,
    Table,
    TableModel,
    all_sequences,
    answers,
    logprob_of,
    random_table,
)

# Two labels (2, 3); two words of one piece between two specials: pointers 5 and 6.
LABEL, OTHER, FIRST, SECOND = 2, 3, 5, 6
N_SYMBOLS = 8
N_LABELS = 2


def run(
    table: Table, limits: Sequence[int], config: GenerationConfig, sentences: Sequence[int] | None = None
) -> tuple[list[list[Hypothesis]], TableModel]:
    """Search the table for some sentences of two words each, in one batch."""
    model = TableModel(table)
    rows = range(len(limits)) if sentences is None else sentences
    found = dict(search_all(model, [prepare(model, rows, limits, config)], config))
    return [found[number] for number in range(len(limits))], model


def prepare(
    model: TableModel, sentences: Sequence[int], limits: Sequence[int], config: GenerationConfig
) -> PreparedBatch:
    bounds = torch.tensor(limits, dtype=torch.long)
    kind = PointerConstraint("word", N_LABELS, config.structure) if config.constrained else AnyPiece(N_LABELS)
    first = torch.tensor([[1, 2]]).repeat(len(limits), 1)
    constraint = kind.start(first, torch.full_like(bounds, 4), 1, 1, bounds)
    return PreparedBatch(model.start(sentences), constraint, bounds)


def legal_sequences(limit: int, constrained: bool) -> list[tuple[int, ...]]:
    if not constrained:
        return all_sequences([LABEL, OTHER, FIRST, SECOND], limit)
    tree = prefix_tree(Sentence((1, 1), 1, 1, limit), Rules("word", "discontinuous", N_LABELS))
    return [(*prefix, EOS) for prefix, following in tree.items() if EOS in following]


def score_of(total: float, sequence: Sequence[int], penalty: float) -> float:
    """Score of a hypothesis: the length counts BOS but not EOS, except for the empty one."""
    return total / max(len(sequence) - 1, 2) ** penalty


def path_table(*paths: Sequence[int], base: float = 0.0, peak: float = 3.0) -> Table:
    """Logits that are ``peak`` along the paths and ``base`` elsewhere."""

    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        path = paths[sentence]
        row = [base] * N_SYMBOLS
        if tuple(path[: len(prefix)]) == prefix and len(prefix) < len(path):
            row[path[len(prefix)]] = peak
        return row

    return table


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


def plain_choice(
    table: Table, sentence: int, prefix: tuple[int, ...], limit: int, config: GenerationConfig
) -> tuple[set[int], float]:
    """The symbols that may follow, and the probability of the legal ones if another one is the most probable."""
    if not config.constrained:
        return {LABEL, OTHER, FIRST, SECOND, EOS} if len(prefix) + 1 < limit else {EOS}, 1.0
    rules = Rules("word", config.structure, N_LABELS)
    legal, possible = following(Sentence((1, 1), 1, 1, limit), rules, prefix)
    probabilities = torch.tensor(table(sentence, prefix)).softmax(0).tolist()
    mass = 1.0 if config.masked else sum(probabilities[symbol] for symbol in legal)
    chosen = legal | possible if mass < config.give_up else legal
    ranked = rank(table, sentence, prefix, config)
    return chosen, 1.0 if ranked.index(max(ranked)) in chosen else mass


def rank(table: Table, sentence: int, prefix: tuple[int, ...], config: GenerationConfig) -> list[float]:
    """Logits with the penalty for ending."""
    logits = list(table(sentence, prefix))
    logits[EOS] -= config.eos_penalty
    return logits


def plain_greedy(table: Table, sentence: int, limit: int, config: GenerationConfig) -> tuple[list[int], list[float]]:
    """One sentence, one symbol at a time; the sequence and its masses."""
    sequence, masses = [BOS], [1.0]
    while sequence[-1] != EOS or len(sequence) == 1:
        chosen, mass = plain_choice(table, sentence, tuple(sequence), limit, config)
        logits = rank(table, sentence, tuple(sequence), config)
        sequence.append(max(sorted(chosen), key=lambda symbol: logits[symbol]))
        masses.append(mass)
    return sequence, masses


def plain_beams(table: Table, sentence: int, limit: int, config: GenerationConfig) -> list[tuple[float, list[int]]]:
    """One sentence, Python lists, no early end."""
    beams, finished = [(0.0, (BOS,))], []
    while beams:
        longer = []
        for total, prefix in beams:
            chosen, _ = plain_choice(table, sentence, prefix, limit, config)
            logprobs = torch.tensor(rank(table, sentence, prefix, config)).log_softmax(0)
            if config.masked:
                logprobs -= logprobs[list(chosen)].logsumexp(0)
            longer += [(total + logprobs[symbol].item(), (*prefix, symbol)) for symbol in sorted(chosen)]
        best = sorted(longer, key=lambda item: -item[0])[: 2 * config.num_beams]
        finished += [(score_of(total, ids, config.length_penalty), list(ids)) for total, ids in best if ids[-1] == EOS]
        beams = [item for item in best if item[1][-1] != EOS][: config.num_beams]
    return sorted(finished, key=lambda item: -item[0])[: config.n_best]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    limits=st.lists(st.integers(2, 6), min_size=1, max_size=5),
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


def run_all(
    table: Table, sizes: Sequence[int], limits: Sequence[int], config: GenerationConfig, guess: object = None
) -> tuple[list[list[Hypothesis]], TableModel]:
    """Search all sentences of the table in batches of these sizes."""
    model = TableModel(table, guess)
    starts = list(accumulate(sizes, initial=0))
    batches = [prepare(model, range(start, end), limits[start:end], config) for start, end in pairwise(starts)]
    found = dict(search_all(model, batches, config))
    return [found[number] for number in range(len(limits))], model


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
