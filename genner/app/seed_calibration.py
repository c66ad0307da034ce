"""``calibration.json`` of a seed's best model: its scores fitted on dev, from the predictions that training left."""

from __future__ import annotations

import logging
from pathlib import Path

from genner.app.prediction_files import read_predictions
from genner.files import clear_leftovers
from genner.prediction.scores import (
    Fingerprint,
    FittedOn,
    FittedScores,
    ModelCalibration,
    fit_scores,
)

__all__ = ["calibrate_seed"]

logger = logging.getLogger(__name__)


def calibrate_seed(folder: Path, score_kind: str) -> ModelCalibration | None:
    """Write the file; whatever was there is replaced, as it may be that of an earlier model.

    Training leaves the predictions of dev beside the model that made them. A run without a dev split has none: its file
    has no calibration. Test is left alone.

    Args:
        folder: of the seed.
        score_kind: how the scores of the predictions came about.

    Returns:
        what was written; None if the seed left no model.

    Raises:
        DataFormatError: the predictions cannot be read.
    """
    if not (folder / "best").is_dir():
        return None
    predictions = folder / "predictions.dev.jsonl"
    fitted = _fit(predictions, score_kind) if predictions.is_file() else None
    clear_leftovers(folder / "best")  # of a process that was killed while it wrote this file
    found = ModelCalibration((fitted,) if fitted else ())
    found.write(folder / "best")
    if fitted:
        calibration = fitted.calibration
        logger.info(
            "scores calibrated on %d entities of dev: temperature %.3f, shift %+.3f, doubt %g, calibration error "
            "%.4f -> %.4f",
            calibration.n, calibration.temperature, calibration.shift, calibration.doubt, fitted.ece_before,
            fitted.ece_after,
        )  # fmt: skip
    else:
        logger.info("scores not calibrated: no predictions of dev whose scores are probabilities")
    return found


def _fit(path: Path, kind: str) -> FittedScores | None:
    fingerprint, judged, n_sentences = Fingerprint(), [], 0
    for sentence in read_predictions(path):
        fingerprint.add(sentence.words, sentence.gold)
        judged += sentence.judged_scores()
        n_sentences += 1
    scores, is_right = ([pair[side] for pair in judged] for side in (0, 1))
    return fit_scores(kind, scores, is_right, FittedOn("dev", n_sentences, fingerprint.digest))
