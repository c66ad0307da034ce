"""The tables of a run's report, made from what `genner.app.run_data` collects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from genner.evaluation.report import REASONS
from genner.evaluation.spread import MEASURES, mean_text, score_text
from genner.evaluation.tables import Table

__all__ = ["plain_value", "published_scores", "published_table", "run_tables", "search_table"]

_NAMES = {
    "pre": "P", "rec": "R", "f": "F1", "strict_pre": "strict P", "strict_rec": "strict R", "strict_f": "strict F1",
    "em": "exact sentences",
}  # fmt: skip
_COUNTS = {
    "forced": "symbols forced", "repeated": "entities repeated", "left_out": "entities left out for low scores",
}  # fmt: skip
_PUBLISHED = ("span", "bpe", "word", "span_bpe", "discontinuous_only")
_STRUCTURE = (
    "nested: lies inside another entity or contains one; overlapping: shares a word in any way; flat: one segment and "
    "no shared word; seen and unseen: whether the training split has an entity with the same words, ignoring case. An "
    "entity may be in several subsets."
)
_AXIS_NOTES = {
    "position": "Recall of the first, second, ... gold entity of a sentence, in the order of the targets.",
    "entity length": "Words covered by the entity.",
    "segments": "Contiguous parts of the entity.",
    "nesting depth": "Number of nested entities around it; 0 if it lies inside no other.",
    "sentence length": "Words in the sentence.",
}


def run_tables(data: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of the report, in order, without those that would be empty."""
    yield _seed_table(data)
    yield _score_table(data, "scores", f"Scores over {_count(data['n_ok'], 'ok seed')}")
    if data["n_collapsed"]:
        total = data["n_ok"] + data["n_collapsed"]
        title = f"Scores over {_count(total, 'seed')} including collapsed ones"
        yield _score_table(data, "scores_with_collapsed", title)
    if data["reported"]:
        yield published_table(data)
    if data["per_label"]:
        yield _group_table(data["per_label"], f"Labels, {data['split']}", "label", "")
    if data["subsets"]:
        yield _group_table(data["subsets"], f"Subsets, {data['split']}", "subset", _STRUCTURE)
    if data["calibration"]:
        yield _calibration_table(data)
    if data["searches"]:
        yield search_table(data["searches"], data["split"])
    for axis, rows in data["breakdown"].items():
        if len(rows) > 1 or (rows and axis != "segments" and axis != "nesting depth"):
            yield _axis_table(axis, rows, data["split"])
    if data["errors"]:
        yield _error_table(data)


def published_scores(reported: Mapping[str, Any], key: str) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1 under a key of the recipe's ``reported:``; a single number is F1.

    Three Nones if the key is neither a target type nor ``discontinuous_only``, as its numbers mean something else.
    """
    value = reported.get(key) if key in _PUBLISHED else None
    if isinstance(value, (list, tuple)) and len(value) == 3 and all(map(_is_number, value)):
        return tuple(map(float, value))
    return None, None, float(value) if _is_number(value) else None


def published_table(data: Mapping[str, Any]) -> Table:
    """Our scores beside the published ones: of all target types, of discontinuous entities alone, and others."""
    ours = {"discontinuous_only": next((row for row in data["subsets"] if row["group"] == "discontinuous"), None)}
    ours[data["run"]["target"]] = data["scores"][data["split"]] or None
    if data["split"] != "test":  # published scores are those of test
        ours = {}
    rows, others = [], []
    for key, value in data["reported"].items():
        published = published_scores(data["reported"], key)
        if published[2] is None:
            others.append(f"{key}: {plain_value(value)}")
            continue
        mine = ours.get(key)
        scores = [mean_text(mine and mine.get(name)) for name in ("pre", "rec", "f")]
        delta = f"{mine['f']['mean'] - published[2]:+.2f}" if mine else "-"
        rows.append([key.replace("_", " "), *scores, *(score_text(score) for score in published), delta])
    note = f"Also reported: {'; '.join(others)}." if others else ""
    header = ["target", "P", "R", "F1", "published P", "published R", "published F1", "Δ F1"]
    return Table("Comparison with published scores", header, rows, note=note)


def _seed_table(data: Mapping[str, Any]) -> Table:
    scores = ["dev F1", "test F1", "test strict F1", "test exact"]
    header = ["seed", "status", "best epoch", *scores, "minutes", "collapsed attempts"]
    rows = []
    for seed in data["seeds"]:
        scores = [score_text(seed[key]) for key in ("dev_f", "test_f", "test_strict_f", "test_em")]
        counts = f"{seed['train_seconds'] / 60:.1f}", str(seed["collapsed_attempts"])
        rows.append([str(seed["seed"]), seed["status"], str(seed["best_epoch"]), *scores, *counts])
    reasons = [f"seed {seed['seed']}: {reason}" for seed in data["seeds"] for reason in seed["reasons"]]
    return Table("Seeds", header, rows, n_left=2, note=f"Collapsed attempts: {'; '.join(reasons)}." if reasons else "")


def _score_table(data: Mapping[str, Any], key: str, title: str) -> Table:
    rows: list[Sequence[str] | None] = []
    for split, measures in data[key].items():
        if measures and rows:
            rows.append(None)
        for measure in MEASURES:
            if measure in measures:
                rows.append([f"{split} {_NAMES[measure]}", *_spread_cells(measures[measure])])
    note = (
        "P, R and F1 are counted like the published scores (duplicates once, malformed groups forgiven); strict counts "
        "every duplicate and malformed group as wrong. The interval is Student's t for the mean over seeds."
    )
    header = ["score", "mean", "std", "min", "max", "95 % confidence interval"]
    return Table(title, header, rows, note=note if rows else "No scores.")


def _spread_cells(spread: Mapping[str, Any]) -> list[str]:
    interval = "-" if spread["low"] is None else f"{spread['low']:.2f} to {spread['high']:.2f}"
    return [*(score_text(spread[name]) for name in ("mean", "std", "min", "max")), interval]


def _group_table(groups: Sequence[Mapping[str, Any]], title: str, what: str, note: str) -> Table:
    measures = ("pre", "rec", "f", "strict_f")
    rows = []
    for row in groups:
        is_empty = not row["support"] and not row["predicted"]
        scores = ["-" if is_empty or name not in row else mean_text(row[name]) for name in measures]
        rows.append([row["group"], *scores, f"{row['support']:,}", _amount(row["predicted"])])
    return Table(title, [what, *(_NAMES[name] for name in measures), "gold", "predicted"], rows, note=note)


def _calibration_table(data: Mapping[str, Any]) -> Table:
    found = data["calibration"]
    rows = []
    for state, errors in found["errors"].items():
        if errors:
            share = _share_right(found["bins"][state])
            rows.append([state, *(mean_text(errors[name], ".4f") for name in ("ece", "brier")), *share])
    fitted = [
        f"seed {row['seed']}: temperature {row['temperature']:.3f}, shift {row['shift']:+.3f}, "
        f"doubt {row['doubt']:g} ({row['n_fitted']:,} entities)"
        for row in found["seeds"]
        if row["temperature"] is not None
    ]
    missing = "Not calibrated: this requires scores on dev and on another split."
    origin = f"Calibrated on dev, {'; '.join(fitted)}." if fitted else missing
    note = (
        "ECE: mean difference between score and share of correct entities in bins of equal mass (Guo et al., 2017); "
        f"Brier: mean squared difference between score and 0 or 1. Lower is better. {origin}"
    )
    header = ["scores", "ECE", "Brier", "mean score", "share correct"]
    return Table(f"Entity scores, {data['split']}", header, rows, note=note)


def _share_right(bins: Sequence[Mapping[str, Any]]) -> list[str]:
    """Over all bins: the mean score, and the share of correct entities."""
    total = sum(row["n"] for row in bins)
    return [f"{sum(row['n'] * row[name] for row in bins) / total:.4f}" for name in ("mean_score", "share_right")]


def search_table(searches: Mapping[str, Any], split: str) -> Table:
    """Ways of searching side by side: scores, and what the search did to keep to its rules, as means per seed."""
    rows: list[Sequence[str] | None] = [
        [_NAMES[name], *(mean_text(way["scores"][name]) for way in searches.values())]
        for name in ("pre", "rec", "f", "strict_f", "em")
    ]
    rows.append(["predicted", *(_amount(way["predicted"]) for way in searches.values())])
    for name in dict.fromkeys(chain.from_iterable(way["counts"] for way in searches.values())):
        counts = (way["counts"].get(name) for way in searches.values())
        title = _COUNTS.get(name) or f"groups dropped: {REASONS.get(name, name)}"
        rows.append([title, *("-" if n is None else _amount(n) for n in counts)])
    note = (
        "default: with what was decided on dev; plain: before that, everything forced and nothing left out. Forced: "
        "another symbol than the most probable one was written, which would have led to no entity. Counts are means "
        "over seeds. A model trained with pointer.masked relies on the constraint: without it, its scores are low."
    )
    return Table(f"Ways of searching, {split}", ["", *searches], rows, note=note)


def _axis_table(axis: str, rows: Sequence[Mapping[str, Any]], split: str) -> Table:
    if axis == "position":
        cells = [[row["group"], mean_text(row["rec"]), _amount(row["found"]), f"{row['gold']:,}"] for row in rows]
        header = ["position in the output", "R", "found", "gold"]
        return Table(f"Recall by position in the output, {split}", header, cells, note=_AXIS_NOTES[axis])
    cells = []
    for row in rows:
        # There is no recall without gold entities and no precision without predictions: a dash rather than 0.
        is_known = {"pre": row["predicted"], "rec": row["gold"], "f": row["gold"]}
        scores = [mean_text(row[name]) if known else "-" for name, known in is_known.items()]
        cells.append([row["group"], *scores, f"{row['gold']:,}", _amount(row["predicted"])])
    return Table(f"F1 by {axis}, {split}", [axis, "P", "R", "F1", "gold", "predicted"], cells, note=_AXIS_NOTES[axis])


def _error_table(data: Mapping[str, Any]) -> Table:
    rows = []
    for row in data["errors"]:
        rows.append([row["kind"], row["definition"], mean_text(row["count"], ",.1f"), f"{row['share']:.1f}"])
    note = (
        "Mean number per seed. Each wrong prediction and each missed gold entity has exactly one kind; the first five "
        "kinds pair the two. All kinds except spurious add up to the false negatives, all except missed to the false "
        "positives."
    )
    return Table(
        f"Kinds of errors, {data['split']}", ["kind", "definition", "errors", "%"], rows, n_left=2, note=note, wrapped=1
    )


def _amount(value: float) -> str:
    """A mean of counts, without decimals if it is whole."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"


def plain_value(value: Any) -> str:
    """A reported value that is not a score, as text."""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
