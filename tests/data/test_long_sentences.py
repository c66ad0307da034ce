"""Cutting a sentence that is too long, against all possible cuts."""

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from genner.data.long_sentences import Limits, cut_sentence
from genner.data.schema import Entity, entities_within, merge_segments


@st.composite
def tasks(draw: st.DrawFn) -> tuple[list[int], list[Entity], list[int], Limits]:
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=7))
    bounds = [1]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    cover = st.sets(st.integers(0, len(lengths) - 1), min_size=1, max_size=3)
    entities = [Entity("X", merge_segments((w, w + 1) for w in words)) for words in draw(st.lists(cover, max_size=4))]
    sizes = [draw(st.integers(1, 4)) for _ in entities]
    limit = st.none() | st.integers(1, 12)
    return bounds, entities, sizes, Limits(draw(limit), draw(limit))


def is_legal(parts: list[tuple[int, int]], task: tuple[list[int], list[Entity], list[int], Limits]) -> bool:
    bounds, entities, sizes, limits = task
    placed = 0
    for start, end in parts:
        inside = [idx for idx, entity in enumerate(entities) if start <= entity.start and entity.end <= end]
        placed += len(inside)
        if not limits.hold(bounds[end] - bounds[start], sum(sizes[idx] for idx in inside)):
            return False
    return placed == len(entities)


@given(task=tasks())
@settings(max_examples=200, deadline=None)
def test_cuts_are_legal_fewest_and_found_whenever_there_are_any(
    task: tuple[list[int], list[Entity], list[int], Limits],
) -> None:
    n_words = len(task[0]) - 1
    legal = [
        parts
        for n_cuts in range(n_words)
        for cuts in combinations(range(1, n_words), n_cuts)
        if is_legal(parts := list(pairwise([0, *cuts, n_words])), task)
    ]
    parts = cut_sentence(*task)
    if parts is None:
        assert not legal
    else:
        assert parts in legal
        assert len(parts) == len(legal[0])


def test_a_gap_is_not_a_place_to_cut() -> None:
    discontinuous = Entity.from_flat("X", [0, 1, 3, 4])
    assert cut_sentence(list(range(7)), [discontinuous], [3], Limits(pieces=4)) == [(0, 4), (4, 6)]
    assert cut_sentence(list(range(7)), [discontinuous], [3], Limits(pieces=3)) is None


def test_one_word_that_is_too_long() -> None:
    assert cut_sentence([1, 2, 9, 10], [], [], Limits(pieces=4)) is None


def test_entities_of_a_part_count_from_its_first_word() -> None:
    entities = [Entity.from_flat("X", [0, 2]), Entity.from_flat("Y", [2, 3, 4, 5]), Entity.from_flat("Z", [4, 6])]
    assert entities_within(entities, 2, 5) == [Entity.from_flat("Y", [0, 1, 2, 3])]


def test_limits_as_text() -> None:
    assert str(Limits(1024, 512)) == "1,024 pieces and 512 decoder inputs"
    assert str(Limits()) == "any number"
    assert Limits(10, None).less(2, 1) == Limits(8, None)
