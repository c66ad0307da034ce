"""Every mistake has one kind, and the kinds add up to the false positives and false negatives."""

from __future__ import annotations

import random

import pytest

from genner.data.schema import Entity
from genner.evaluation.errors_table import KINDS, ErrorTable, classify_errors


def entity(label: str, *spans: int) -> Entity:
    return Entity.from_flat(label, spans)


@pytest.mark.parametrize(
    ("kind", "gold", "predicted"),
    [
        ("type", entity("A", 1, 3), entity("B", 1, 3)),
        ("type", entity("A", 1, 3, 5, 6), entity("B", 1, 3, 5, 6)),
        ("boundary", entity("A", 1, 3), entity("A", 2, 4)),
        ("boundary+type", entity("A", 1, 3), entity("B", 1, 2)),
        ("fragment missing", entity("A", 1, 3, 5, 6), entity("A", 1, 3)),
        ("fragment missing", entity("A", 1, 2, 3, 4, 5, 6), entity("A", 1, 2, 5, 6)),
        ("gap filled", entity("A", 1, 3, 5, 6), entity("A", 1, 6)),
        ("boundary", entity("A", 1, 3, 5, 6), entity("A", 1, 2)),  # a part of a segment
        ("boundary", entity("A", 1, 3), entity("A", 1, 3, 5, 6)),  # a fragment too much
        ("boundary", entity("A", 1, 3, 5, 6), entity("A", 1, 3, 5, 7)),
        ("boundary+type", entity("A", 1, 3, 5, 6), entity("B", 1, 3)),
    ],
)
def test_kinds_of_pairs(kind: str, gold: Entity, predicted: Entity) -> None:
    assert classify_errors([gold], [predicted]) == [(kind, gold, predicted)]


def test_without_a_shared_word_nothing_is_paired() -> None:
    gold, predicted = entity("A", 0, 1, 2, 3), entity("A", 1, 2)
    assert classify_errors([gold], [predicted]) == [("missed", gold, None), ("spurious", None, predicted)]


def test_what_is_right_is_put_aside() -> None:
    right, extra = entity("A", 0, 4), entity("A", 0, 2)
    assert classify_errors([right], [right, extra, extra]) == [("spurious", None, extra)]
    assert classify_errors([right, extra], [right]) == [("missed", extra, None)]
    assert classify_errors([right, right], [right]) == []


def test_the_better_partner_is_taken() -> None:
    gold = entity("A", 0, 4)
    near, far, other_label = entity("A", 0, 3), entity("A", 3, 7), entity("B", 0, 4)
    assert classify_errors([gold], [far, near]) == [("boundary", gold, near), ("spurious", None, far)]
    assert classify_errors([gold], [near, other_label])[0] == ("type", gold, other_label)


def test_the_kinds_add_up() -> None:
    rng, table, n_wrong, n_unfound = random.Random(3), ErrorTable(), 0, 0
    for number in range(200):
        gold, predicted = ([random_entity(rng) for _ in range(rng.randrange(5))] for _ in range(2))
        table.update([str(n) for n in range(16)], gold, predicted, sentence=number)
        n_wrong += len(set(predicted) - set(gold))
        n_unfound += len(set(gold) - set(predicted))
    assert set(table.counts) == set(KINDS)
    assert table.counts.total() - table.counts["spurious"] == n_unfound
    assert table.counts.total() - table.counts["missed"] == n_wrong
    assert not any(table.examples.values())


def test_examples_differ_in_their_surface() -> None:
    table = ErrorTable(n_examples=2)
    for number, word in enumerate(["plum", "Plum", "fig", "pear"], 1):
        table.update([word, "pie"], [entity("FRUIT", 0, 1)], [], sentence=number)
    assert [example.sentence for example in table.examples["missed"]] == [1, 3]
    assert table.counts == {"missed": 4}


def random_entity(rng: random.Random) -> Entity:
    start = rng.randrange(5)
    spans = [start, start + rng.randrange(1, 5)]
    if rng.random() < 0.5:
        spans += [spans[-1] + 1, spans[-1] + 2]
    return entity(rng.choice("AB"), *spans)
