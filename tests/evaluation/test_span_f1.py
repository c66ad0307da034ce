"""Both countings, labels, subsets, exact sentences, processes."""

from __future__ import annotations

import json
import random

import pytest

from genner.data.schema import Entity, Example
from genner.evaluation.span_f1 import SpanF1, entity_surfaces


def entity(label: str, *offsets: int) -> Entity:
    return Entity.from_flat(label, offsets)


KNEE = entity("BODY", 3, 4)
PAIN_IN_KNEE = entity("SYMPTOM", 0, 4)
PAIN_IN_HIP = entity("SYMPTOM", 0, 3, 5, 6)
HIP = entity("BODY", 5, 6)
ADA = entity("PER", 8, 9)


def test_perfect_and_empty() -> None:
    metric = SpanF1()
    metric.update([KNEE, ADA], [ADA, KNEE])
    report = metric.compute()
    assert (report.micro.f, report.micro.strict_f, report.micro.em) == (100.0, 100.0, 100.0)
    assert SpanF1().compute().f == 0.0
    nothing = SpanF1()
    nothing.update([], [])
    assert (nothing.compute().micro.f, nothing.compute().micro.em) == (0.0, 100.0)


def test_label_and_every_segment_must_agree() -> None:
    metric = SpanF1()
    metric.update([PAIN_IN_HIP], [entity("SYMPTOM", 0, 6), entity("BODY", 0, 3, 5, 6), entity("SYMPTOM", 0, 3)])
    assert metric.compute().counts["tp"] == 0


def test_repetitions_and_malformed_groups_are_forgiven_by_the_reference_only() -> None:
    metric = SpanF1()
    rejected = [("empty", (2,)), ("order", (9, 7, 2)), ("open", (7,)), ("unaligned", (8, 2)), ("unaligned", (8, 2))]
    metric.update([KNEE, ADA], [KNEE, KNEE, KNEE, HIP, HIP], rejected=rejected)
    report = metric.compute()
    # reference: KNEE right; HIP and the unaligned key wrong, once each
    assert (report.counts["tp"], report.counts["fp"], report.counts["fn"]) == (1, 2, 1)
    # strict: two more KNEE, two HIP, five rejects
    assert (report.counts["strict_fp"], report.counts["duplicates"]) == (9, 3)
    assert (report.micro.pre, report.micro.strict_pre) == (33.33, 10.0)
    assert report.micro.rec == report.micro.strict_rec == 50.0
    assert report.rejected == {"empty": 1, "open": 1, "order": 1, "unaligned": 2}
    assert report.per_label["BODY"].strict_pre == 20.0, "rejects have no label, repetitions have one"


def test_equal_keys_of_two_sentences_are_two_mistakes() -> None:
    metric = SpanF1()
    for _ in range(2):
        metric.update([], [], rejected=[("bos", (7, 0)), ("unaligned", (7, 0))])
    assert metric.compute().counts["fp"] == 2


def test_gold_repetitions_count_once() -> None:
    metric = SpanF1()
    metric.update([KNEE, KNEE], [KNEE])
    assert metric.compute().counts["fn"] == 0
    assert metric.compute().micro.support == 1
    assert metric.compute().micro.em == 100.0


@pytest.mark.parametrize(
    ("predicted", "rejected", "exact", "expected"),
    [
        ([ADA, KNEE], [], None, 100.0),
        ([KNEE, ADA], [], False, 0.0),
        ([KNEE, ADA, ADA], [], None, 0.0),
        ([KNEE, ADA], [("empty", ())], None, 0.0),
        ([KNEE], [], None, 0.0),
        ([KNEE], [], True, 100.0),
    ],
)
def test_exact_sentences(predicted: list, rejected: list, exact: bool | None, expected: float) -> None:
    metric = SpanF1()
    metric.update([KNEE, ADA], predicted, rejected=rejected, exact=exact)
    assert metric.compute().micro.em == expected


def test_per_label_holds_labels_that_were_only_predicted() -> None:
    metric = SpanF1()
    metric.update([KNEE, ADA], [KNEE, entity("LOC", 8, 9)])
    metric.update([ADA], [ADA])
    labels = metric.compute().per_label
    assert list(labels) == ["BODY", "LOC", "PER"]
    assert (labels["PER"].rec, labels["PER"].pre, labels["PER"].support, labels["PER"].em) == (50.0, 100.0, 2, 50.0)
    assert (labels["LOC"].f, labels["LOC"].support, labels["LOC"].predicted) == (0.0, 0, 1)


@pytest.mark.parametrize(
    ("entities", "supports"),
    [
        ([ADA, KNEE], {"flat": 2}),
        ([KNEE, PAIN_IN_KNEE], {"nested": 2, "overlapping": 2}),
        # both symptoms cross; knee lies in the first, hip in the second
        (
            [KNEE, HIP, PAIN_IN_KNEE, PAIN_IN_HIP],
            {"nested": 4, "overlapping": 4, "discontinuous": 1},
        ),
        ([entity("A", 0, 3), entity("A", 2, 5)], {"overlapping": 2}),
        ([entity("A", 0, 3), entity("B", 0, 3)], {"overlapping": 2}),
        ([entity("A", 0, 1, 2, 3), entity("A", 1, 2)], {"discontinuous": 1, "flat": 1}),
        ([entity("A", 0, 1, 2, 3), entity("A", 0, 3)], {"discontinuous": 1, "nested": 2, "overlapping": 2}),
        ([KNEE, KNEE], {"flat": 1}),
    ],
)
def test_subsets(entities: list[Entity], supports: dict[str, int]) -> None:
    metric = SpanF1()
    metric.update(entities, [])
    found = {name: scores.support for name, scores in metric.compute().subsets.items() if scores.support}
    assert found == supports


def test_subset_precision_looks_at_the_predictions_own_structure() -> None:
    metric = SpanF1()
    metric.update([KNEE, PAIN_IN_KNEE], [KNEE, ADA])
    subsets = metric.compute().subsets
    # among predictions KNEE overlaps nothing; it is right as a flat one and found as a nested one
    assert (subsets["flat"].pre, subsets["flat"].predicted, subsets["flat"].support) == (50.0, 2, 0)
    assert (subsets["nested"].rec, subsets["nested"].predicted, subsets["nested"].support) == (50.0, 0, 2)


def test_unseen_surfaces() -> None:
    train = [Example(("Knee", "and", "hip"), (entity("BODY", 0, 1),))]
    assert entity_surfaces(train) == {"knee"}
    metric = SpanF1(seen_surfaces=entity_surfaces(train))
    words = ("my", "knee", "and", "Hip")
    metric.update([entity("BODY", 1, 2), entity("BODY", 3, 4)], [entity("BODY", 3, 4)], words=words)
    unseen = metric.compute().subsets["unseen"]
    assert (unseen.support, unseen.predicted, unseen.f) == (1, 1, 100.0)
    assert "unseen" not in SpanF1().compute().subsets


def test_rounding_is_the_references() -> None:
    """45 of 96 is 0.46875: the reference's small term makes it 46.87."""
    metric = SpanF1()
    gold = [entity("A", start, start + 1) for start in range(96)]
    metric.update(gold, gold[:45])
    assert metric.compute().micro.rec == 46.87


def test_states_add_up() -> None:
    rng = random.Random(3)
    pool = [KNEE, HIP, PAIN_IN_KNEE, PAIN_IN_HIP, ADA, entity("LOC", 6, 8)]
    together, parts = SpanF1(), [SpanF1(), SpanF1(), SpanF1()]
    for number in range(60):
        gold, predicted = rng.choices(pool, k=3), rng.choices(pool, k=rng.randrange(4))
        rejected = [("bos", number)] * rng.randrange(3)
        for metric in (together, parts[number % 3]):
            metric.update(gold, predicted, rejected=rejected)
    merged = SpanF1()
    for part in parts:
        merged.merge(json.loads(json.dumps(part.state())))
    assert merged.compute() == together.compute()
    assert 0 < merged.compute().f < 100


def test_to_dict_has_the_documented_keys() -> None:
    metric = SpanF1()
    metric.update([KNEE], [KNEE, KNEE])
    scores = metric.compute().to_dict()
    assert {"f", "pre", "rec", "em", "strict_f", "strict_pre", "strict_rec", "support"} <= set(scores)
    assert {"counts", "rejected", "per_label"} <= set(scores)
    assert set(scores["subsets"]) == {"flat", "nested", "discontinuous", "overlapping"}
    for group in (scores["per_label"]["BODY"], scores["subsets"]["flat"]):
        assert {"f", "pre", "rec", "em", "strict_f"} <= set(group)
    assert scores["per_label"]["BODY"]["strict_pre"] == 50.0
    assert json.loads(json.dumps(scores)) == scores
