"""The content of a run's report as plain values: scores over seeds, and details from the files of predictions.

Files of predictions are read sentence by sentence; only counts and the scores of entities are kept for each seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from genner.app.prediction_files import predictions_path, read_predictions
from genner.data.schema import Entity
from genner.evaluation.breakdown import AXES, Breakdown, f1_percent
from genner.evaluation.calibration import Calibration, brier_score, calibration_error, fit, reliability_bins
from genner.evaluation.errors_table import KINDS, ErrorExample, ErrorTable
from genner.evaluation.spread import MEASURES, spread_of, spread_over_seeds

__all__ = ["run_data", "scored_split", "searches_of"]

_ERRORS = {"ece": calibration_error, "brier": brier_score}
_PLACES = {"forced": 0, "repeated": 1, "left_out": 2}  # then the reasons of what is no entity
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
    seeds = result["seeds"]
    split = scored_split(seeds)
    ok = [seed for seed in seeds if seed["status"] == "ok"]
    scored = [seed for seed in seeds if seed[split]]
    shown = [seed for seed in ok if seed[split]] or scored  # the tables below the scores are based on these
    rows = [_seed_row(seed) for seed in seeds]
    notes = list(dict.fromkeys(note for seed in seeds for note in seed.get("notes", ())))  # absent if it failed
    notes += _seed_notes(seeds, ok, shown, split)
    details = _from_predictions(run_folder, shown, split, notes)
    return {
        "run": {
            "name": run_folder.resolve().name,
            "target": result["target"] or "-",
            **{name: result[name] for name in ("dataset", "formulation", "backbone", "command", "versions")},
        },
        "split": split,
        "seeds": rows,
        "n_ok": len(ok),
        "n_collapsed": sum(seed["status"] == "collapsed" for seed in seeds),
        "n_collapsed_attempts": sum(row["collapsed_attempts"] for row in rows),
        "scores": spread_over_seeds(seeds),
        "scores_with_collapsed": spread_over_seeds(seeds, ("ok", "collapsed")),
        "reported": dict(result["reported"]),
        "per_label": _groups([seed[split]["per_label"] for seed in shown]),
        "subsets": _groups([_subsets(seed[split]) for seed in shown]),
        "scores_plain": spread_over_seeds([{"status": seed["status"], **seed.get("plain", {})} for seed in seeds]),
        "searches": searches_of(shown),
        **details,
        "notes": notes,
    }


def scored_split(seeds: Sequence[Mapping[str, Any]]) -> str:
    """The split that a run is judged by: test, or dev if no seed has scores on test."""
    return "test" if any(seed["test"] for seed in seeds) or not seeds else "dev"


def _seed_row(seed: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("seed", "status", "best_epoch", "epochs", "train_seconds", "peak_memory_mb")
    reasons = [attempt["reason"] for attempt in seed.get("attempts", ())]  # absent if the seed failed
    return {
        **{name: seed[name] for name in kept},
        **{f"{split}_{name}": seed[split].get(name) for split in ("dev", "test") for name in MEASURES},
        "collapsed_attempts": len(reasons),
        "reasons": reasons,
    }


def _seed_notes(seeds: Sequence[Mapping], ok: Sequence[Mapping], shown: Sequence[Mapping], split: str) -> Iterable[str]:
    """What the means leave out, and why."""
    others = [f"seed {seed['seed']} ({_state(seed)})" for seed in seeds if seed["status"] != "ok"]
    if others:
        yield f"Not ok, so not in the means: {', '.join(others)}."
    without = [str(seed["seed"]) for seed in seeds if not seed[split]]
    if without:
        yield f"No scores on {split}: seed {', '.join(without)}."
    if shown and not ok:
        yield "No seed is ok: the tables below the scores are based on the other seeds."


def _state(seed: Mapping[str, Any]) -> str:
    """The status of a seed, and the reason if it has one."""
    return f"{seed['status']}: {seed['reason']}" if seed.get("reason") else seed["status"]


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
    """The subsets of a split, and ``seen``, the complement of ``unseen``."""
    unseen = scores["subsets"]["unseen"]
    # A correct prediction is in the subset if and only if its gold entity is, so one count serves both sides.
    # It is exact as long as half a hundredth of a percent of the smaller side is less than half an entity.
    by_recall = unseen["support"] <= unseen["predicted"]
    share, whole = (unseen["rec"], unseen["support"]) if by_recall else (unseen["pre"], unseen["predicted"])
    n_correct = scores["counts"]["tp"] - round(share * whole / 100)
    n_gold = scores["support"] - unseen["support"]
    n_predicted = scores["predicted"] - unseen["predicted"]
    seen = {
        "f": round(f1_percent(n_correct, n_predicted - n_correct, n_gold - n_correct), 2),
        "pre": round(100 * n_correct / n_predicted, 2) if n_predicted else 0.0,
        "rec": round(100 * n_correct / n_gold, 2) if n_gold else 0.0,
        "support": n_gold,
        "predicted": n_predicted,
    }
    return {**scores["subsets"], "seen": seen}


def searches_of(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What every way of searching scores, and what it did, over seeds."""
    names = dict.fromkeys(chain.from_iterable(seed.get("searches", {}) for seed in seeds))
    found = {name: [seed["searches"][name] for seed in seeds if name in seed.get("searches", {})] for name in names}
    return {name: _search(ways) for name, ways in found.items()}


def _search(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = [{**seed["rejected"], **seed["counts"]} for seed in seeds]  # a search drops groups, or rejects are left
    names = sorted(set(chain.from_iterable(counts)), key=lambda name: (_PLACES.get(name, len(_PLACES)), name))
    return {
        "n_seeds": len(seeds),
        "scores": {name: spread_of([seed[name] for seed in seeds]) for name in ("pre", "rec", "f", "strict_f", "em")},
        "predicted": _mean([seed["predicted"] for seed in seeds]),
        "counts": {name: _mean([count.get(name, 0) for count in counts]) for name in names},
    }


def _from_predictions(
    run_folder: Path, seeds: Sequence[Mapping[str, Any]], split: str, notes: list[str]
) -> dict[str, Any]:
    """Breakdowns and kinds of errors over the seeds that have predictions."""
    best = max(seeds, key=lambda seed: (seed["dev"] or seed[split])["f"], default=None)
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
        if abs(f - seed[split]["f"]) > _TOLERANCE:
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
        "calibration": _score_quality(run_folder, split, judged, notes),
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


def _score_quality(
    run_folder: Path, split: str, judged: Mapping[int, np.ndarray], notes: list[str]
) -> dict[str, Any] | None:
    """Calibration errors over seeds, the calibration of each seed, and the reliability bins of all seeds together.

    Calibrations are fitted on dev. So the scores of dev itself are not calibrated: they would be judged on the data
    that the calibration was fitted to.

    Args:
        run_folder: with the predictions of dev.
        split: whose scores are judged.
        judged: by seed, rows of a score and whether the entity is correct.
        notes: what is left out is added here.

    Returns:
        None if there are no scores.
    """
    rows = []
    states: dict[str, list[np.ndarray]] = {"raw": [], "calibrated": []}
    for seed, pairs in judged.items():
        if len(pairs) and not _are_probable(pairs):
            notes.append(f"Seed {seed}: its scores are not between 0 and 1, so they are not judged.")
        elif len(pairs):
            states["raw"].append(pairs)
            row: dict[str, Any] = {"seed": seed, "n": len(pairs), "raw": _errors(pairs)}
            row |= dict.fromkeys(("temperature", "shift", "doubt", "n_fitted", "calibrated"))
            if found := None if split == "dev" else _calibration(run_folder, seed, split, notes):
                states["calibrated"].append(np.column_stack([found.apply(pairs[:, 0]), pairs[:, 1]]))
                row |= {"temperature": round(found.temperature, 4), "shift": round(found.shift, 4)}
                row |= {"doubt": found.doubt, "n_fitted": found.n, "calibrated": _errors(states["calibrated"][-1])}
            rows.append(row)
    if not rows:
        return None
    return {
        "seeds": rows,
        "errors": {state: _spreads([row[state] for row in rows if row[state]]) for state in states},
        "bins": {state: _bins(np.concatenate(parts)) if parts else [] for state, parts in states.items()},
    }


def _calibration(run_folder: Path, seed: int, split: str, notes: list[str]) -> Calibration | None:
    path = predictions_path(run_folder, seed, "dev")
    sentences = read_predictions(path) if path.is_file() else ()
    pairs = np.array([pair for sentence in sentences for pair in sentence.judged_scores()]).reshape(-1, 2)
    if not len(pairs) or not _are_probable(pairs):
        notes.append(f"Seed {seed}: no scores in {path.name}, so those on {split} are not calibrated.")
        return None
    return fit(pairs[:, 0], pairs[:, 1])


def _are_probable(pairs: np.ndarray) -> bool:
    return bool(((pairs >= 0) & (pairs <= 1)).all())


def _errors(pairs: np.ndarray) -> dict[str, float]:
    return {name: round(error(pairs[:, 0], pairs[:, 1]), 6) for name, error in _ERRORS.items()}


def _spreads(seeds: Sequence[Mapping[str, float]]) -> dict[str, Any] | None:
    return {name: spread_of([errors[name] for errors in seeds], digits=8) for name in _ERRORS} if seeds else None


def _bins(pairs: np.ndarray) -> list[dict[str, Any]]:
    found = reliability_bins(pairs[:, 0], pairs[:, 1])
    return [{name: round(value, 6) for name, value in one._asdict().items()} for one in found]
