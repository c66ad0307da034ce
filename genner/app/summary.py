"""What a run prints at its end: scores, a few sentences with their entities marked, and where everything lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from genner.app.prediction_files import JudgedSentence, read_predictions
from genner.data.schema import Entity
from genner.evaluation.report import score_table
from genner.evaluation.terminal import Style, render_sentence

__all__ = ["run_summary", "sample_sentences"]

_LONGEST_SAMPLE = 40  # words
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
    drawn = [render_sentence(row.words, row.predicted, style, gold=row.gold) for row in _pick(predictions)]
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


def _pick(path: Path) -> Iterator[JudgedSentence]:
    """Sentences that differ in what they show: discontinuous, nested, several entities, an error."""
    wanted = (
        lambda row: any(entity.is_discontinuous for entity in row.gold),
        lambda row: _overlaps(row.gold),
        lambda row: len(row.gold) > 2,
        lambda row: set(row.gold) != set(row.predicted),
        lambda row: bool(row.gold),
    )
    rows = [row for row in read_predictions(path) if len(row.words) <= _LONGEST_SAMPLE]
    chosen: list[JudgedSentence] = []
    for is_wanted in wanted:
        chosen += islice((row for row in rows if row not in chosen and is_wanted(row)), 1)
    yield from chosen


def _overlaps(entities: list[Entity]) -> bool:
    words = [index for entity in entities for index in entity.word_indices()]
    return len(set(words)) < len(words)
