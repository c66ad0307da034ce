"""Windows: all words are covered, and answers for windows make the answer for the passage."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.data.schema import Entity, Segment, merge_segments
from genner.formulations.windows import cut_windows, merge_windows


@st.composite
def passages(draw: st.DrawFn) -> tuple[list[int], list[Entity]]:
    """Pieces of the words, and entities among which are nested, overlapping and discontinuous ones."""
    lens = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    entities = []
    for _ in range(draw(st.integers(0, 12))):
        start = draw(st.integers(0, len(lens) - 1))
        n_words = draw(st.integers(1, min(8, len(lens) - start)))
        inside = draw(st.sets(st.integers(start, start + n_words - 1), min_size=1))
        segments = merge_segments([(word, word + 1) for word in inside])
        entities.append(Entity(draw(st.sampled_from("AB")), segments))
    return lens, list(dict.fromkeys(entities))


def longest(entities: list[Entity]) -> int:
    return max((entity.end - entity.start for entity in entities), default=1)


def inside(entities: list[Entity], window: Segment) -> dict[Entity, float]:
    return {one: 0.5 for one in entities if window.start <= one.start and one.end <= window.end}


@settings(max_examples=500, deadline=None)
@given(passages(), st.data())
def test_an_oracle_on_windows_gives_back_the_gold(passage: tuple[list[int], list[Entity]], data: st.DataObject) -> None:
    """Whatever the window, and whatever overlap that is no shorter than the longest entity."""
    lens, gold = passage
    overlap = data.draw(st.integers(longest(gold), longest(gold) + 5))
    lens = [1] * len(lens)  # a window of so many words
    limit = data.draw(st.integers(overlap, overlap + 20))
    windows = cut_windows(lens, limit, overlap)
    merged = merge_windows(windows, [inside(gold, window) for window in windows])
    assert merged.keys() == set(gold)


@settings(max_examples=300, deadline=None)
@given(passages(), st.integers(4, 40), st.one_of(st.none(), st.integers(0, 12)))
def test_windows_cover_all_words_and_hold_what_they_may(
    passage: tuple[list[int], list[Entity]], limit: int, overlap: int | None
) -> None:
    lens, _ = passage
    windows = cut_windows(lens, limit, overlap)
    assert windows[0].start == 0 and windows[-1].end == len(lens)
    assert all(sum(lens[start:end]) <= limit and start < end for start, end in windows)
    for left, right in pairwise(windows):
        assert left.start < right.start <= left.end < right.end
        if overlap is not None and left.end - right.start < overlap:
            assert sum(lens[right.start - 1 : left.end + 1]) > limit  # one word more would not have fitted


@settings(max_examples=500, deadline=None)
@given(passages(), st.data())
def test_entities_cut_off_by_a_seam_are_left_out(passage: tuple[list[int], list[Entity]], data: st.DataObject) -> None:
    """A model that also finds what a window shows of an entity that goes on beyond it: here entities do not touch."""
    lens, entities = passage
    gold: list[Entity] = []
    for entity in entities:
        if all(entity.end < other.start or other.end < entity.start for other in gold):
            gold.append(entity)
    overlap = longest(gold) + 1
    windows = cut_windows([1] * len(lens), data.draw(st.integers(overlap + 1, overlap + 20)), overlap)
    found = []
    for window in windows:
        shown = {one: tuple(Segment(max(s, window.start), min(e, window.end)) for s, e in one.segments) for one in gold}
        parts = {one: tuple(part for part in segments if part.start < part.end) for one, segments in shown.items()}
        found.append({Entity(one.label, segments): 0.5 for one, segments in parts.items() if segments})
    assert merge_windows(windows, found).keys() == set(gold)


def test_the_window_that_shows_more_around_an_entity_decides() -> None:
    windows = cut_windows([1] * 10, limit=6, overlap=4)
    assert windows == [Segment(0, 6), Segment(2, 8), Segment(4, 10)]
    middle, edge = Entity("A", (Segment(4, 5),)), Entity("A", (Segment(5, 6),))
    found = [{middle: 0.1, edge: 0.1}, {middle: 0.2}, {middle: 0.3, edge: 0.3}]
    assert merge_windows(windows, found) == {middle: 0.2}  # the second shows two words around ``edge``, and has it not


@pytest.mark.parametrize("overlap", [0, 3, None])
def test_words_as_long_as_the_window(overlap: int | None) -> None:
    assert cut_windows([4, 4, 4], 4, overlap) == [Segment(0, 1), Segment(1, 2), Segment(2, 3)]
