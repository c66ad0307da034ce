"""What a run prints at its end: its scores, and a few sentences with their entities marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from genner.app.prediction_files import JudgedSentence, read_predictions
from genner.data.schema import Entity
from genner.evaluation.report import score_table
from genner.evaluation.spread import Spread, mean_text, spread_over_seeds
from genner.evaluation.terminal import Style, render_sentence

__all__ = ["run_summary", "sample_sentences"]

_LONGEST_SAMPLE = 40  # words
_SHOWN = (
    ("dev", "f", "dev F1"),
    ("test", "f", "test F1"),
    ("test", "strict_f", "test strict F1"),
    ("test", "em", "test exact"),
)


def run_summary(result: Mapping[str, Any]) -> str:
    """The test scores of every seed, and the mean and standard deviation of several."""
    parts = [
        score_table(seed["test"], f"test, seed {seed['seed']}, best epoch {seed['best_epoch']}")
        for seed in result["seeds"]
        if seed["test"]
    ]
    return "\n\n".join([*parts, _seeds(result), *_reported(result["reported"])])


def sample_sentences(predictions: Path, style: Style) -> str:
    """A few sentences of a file of predictions with their entities marked, showing every structure if possible."""
    drawn = [render_sentence(row.words, row.predicted, style, gold=row.gold) for row in _pick(predictions)]
    return "\n\n".join(drawn)


def _seeds(result: Mapping[str, Any]) -> str:
    spreads, n_ok = _shown(result["seeds"]), result["n_ok"]
    lost = {"collapsed": result["n_collapsed"], "failed": result["n_failed"]}
    left_out = "".join(f"; {count} {what} and left out" for what, count in lost.items() if count)
    title = "scores" if n_ok == 1 else f"mean ± standard deviation over {n_ok} seeds"
    lines = [f"{title}{left_out}: {_listed(spreads) or 'no scores'}"]
    lines += [
        f"  {name} {spread['min']:.2f} to {spread['max']:.2f}, 95 % confidence interval of the mean "
        f"{spread['low']:.2f} to {spread['high']:.2f}"
        for name, spread in spreads.items()
        if spread["n"] > 1
    ]
    if result["n_collapsed"] and spreads:
        lines.append(f"  including collapsed seeds: {_listed(_shown(result['seeds'], ('ok', 'collapsed')))}")
    return "\n".join(lines)


def _shown(seeds: Sequence[Mapping[str, Any]], statuses: Sequence[str] = ("ok",)) -> dict[str, Spread]:
    found = spread_over_seeds(seeds, statuses)
    return {title: found[split][name] for split, name, title in _SHOWN if name in found[split]}


def _listed(spreads: Mapping[str, Spread]) -> str:
    return ", ".join(f"{name} {mean_text(spread)}" for name, spread in spreads.items())


def _reported(reported: Mapping[str, Any]) -> list[str]:
    """Published scores, as given in the recipe."""
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
