"""The metric in reference counting gives the recorded counts and scores, from recorded symbols; no model needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from genner.data.codecs.pointer import BOS, EOS, PointerCodec, PointerVocab
from genner.data.schema import Entity, Segment
from genner.evaluation.span_f1 import F1Report, SpanF1

Row = tuple[Sequence[int], Sequence[int], Sequence[Sequence[int]]]


def score(rows: Iterator[Row] | list[Row], unit: str, n_labels: int) -> F1Report:
    """Score rows of (predicted symbols, target symbols, target groups); every piece counts as a word of its own.

    The reference compares groups of symbols, and with one word per piece equal groups are equal entities.
    """
    codec = PointerCodec(PointerVocab(tuple(f"label{number}" for number in range(n_labels))), unit, compat=True)
    metric = SpanF1()
    for predicted, target, groups in rows:
        largest = max(predicted, default=0), max(target, default=0), *map(max, groups)
        bounds = range(max(largest) + 2)
        decoded = codec.decode(predicted, bounds)
        gold = [gold_entity(codec, group, bounds) for group in groups]
        exact = until_eos(predicted) == until_eos(target)
        metric.update(gold, decoded.entities, rejected=decoded.rejected, exact=exact)
    return metric.compute()


def gold_entity(codec: PointerCodec, group: Sequence[int], bounds: Sequence[int]) -> Entity:
    """The entity of a gold group; like the reference, it accepts the pointers of ``span`` in any order."""
    if codec.unit == "span":
        words = [symbol - codec.vocab.shift for symbol in group[:-1]]
        segments = zip(words[::2], words[1::2], strict=True)
        return Entity(codec.vocab.label_of(group[-1]), tuple(Segment(first, last + 1) for first, last in segments))
    (entity,) = codec.decode([BOS, *group, EOS], bounds).entities
    return entity


def until_eos(symbols: Sequence[int]) -> list[int]:
    symbols = list(symbols)
    return symbols[: symbols.index(EOS) + 1] if EOS in symbols else symbols


def check(report: F1Report, counts: dict[str, int], result: dict[str, float]) -> None:
    assert {name: report.counts[name] for name in counts} == counts
    scores = {"f": report.micro.f, "rec": report.micro.rec, "pre": report.micro.pre, "em": report.micro.em / 100}
    assert {name: scores[name] for name in result} == pytest.approx(result, abs=1e-9)


def test_hand_made_cases(parity_dir: Path) -> None:
    cases = json.loads((parity_dir / "metric_hand.json").read_text(encoding="utf-8"))["cases"]
    assert len(cases) >= 20
    for case in cases:
        rows = [
            row
            for batch in case["batches"]
            for row in zip(batch["pred"], batch["tgt_tokens"], batch["target_span"], strict=True)
        ]
        try:
            check(score(rows, case["target_type"], case["num_labels"]), case["counts"], case["result"])
        except AssertionError as error:
            raise AssertionError(f"case {case['name']!r}: {error}") from error


@pytest.mark.parametrize("kind", ["flat", "nested", "disc"])
def test_recorded_generations(parity_dir: Path, kind: str) -> None:
    recorded = json.loads((parity_dir / f"generation_{kind}.json").read_text(encoding="utf-8"))
    runs = [run for run in recorded["runs"] if run["length_penalty"] == 1 or run["num_beams"] > 1]
    assert len(runs) >= 4
    for run in runs:
        predicted = [row for batch in run["pred"] for row in batch]
        rows = list(zip(predicted, recorded["tgt_tokens"], recorded["target_span"], strict=True))
        check(score(rows, recorded["target_type"], recorded["num_labels"]), run["counts"], run["metric"])


def test_the_defective_greedy_runs_are_scored_as_recorded_too(parity_dir: Path) -> None:
    """Their symbols are wild, which is what a metric must survive."""
    n_runs = 0
    for kind in ("flat", "nested", "disc"):
        recorded = json.loads((parity_dir / f"generation_{kind}.json").read_text(encoding="utf-8"))
        for run in recorded["runs"]:
            if run["length_penalty"] != 1 and run["num_beams"] == 1:
                predicted = [row for batch in run["pred"] for row in batch]
                rows = list(zip(predicted, recorded["tgt_tokens"], recorded["target_span"], strict=True))
                check(score(rows, recorded["target_type"], recorded["num_labels"]), run["counts"], run["metric"])
                n_runs += 1
    assert n_runs == 12
