"""What a run prints at its end: scores, a few sentences with their entities marked, and where everything lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from data.schema import Entity, Segment
from evaluation.report import score_table
from evaluation.terminal import Style, render_sentence

__all__ = ["run_summary", "sample_sentences"]

_N_SAMPLES = 5
_SHOWN = (("dev_f", "dev F1"), ("test_f", "test F1"), ("test_strict_f", "test strict F1"), ("test_em", "test exact"))


def run_summary(result: Mapping[str, Any]) -> str:
    """The test table of every seed, and mean and standard deviation where there are several."""
    parts = [
        score_table(seed["test"], f"test, seed {seed['seed']}, best epoch {seed['best_epoch']}")
        for seed in result["seeds"]
        if seed["test"]
    ]
    return "\n\n".join([*parts, _seeds(result), *_reported(result["reported"])])


def sample_sentences(predictions: Path, style: Style) -> str:
    """A few sentences of a ``predictions.<split>.jsonl`` with their entities marked, of every structure if possible."""
    rows = list(_pick(predictions))
    drawn = [render_sentence(words, found, style, gold=gold) for words, found, gold in rows]
    return "\n\n".join(drawn)


def _seeds(result: Mapping[str, Any]) -> str:
    mean, std = result["mean"], result["std"]
    n_ok, n_collapsed = result["n_ok"], result["n_collapsed"]
    scores = [f"{title} {mean[key]:.2f} ± {std[key]:.2f}" for key, title in _SHOWN if key in mean]
    lost = {"collapsed": n_collapsed, "failed": result["n_failed"]}
    left_out = "".join(f"; {count} {what} and left out" for what, count in lost.items() if count)
    seeds = f"{n_ok} seed{'s' * (n_ok != 1)}"
    lines = [f"mean ± standard deviation over {seeds}{left_out}: {', '.join(scores) or 'no scores'}"]
    ranges = [
        f"{title} {result['min'][key]:.2f} to {result['max'][key]:.2f}, 95 % interval of the mean "
        f"{result['ci95'][key][0]:.2f} to {result['ci95'][key][1]:.2f}"
        for key, title in _SHOWN
        if key in result["ci95"]
    ]
    if n_collapsed and mean:
        with_them = result["mean_with_collapsed"]
        scores = [f"{title} {with_them[key]:.2f}" for key, title in _SHOWN if key in with_them]
        ranges.append(f"with those that collapsed: {', '.join(scores)}")
    return "\n".join([*lines, *(f"  {text}" for text in ranges)])


def _reported(reported: Mapping[str, Any]) -> list[str]:
    """Published scores, as they stand in the recipe."""
    if not reported:
        return []
    return ["reported: " + "; ".join(f"{name} {values}" for name, values in reported.items())]


def _pick(path: Path) -> Iterator[tuple[list[str], list[Entity], list[Entity]]]:
    """Sentences that differ in what they show: discontinuous, nested, several entities, an error."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    wanted = (
        lambda row: any(len(entity["spans"]) > 1 for entity in row["gold"]),
        lambda row: _overlaps(row["gold"]),
        lambda row: len(row["gold"]) > 2,
        lambda row: _keys(row["gold"]) != _keys(row["pred"]),
        lambda row: bool(row["gold"]),
    )
    chosen: list[dict[str, Any]] = []
    for is_wanted in wanted:
        fresh = (row for row in rows if row not in chosen and len(row["raw_words"]) <= 40 and is_wanted(row))
        chosen += islice(fresh, 1)
    for row in chosen[:_N_SAMPLES]:
        yield row["raw_words"], [_entity(item) for item in row["pred"]], [_entity(item) for item in row["gold"]]


def _entity(item: Mapping[str, Any]) -> Entity:
    return Entity(item["type"], tuple(Segment(*span) for span in item["spans"]))


def _keys(items: list[dict[str, Any]]) -> set[Entity]:
    return {_entity(item) for item in items}


def _overlaps(items: list[dict[str, Any]]) -> bool:
    words = [index for item in items for index in _entity(item).word_indices()]
    return len(set(words)) < len(words)
