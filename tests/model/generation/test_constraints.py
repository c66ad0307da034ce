"""The constraint against brute force: at every prefix it allows what some legal sequence goes on with, nothing else."""

from __future__ import annotations

import random
from itertools import chain, pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.schema import Entity, merge_segments
from genner.errors import ConfigError
from genner.model.generation import AnyPiece, PointerConstraint
from genner.model.generation.config import STRUCTURES, UNITS
from tests.model.generation.oracle import (
    BOS,
    EOS,
    Rules,
    Sentence,
    entities_of,
    may_follow,
    n_repetitions,
    prefix_tree,
)


def batch_of(sentences: list[Sentence]) -> tuple[Tensor, Tensor]:
    """``first`` padded with 0, and the lengths."""
    width = max(len(sentence.pieces) for sentence in sentences)
    first = [sentence.first + [0] * (width - len(sentence.pieces)) for sentence in sentences]
    return torch.tensor(first, dtype=torch.long).view(len(first), width), torch.tensor([s.length for s in sentences])


def start(sentences: list[Sentence], rules: Rules, n_positions: int | None = None):
    """Started constraint; lead and tail are those of the first sentence."""
    first, lengths = batch_of(sentences)
    constraint = PointerConstraint(rules.unit, rules.n_labels, rules.structure)
    limits = torch.tensor([sentence.limit for sentence in sentences])
    return constraint.start(first, lengths, sentences[0].lead, sentences[0].tail, limits, n_positions)


def symbols_of(row: Tensor) -> set[int]:
    return set(row.nonzero().squeeze(1).tolist())


def compare_with_brute_force(sentences: list[Sentence], rules: Rules) -> int:
    """Walk all prefixes of all sentences at once; the number of prefixes compared is returned."""
    trees = [prefix_tree(sentence, rules) for sentence in sentences]
    state = start(sentences, rules)
    prefixes = [(number, (BOS,)) for number in range(len(sentences))]
    n_compared = 0
    while prefixes:
        allowed = state.allowed()
        longer = []
        for row, (number, prefix) in enumerate(prefixes):
            found = symbols_of(allowed[row])
            assert found == trees[number][prefix], (sentences[number], rules, prefix)
            longer += [(row, symbol, (number, (*prefix, symbol))) for symbol in sorted(found - {EOS})]
        n_compared += len(prefixes)
        random.Random(len(longer)).shuffle(longer)
        prefixes = [prefix for _, _, prefix in longer]
        if longer:
            state = state.select(torch.tensor([row for row, _, _ in longer]))
            state = state.advance(torch.tensor([symbol for _, symbol, _ in longer]))
    return n_compared


@st.composite
def batches(draw: st.DrawFn, rules: Rules) -> list[Sentence]:
    """Up to three tiny sentences of one backbone."""
    lead, tail = draw(st.sampled_from([(0, 1), (1, 1)]))
    sentences = st.builds(
        Sentence,
        pieces=st.lists(st.integers(1, 3), max_size=4).map(tuple),
        lead=st.just(lead),
        tail=st.just(tail),
        limit=st.integers(2, 8 if rules.structure == "flat" else 7),
    )
    return draw(st.lists(sentences, min_size=1, max_size=3))


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_allows_what_legal_sequences_go_on_with(data: st.DataObject, unit: str, structure: str) -> None:
    rules = Rules(unit, structure, n_labels=data.draw(st.integers(1, 2), label="labels"))
    compare_with_brute_force(data.draw(batches(rules), label="sentences"), rules)


@pytest.mark.parametrize("unit", UNITS)
def test_flat_entities_with_long_words(unit: str) -> None:
    """Long words first and last: the cheapest last word before the next entity decides what fits."""
    sentences = [Sentence((2, 1, 3, 1), 1, 1, limit) for limit in (9, 11, 12)]
    assert compare_with_brute_force(sentences, Rules(unit, "flat", n_labels=1)) > 100


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("unit", UNITS)
def test_loops_end(unit: str, structure: str) -> None:
    """One entity, or two: a sequence that only repeats ends, one with something new goes on."""
    assert compare_with_brute_force([Sentence((1,), 1, 1, 30)], Rules(unit, structure, n_labels=1)) > 3
    if unit == "word":
        assert compare_with_brute_force([Sentence((1,), 1, 1, 15)], Rules(unit, structure, n_labels=2)) > 10


@pytest.mark.parametrize("share_illegal", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("unit", UNITS)
def test_random_walks_read_back(unit: str, structure: str, share_illegal: float) -> None:
    """Every group that was not given up is an entity of that structure, no other is, and all ends within the limit."""
    draw = random.Random(f"{unit} {structure} {share_illegal}")
    labels = ("a", "b", "c")
    sentences = [
        Sentence(tuple(draw.randint(1, 4) for _ in range(draw.randint(1, 14))), 1, 1, draw.randint(2, 40))
        for _ in range(96)
    ]
    state = start(sentences, Rules(unit, structure, len(labels)))
    written = torch.zeros(len(sentences), 1, dtype=torch.long)
    given_up = torch.zeros_like(written, dtype=torch.bool)
    generator = torch.Generator().manual_seed(5)
    for _ in range(40):
        legal, possible = state.allowed(), state.possible()
        assert legal.any(1).all() and not (legal & ~possible).any()
        may_give_up = torch.rand(len(sentences), 1, generator=generator) < share_illegal
        weights = torch.where(may_give_up, possible, legal).float()
        weights[:, EOS] *= 0.3
        weights[:, 2:5] *= 3
        symbols = torch.multinomial(weights, 1, generator=generator)
        gave_up = ~legal.gather(1, symbols)
        written, given_up = torch.cat((written, symbols), 1), torch.cat((given_up, gave_up), 1)
        state = state.advance(symbols.squeeze(1), gave_up.squeeze(1) if share_illegal else None)
    codec = PointerCodec(PointerVocab(labels), unit)
    seen, n_dropped = [], 0
    for sentence, row, illegal in zip(sentences, written.tolist(), given_up.tolist(), strict=True):
        end = row.index(EOS)
        assert end < sentence.limit
        assert set(row[end:]) == {EOS}
        bounds = [*sentence.first, sentence.length - sentence.tail]
        settled = codec.settle(row, bounds, structure)
        kept, begin, n_groups = [], 1, 0
        for place in range(1, end):
            if row[place] < 5:
                kept += [] if any(illegal[begin : place + 1]) else [(begin, place + 1)]
                begin, n_groups = place + 1, n_groups + 1
        n_rejected = sum(settled.dropped.values())
        assert len(kept) == len(settled.entities) + settled.repeated
        assert n_rejected == n_groups - len(kept) + (begin < end)
        assert set(settled.symbol_spans) <= set(kept)
        assert len(set(settled.entities)) == len(settled.entities)
        check_entities(settled.entities, structure)
        seen += settled.entities
        n_dropped += n_rejected
    if share_illegal < 1:
        assert len(seen) > 50
        assert any(entity.is_discontinuous for entity in seen) == (structure == "discontinuous")
    assert (n_dropped > 0) == (share_illegal > 0)


def check_entities(entities: list[Entity], structure: str) -> None:
    if structure != "discontinuous":
        assert not any(entity.is_discontinuous for entity in entities)
    if structure == "flat":
        ascending = sorted(entities, key=lambda entity: entity.start)
        assert all(left.end <= right.start for left, right in pairwise(ascending))


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("unit", UNITS)
def test_accepts_every_gold_set(unit: str, structure: str) -> None:
    """Entities are accepted symbol by symbol, in any order, with exactly the room that they need."""
    draw = random.Random(f"gold {unit} {structure}")
    labels = ("a", "b")
    codec = PointerCodec(PointerVocab(labels), unit)
    targets, sentences = [], []
    for _ in range(60):
        pieces = tuple(draw.randint(1, 3) for _ in range(draw.randint(1, 9)))
        bounds = [1 + sum(pieces[:word]) for word in range(len(pieces) + 1)]
        target = codec.encode(random_entities(draw, len(pieces), structure, labels), bounds)
        draw.shuffle(target.groups)
        targets.append([BOS, *chain.from_iterable(target.groups), EOS])
        sentences.append(Sentence(pieces, 1, 1, len(targets[-1])))
    state = start(sentences, Rules(unit, structure, len(labels)))
    padded = torch.tensor([row + [EOS] * (max(map(len, targets)) - len(row)) for row in targets])
    for step in range(1, padded.shape[1]):
        symbols = padded[:, step]
        accepted = state.allowed().gather(1, symbols.unsqueeze(1)).squeeze(1)
        refused = [targets[row] for row in (~accepted).nonzero().squeeze(1).tolist()]
        assert not refused, (step, refused)
        state = state.advance(symbols)


def random_entities(draw: random.Random, n_words: int, structure: str, labels: tuple[str, ...]) -> list[Entity]:
    """Entities of a sentence; many share their first or last word."""
    found: list[Entity] = []
    covered: set[int] = set()
    for _ in range(draw.randint(0, 6)):
        begin = draw.randrange(n_words)
        end = draw.randint(begin + 1, n_words)
        segments = [(begin, end)]
        if structure == "discontinuous":
            segments = [(word, word + 1) for word in range(begin, end) if draw.random() < 0.6] or segments
        if structure == "flat" and covered & set(range(begin, end)):
            continue
        covered |= set(range(begin, end))
        found.append(Entity(draw.choice(labels), merge_segments(segments)))
    return found


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_unrolled_states_are_those_of_single_steps(unit: str, structure: str) -> None:
    """Along random legal paths; symbols after an illegal one may be anything and do no harm."""
    rules, draw = Rules(unit, structure, 2), random.Random(3)
    sentences = [Sentence((2, 1, 3), 1, 1, 12), Sentence((1, 1), 1, 1, 5), Sentence((3, 1, 1, 1), 1, 1, 30)]
    single = start(sentences, rules)
    for _ in range(8):
        states, path = [single], []
        for _ in range(4):
            allowed = states[-1].allowed()
            path.append(torch.tensor([draw.choice(sorted(symbols_of(row))) for row in allowed]))
            states.append(states[-1].advance(path[-1]))
        unrolled = single.unroll(torch.stack(path, 1))
        assert torch.equal(unrolled.allowed(), torch.stack([state.allowed() for state in states], 1).flatten(0, 1))
        rows = torch.tensor([draw.randrange(5) for _ in sentences])
        accepted = unrolled.accept(rows)
        for number, row in enumerate(rows.tolist()):
            assert symbols_of(accepted.allowed()[number]) == symbols_of(states[row].allowed()[number])
        nonsense = torch.tensor([[draw.randrange(4 + 7) for _ in range(6)] for _ in sentences])
        kept = single.unroll(nonsense).accept(torch.zeros(3, dtype=torch.long))
        assert torch.equal(kept.allowed(), single.allowed())
        single = kept.advance(path[0])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_along_given_sequences(unit: str, structure: str) -> None:
    """As step by step with more room than there can be need for, padding included."""
    rules, draw = Rules(unit, structure, 2), random.Random(4)
    sentences = [Sentence((2, 1, 3), 1, 1, 99), Sentence((1, 1), 1, 1, 99), Sentence((3, 1, 1, 1), 1, 1, 99)]
    state, paths, masks = start(sentences, rules), [[BOS] * 3], []
    for _ in range(9):
        allowed = state.allowed()
        masks.append(allowed)
        paths.append([draw.choice(sorted(symbols_of(row))) for row in allowed])
        state = state.advance(torch.tensor(paths[-1]))
    first, lengths = batch_of(sentences)
    found = PointerConstraint(unit, 2, structure).along(first, lengths, 1, 1, torch.tensor(paths).T, int(lengths.max()))
    assert torch.equal(found, torch.stack(masks, 1))
    nothing = PointerConstraint(unit, 2, structure).along(first, lengths, 1, 1, torch.tensor([[BOS, EOS]] * 3), 8)
    assert torch.equal(nothing, start(sentences, rules, 8).allowed().unsqueeze(1))


def test_select_repeats_drops_and_reorders() -> None:
    rules = Rules("bpe", "discontinuous", 2)
    sentences = [Sentence((2, 1, 3), 1, 1, 12), Sentence((1, 1), 1, 1, 5), Sentence((3,), 1, 1, 9)]
    rows = torch.tensor([2, 0, 0])
    state = start(sentences, rules)
    picked = state.select(rows)
    assert torch.equal(picked.allowed(), state.allowed()[rows])
    assert torch.equal(state.allowed()[0].nonzero().squeeze(1), torch.tensor([1, 5, 7, 8]))
    later = picked.advance(torch.tensor([5, 5, 8]))
    assert [symbols_of(row) for row in later.allowed()] == [{6}, {6}, {9}]


def test_states_are_not_changed() -> None:
    state = start([Sentence((1, 1, 1), 1, 1, 12)], Rules("word", "discontinuous", 2))
    for symbol in (5, 7, 2, 5):
        before = state.allowed()
        longer = state.advance(torch.tensor([symbol]))
        state.advance(torch.tensor([6]))
        assert torch.equal(state.allowed(), before)
        state = longer
    assert symbols_of(state.allowed()[0]) == {2, 3, 6, 7}


def test_wider_source_columns_are_never_allowed() -> None:
    sentences = [Sentence((1, 1), 0, 1, 8)]
    allowed = start(sentences, Rules("word", "flat", 1), n_positions=6).allowed()
    assert allowed.shape == (1, 3 + 6)
    assert symbols_of(allowed[0]) == {1, 3, 4}


def test_pieces_as_words() -> None:
    """The reference's ``first`` is every position, special pieces included: these are never words."""
    first = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 0]])
    state = PointerConstraint("word", 1, "nested").start(first, torch.tensor([4, 3]), 1, 1, torch.tensor([9, 9]))
    assert [symbols_of(row) for row in state.allowed()] == [{1, 4, 5}, {1, 4}]
    assert [symbols_of(row) for row in state.select(torch.tensor([1, 0])).allowed()] == [{1, 4}, {1, 4, 5}]


@pytest.mark.parametrize("unit", UNITS)
def test_many_specials_before_the_words(unit: str) -> None:
    """Tables are cut behind the highest number of a word, not behind as many columns as there are words."""
    first = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7]])
    state = PointerConstraint(unit, 1).start(first, torch.tensor([9]), 6, 1, torch.tensor([9]))
    state = state.select(torch.tensor([0]))
    assert symbols_of(state.allowed()[0]) == {1, 9, 10}


@pytest.mark.parametrize("unit", UNITS)
def test_batch_without_sentences(unit: str) -> None:
    empty = torch.zeros(0, dtype=torch.long)
    state = PointerConstraint(unit, 2).start(empty.view(0, 3), empty, 1, 1, empty, n_positions=5)
    assert state.advance(empty).select(empty).allowed().shape == (0, 9)


def test_any_piece_holds_back_what_no_sequence_has() -> None:
    first = torch.zeros(2, 1, dtype=torch.long)
    state = AnyPiece(2).start(first, torch.tensor([5, 3]), 1, 1, torch.tensor([4, 3]))
    assert [symbols_of(row) for row in state.allowed()] == [{1, 2, 3, 5, 6, 7}, {1, 2, 3, 5}]
    state = state.advance(torch.tensor([2, 2])).select(torch.tensor([1, 0]))
    assert [symbols_of(row) for row in state.allowed()] == [{1}, {1, 2, 3, 5, 6, 7}]


@pytest.mark.parametrize("constraint", [PointerConstraint("word", 1), AnyPiece(1)])
def test_limit_without_room_for_an_answer(constraint: PointerConstraint | AnyPiece) -> None:
    first, lengths = batch_of([Sentence((1,), 1, 1, 2), Sentence((1,), 1, 1, 2)])
    with pytest.raises(ConfigError, match=r"sentence 1 of the batch is 1\. Expected at least 2.*Raise"):
        constraint.start(first, lengths, 1, 1, torch.tensor([2, 1]))


def test_words_without_pieces() -> None:
    with pytest.raises(ConfigError, match=r"first\[0\]: word 1 starts at piece 1, word 0 at 1\. Expected ascending"):
        PointerConstraint("word", 1).start(torch.tensor([[1, 1]]), torch.tensor([3]), 1, 1, torch.tensor([9]))


def test_all_wrong_options_at_once() -> None:
    with pytest.raises(ConfigError, match=r"unit is 'char'.*structure is 'tree'.*n_labels is 0"):
        PointerConstraint("char", 0, "tree")


def test_brute_force_itself() -> None:
    """The oracle on cases small enough to be written by hand."""
    rules = Rules("span", "nested", 1)
    sentence = Sentence((2, 1), 1, 1, 5)
    whole = [key for key, _ in entities_of(sentence, rules)]
    assert whole == [(0, 0, [0, 0], 0), (0, 1, [0, 1], 0), (1, 1, [1, 1], 0)]
    flat = Rules("span", "flat", 1)
    assert [may_follow([whole[0]], key, flat) for key in whole] == [True, False, True]
    assert [n_repetitions(list(text)) for text in ("", "a", "aba", "abab", "aabb")] == [0, 0, 1, 2, 1]
    assert prefix_tree(sentence, rules) == {
        (0,): {1, 4, 6}, (0, 4): {5, 6}, (0, 6): {6}, (0, 4, 5): {2}, (0, 4, 6): {2}, (0, 6, 6): {2},
        (0, 4, 5, 2): {1}, (0, 4, 6, 2): {1}, (0, 6, 6, 2): {1},
    }  # fmt: skip
