"""How far the scores of a run's entities are from probabilities, before calibration and after it, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from genner.app.prediction_files import JudgedSentence, predictions_path, read_predictions
from genner.evaluation.calibration import Calibration, brier_score, calibration_error, fit, reliability_bins
from genner.evaluation.significance import spread_of

__all__ = ["RunScores"]

_MEASURES: dict[str, Callable[..., float]] = {"ece": calibration_error, "brier": brier_score}


class RunScores:
    """Gathers the scores of all seeds on one split.

    Args:
        run_folder: with the predictions of dev, on which the calibration of a seed is fitted.
        split: whose scores are gathered. Those of dev itself are not calibrated: they would be judged on what was
            fitted to them.
        notes: gets what is left out.
    """

    def __init__(self, run_folder: Path, split: str, notes: list[str]) -> None:
        self.run_folder, self.split, self.notes = run_folder, split, notes
        self._seeds: dict[int, _Judged] = {}

    def add(self, seed: int, sentence: JudgedSentence) -> None:
        """The next sentence of a seed."""
        self._seeds.setdefault(seed, _Judged()).add(sentence)

    def compute(self) -> dict[str, Any] | None:
        """Errors over seeds, the calibration of each seed and the bins of all seeds together; None without scores."""
        usable = {seed: judged for seed, judged in self._seeds.items() if self._is_usable(seed, judged)}
        if not usable:
            return None
        rows, parts = [], []
        for seed, judged in usable.items():
            scores, is_right = judged.arrays()
            calibration = self._calibration(seed)
            calibrated = calibration and calibration.apply(scores)
            rows.append(
                {
                    "seed": seed,
                    "n": len(scores),
                    "temperature": calibration and round(calibration.temperature, 4),
                    "shift": calibration and round(calibration.shift, 4),
                    "doubt": calibration and calibration.doubt,
                    "n_fitted": calibration and calibration.n,
                    "raw": _errors(scores, is_right),
                    "calibrated": None if calibrated is None else _errors(calibrated, is_right),
                }
            )
            parts.append((scores, calibrated, is_right))
        states = {"raw": [(scores, is_right) for scores, _, is_right in parts]}
        states["calibrated"] = [(scores, is_right) for _, scores, is_right in parts if scores is not None]
        return {
            "seeds": rows,
            "errors": {state: _spreads([row[state] for row in rows if row[state]]) for state in states},
            "bins": {state: _bins(pairs) for state, pairs in states.items()},
        }

    def _is_usable(self, seed: int, judged: _Judged) -> bool:
        if judged.scores and not judged.is_probable:
            self.notes.append(f"Seed {seed}: its scores are not from 0 to 1, so nothing is said about them.")
        return bool(judged.scores) and judged.is_probable

    def _calibration(self, seed: int) -> Calibration | None:
        path = predictions_path(self.run_folder, seed, "dev")
        if self.split == "dev":
            return None
        judged = _Judged()
        for sentence in read_predictions(path) if path.is_file() else ():
            judged.add(sentence)
        if not judged.scores or not judged.is_probable:
            self.notes.append(f"Seed {seed}: no scores in {path.name}, so those on {self.split} are not calibrated.")
            return None
        return fit(*judged.arrays())


class _Judged:
    """Scores and judgements of one file."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.is_right: list[bool] = []

    @property
    def is_probable(self) -> bool:
        return all(0 <= score <= 1 for score in self.scores)

    def add(self, sentence: JudgedSentence) -> None:
        for score, is_right in sentence.judged_scores():
            self.scores.append(score)
            self.is_right.append(is_right)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.scores), np.array(self.is_right)


def _errors(scores: np.ndarray, is_right: np.ndarray) -> dict[str, float]:
    errors = {name: measure(scores, is_right) for name, measure in _MEASURES.items()}
    return {name: round(error, 6) for name, error in errors.items()}


def _spreads(seeds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]] | None:
    if not seeds:
        return None
    return {name: asdict(spread_of([errors[name] for errors in seeds])) for name in _MEASURES}


def _bins(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    if not pairs:
        return []
    scores, is_right = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return [
        {name: round(value, 6) for name, value in one._asdict().items()} for one in reliability_bins(scores, is_right)
    ]
