"""Groups are counted as the metric counts its subsets; the groups of an axis add up to the whole."""

from __future__ import annotations

import random

import pytest

from genner.data.schema import Entity, Segment
from genner.evaluation.breakdown import AXES, Breakdown, f1_percent
from genner.evaluation.span_f1 import SpanF1


def by_group(breakdown: Breakdown, axis: str) -> dict:
    return {row["group"]: row for row in breakdown.compute()[axis]}


def test_place_is_that_in_canonical_order() -> None:
    first, second, third = (Entity.from_flat("A", span) for span in ([0, 1], [2, 5], [2, 6]))
    breakdown = Breakdown()
    breakdown.update([third, first, second, first], [first, third], n_words=7)
    rows = by_group(breakdown, "position")
    assert [(row["gold"], row["rec"]) for row in rows.values()] == [(1, 100.0), (1, 0.0), (1, 100.0)]
    assert "f" not in rows["1"]


def test_places_beyond_the_last_share_a_group() -> None:
    entities = [Entity.from_flat("A", [start, start + 1]) for start in range(12)]
    breakdown = Breakdown()
    breakdown.update(entities, entities[:9], n_words=12)
    rows = by_group(breakdown, "position")
    assert list(rows) == [*map(str, range(1, 9)), "9 or more"]
    assert rows["9 or more"]["gold"] == 4 and rows["9 or more"]["rec"] == 25.0


def test_depth_counts_what_lies_around() -> None:
    outer, middle, inner = (Entity.from_flat("A", span) for span in ([0, 6], [0, 4], [1, 2]))
    crossing, twin = Entity.from_flat("A", [3, 8]), Entity.from_flat("B", [1, 2])
    breakdown = Breakdown()
    breakdown.update([outer, middle, inner, crossing, twin], [], n_words=9)
    assert {name: row["gold"] for name, row in by_group(breakdown, "nesting depth").items()} == {"0": 2, "1": 1, "2": 2}


def test_lengths_segments_and_sentences() -> None:
    split = Entity.from_flat("A", [0, 2, 3, 4, 6, 10])
    breakdown = Breakdown()
    breakdown.update([split], [Entity.from_flat("A", [0, 2])], n_words=61)
    lengths = by_group(breakdown, "entity length")
    assert lengths["6-8"]["gold"] == 1 and lengths["2"]["predicted"] == 1
    assert by_group(breakdown, "segments")["3 or more"]["gold"] == 1
    assert list(by_group(breakdown, "sentence length")) == ["61 or more"]
    assert (breakdown.tp, breakdown.fp, breakdown.fn) == (0, 1, 1)


def test_a_malformed_gold_entity_is_counted() -> None:
    breakdown = Breakdown()
    breakdown.update([Entity("A", (Segment(4, 2),))], [], n_words=5)
    assert by_group(breakdown, "entity length")["1"]["gold"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_groups_add_up_to_the_metric(seed: int) -> None:
    rng = random.Random(seed)
    breakdown, metric = Breakdown(), SpanF1()
    for _ in range(40):
        gold, predicted = ([random_entity(rng) for _ in range(rng.randrange(6))] for _ in range(2))
        breakdown.update(gold, predicted, n_words=12)
        metric.update(gold, predicted)
    report = metric.compute()
    counts = report.counts
    assert (breakdown.tp, breakdown.fp, breakdown.fn) == (counts["tp"], counts["fp"], counts["fn"])
    assert f1_percent(breakdown.tp, breakdown.fp, breakdown.fn) == pytest.approx(report.f, abs=0.006)
    tables = breakdown.compute()
    assert list(tables) == list(AXES)
    for axis, rows in tables.items():
        assert sum(row["gold"] for row in rows) == report.micro.support
        assert sum(row["found"] for row in rows) == counts["tp"]
        if axis != "position":
            assert sum(row["correct"] for row in rows) == counts["tp"]
            assert sum(row["predicted"] for row in rows) == report.micro.predicted
    several = [row for row in tables["segments"] if row["group"] != "1"]
    assert sum(row["gold"] for row in several) == report.subsets["discontinuous"].support


def random_entity(rng: random.Random) -> Entity:
    start = rng.randrange(6)
    spans = [start, start + rng.randrange(1, 3)]
    if rng.random() < 0.3:
        spans += [spans[-1] + 1, spans[-1] + 2]
    return Entity.from_flat(rng.choice("AB"), spans)
