"""The content of a run's report as plain values: scores over seeds, and details from the files of predictions.

Files of predictions are read sentence by sentence; only counts and the scores of entities are kept for each seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genner.app.prediction_files import predictions_path, read_predictions
from genner.app.score_quality import score_quality
from genner.data.schema import Entity
from genner.evaluation.breakdown import AXES, Breakdown, f1_percent
from genner.evaluation.errors_table import KINDS, ErrorExample, ErrorTable
from genner.evaluation.spread import MEASURES, spread_of, spread_over_seeds

__all__ = ["run_data"]

#: The three kinds of malformed output and the metric's reasons for each; any other reason is a kind of its own.
MALFORMED = {
    "not at word boundaries": ("unaligned",),
    "words out of order": ("order",),
    "incomplete: no words, or no label": ("empty", "open", "bos"),
}
_N_EXAMPLES = 3
_TOLERANCE = 0.011  # for two decimals and the small terms in the metric's fractions


def run_data(run_folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a report shows, ready for JSON.

    Args:
        run_folder: holds ``seed-<n>/predictions.<split>.jsonl``; what is missing is noted.
        result: the ``result.json`` of the run.

    Raises:
        DataFormatError: a file of predictions cannot be read.
    """
    seeds = [dict(seed) for seed in result["seeds"]]
    split = "test" if any(seed.get("test") for seed in seeds) or not seeds else "dev"
    ok = [seed for seed in seeds if seed["status"] == "ok"]
    scored = [seed for seed in seeds if seed.get(split)]
    shown = [seed for seed in ok if seed.get(split)] or scored  # the tables below the scores are based on these
    notes = list(_seed_notes(seeds, ok, shown, split))
    details = _from_predictions(run_folder, shown, split, notes)
    return {
        "run": {
            "name": run_folder.resolve().name,
            "target": result["target"] or "-",
            **{name: result[name] for name in ("dataset", "formulation", "backbone", "command", "versions")},
        },
        "split": split,
        "seeds": [_seed_row(seed) for seed in seeds],
        "n_ok": len(ok),
        "n_collapsed": sum(seed["status"] == "collapsed" for seed in seeds),
        "n_collapsed_attempts": sum(row["collapsed_attempts"] for row in map(_seed_row, seeds)),
        "scores": spread_over_seeds(seeds),
        "scores_with_collapsed": spread_over_seeds(seeds, ("ok", "collapsed")),
        "reported": dict(result["reported"]),
        "per_label": _groups([seed[split].get("per_label") or {} for seed in shown]),
        "subsets": _groups([_subsets(seed[split]) for seed in shown]),
        "malformed": _malformed(shown, split),
        **details,
        "notes": notes,
    }


def _seed_row(seed: Mapping[str, Any]) -> dict[str, Any]:
    collapsed = [attempt for attempt in seed.get("attempts") or [] if attempt.get("status") == "collapsed"]
    scores = {f"{split}_{name}": (seed.get(split) or {}).get(name) for split in ("dev", "test") for name in MEASURES}
    kept = ("seed", "status", "best_epoch", "epochs", "train_seconds", "peak_memory_mb")
    return {
        **{name: seed.get(name) for name in kept},
        **scores,
        "collapsed_attempts": len(collapsed),
        "reasons": [str(attempt.get("reason", "no reason given")) for attempt in collapsed],
    }


def _seed_notes(seeds: Sequence[Mapping], ok: Sequence[Mapping], shown: Sequence[Mapping], split: str) -> Iterable[str]:
    """What the means leave out, and why."""
    others = [f"seed {seed['seed']} ({seed['status']})" for seed in seeds if seed["status"] != "ok"]
    if others:
        yield f"Not ok, so not in the means: {', '.join(others)}."
    without = [str(seed["seed"]) for seed in seeds if not seed.get(split)]
    if without:
        yield f"No scores on {split}: seed {', '.join(without)}."
    if shown and not ok:
        yield "No seed is ok: the tables below the scores are based on the other seeds."


def _groups(seeds: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Labels or subsets over seeds; a group without gold entities and predictions in a seed scores 0 there."""
    names = dict.fromkeys(name for groups in seeds for name in groups)
    rows = []
    for name in names:
        found = [groups.get(name, {}) for groups in seeds]
        measures = [measure for measure in MEASURES if any(measure in group for group in found)]
        rows.append(
            {
                "group": name,
                "support": max(int(group.get("support", 0)) for group in found),
                "predicted": _mean([group.get("predicted", 0) for group in found]),
                **{measure: spread_of([group.get(measure, 0.0) for group in found]) for measure in measures},
            }
        )
    return rows


def _subsets(scores: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The subsets of a split and, if it has the subset ``unseen``, its complement ``seen``."""
    subsets = dict(scores.get("subsets") or {})
    unseen, counts = subsets.get("unseen"), scores.get("counts")
    if unseen and counts and {"support", "predicted"} <= scores.keys():
        # A correct prediction is in the subset if and only if its gold entity is, so one count serves both sides.
        # It is exact as long as half a hundredth of a percent of the smaller side is less than half an entity.
        by_recall = unseen["support"] <= unseen["predicted"]
        share, whole = (unseen["rec"], unseen["support"]) if by_recall else (unseen["pre"], unseen["predicted"])
        n_correct = counts["tp"] - round(share * whole / 100)
        n_gold = scores["support"] - unseen["support"]
        n_predicted = scores["predicted"] - unseen["predicted"]
        subsets["seen"] = {
            "f": round(f1_percent(n_correct, n_predicted - n_correct, n_gold - n_correct), 2),
            "pre": round(100 * n_correct / n_predicted, 2) if n_predicted else 0.0,
            "rec": round(100 * n_correct / n_gold, 2) if n_gold else 0.0,
            "support": n_gold,
            "predicted": n_predicted,
        }
    return subsets


def _malformed(seeds: Sequence[Mapping[str, Any]], split: str) -> dict[str, Any]:
    """Malformed groups in percent of all groups written, by the way in which the model was used."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for seed in seeds for name in ("default", *seed.get("malformed", {}))):
        counts = [seed.get("malformed", {}).get(name) or (seed[split] if name == "default" else None) for seed in seeds]
        found[name] = _malformed_rates([count for count in counts if count and "rejected" in count])
    return found


def _malformed_rates(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    known = {reason for reasons in MALFORMED.values() for reason in reasons}
    others = {reason for seed in seeds for reason in seed["rejected"]} - known
    kinds = {**MALFORMED, **{reason: (reason,) for reason in sorted(others)}}
    written = [seed.get("predicted", 0) + sum(seed["rejected"].values()) for seed in seeds]
    rates: dict[str, Any] = {"n_seeds": len(seeds), "written": sum(written), "reasons": {}}
    scores = [float(seed["f"]) for seed in seeds if "f" in seed]
    rates["f"] = spread_of(scores) if scores else None
    for kind, reasons in {**kinds, "all": tuple(known | others)}.items():
        counts = [sum(seed["rejected"].get(reason, 0) for reason in reasons) for seed in seeds]
        shares = [100 * count / n if n else 0.0 for count, n in zip(counts, written, strict=True)]
        rates["reasons"][kind] = {"count": sum(counts), "rate": spread_of(shares)}
    return rates


def _from_predictions(
    run_folder: Path, seeds: Sequence[Mapping[str, Any]], split: str, notes: list[str]
) -> dict[str, Any]:
    """Breakdowns and kinds of errors over the seeds that have predictions."""
    best = max(seeds, key=lambda seed: (seed.get("dev") or seed[split]).get("f", 0.0), default=None)
    breakdowns, errors, examples_seed = [], [], None
    judged: dict[int, np.ndarray] = {}
    for seed in seeds:
        path = predictions_path(run_folder, seed["seed"], split)
        if not path.is_file():
            notes.append(f"Seed {seed['seed']} has no {path.name} and is not in the breakdowns.")
            continue
        breakdown, table, scores = Breakdown(), ErrorTable(_N_EXAMPLES if seed is best else 0), []
        for number, sentence in enumerate(read_predictions(path), 1):
            gold, predicted = set(sentence.gold), set(sentence.predicted)
            breakdown.update(gold, predicted, n_words=len(sentence.words))
            table.update(sentence.words, gold, predicted, sentence=number)
            scores += sentence.judged_scores()
        f = f1_percent(breakdown.tp, breakdown.fp, breakdown.fn)
        if abs(f - seed[split].get("f", f)) > _TOLERANCE:
            notes.append(
                f"Seed {seed['seed']}: the file of predictions gives F1 {f:.2f}, result.json {seed[split]['f']:.2f}: "
                "malformed groups are not in the file, or the file belongs to another run."
            )
        breakdowns.append(breakdown.compute())
        errors.append(table)
        judged[seed["seed"]] = np.array(scores).reshape(-1, 2)
        if seed is best:
            examples_seed = seed["seed"]
    return {
        "n_in_breakdowns": len(breakdowns),
        "breakdown": {axis: _axis([breakdown[axis] for breakdown in breakdowns]) for axis in AXES},
        "errors": _error_rows([table.counts for table in errors]),
        "calibration": score_quality(run_folder, split, judged, notes),
        "examples_seed": examples_seed,
        "examples": {
            kind: [_example(example) for table in errors for example in table.examples[kind]] for kind in KINDS
        },
    }


def _axis(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One axis over seeds: means of the counts, spreads of the scores."""
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for rows in seeds:
        for row in rows:
            by_group.setdefault(row["group"], []).append(row)
    merged = []
    for group in sorted(by_group, key=_first_number):
        rows = by_group[group]
        # A group without gold entities exists only where it was predicted: in other seeds it counts and scores 0.
        rows = [*rows, *({key: 0 for key in rows[0]} for _ in range(len(seeds) - len(rows)))]
        counts = {key: _mean([row[key] for row in rows]) for key in ("found", "predicted", "correct") if key in rows[0]}
        counts["gold"] = max(row["gold"] for row in rows)  # the same in every seed that has the group
        scores = {key: spread_of([row[key] for row in rows]) for key in ("pre", "rec", "f") if key in rows[0]}
        merged.append({"group": group, **counts, **scores})
    return merged


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 1)


def _first_number(group: str) -> int:
    return int(group.replace("-", " ").split()[0])


def _error_rows(seeds: Sequence[Mapping[str, int]]) -> list[dict[str, Any]]:
    if not seeds:
        return []
    total = sum(sum(counts.values()) for counts in seeds)
    rows = []
    for kind, definition in KINDS.items():
        counts = [float(counts.get(kind, 0)) for counts in seeds]
        share = round(100 * sum(counts) / total, 2) if total else 0.0
        rows.append({"kind": kind, "definition": definition, "count": spread_of(counts), "share": share})
    return rows


def _example(example: ErrorExample) -> dict[str, Any]:
    """An error, with its entities as in files of predictions."""
    about = {"sentence": example.sentence, "raw_words": list(example.words)}
    return about | {"gold": _record(example.gold), "pred": _record(example.predicted)}


def _record(entity: Entity | None) -> dict[str, Any] | None:
    return entity and {"type": entity.label, "spans": [list(segment) for segment in entity.segments]}
