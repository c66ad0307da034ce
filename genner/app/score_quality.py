"""How well the scores of a run's entities are calibrated, before and after calibration, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genner.app.prediction_files import predictions_path, read_predictions
from genner.evaluation.calibration import Calibration, brier_score, calibration_error, fit, reliability_bins
from genner.evaluation.spread import spread_of

__all__ = ["score_quality"]

_ERRORS = {"ece": calibration_error, "brier": brier_score}


def score_quality(
    run_folder: Path, split: str, judged: Mapping[int, np.ndarray], notes: list[str]
) -> dict[str, Any] | None:
    """Errors over seeds, the calibration of each seed, and the reliability bins of all seeds together.

    Args:
        run_folder: with the predictions of dev, on which the calibration of each seed is fitted.
        split: whose scores are judged. Those of dev itself are not calibrated: they would be judged on the data that
            the calibration was fitted to.
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
