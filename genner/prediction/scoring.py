"""What scores the entities of a recogniser get, and which entities stay: as its options and its model folder say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from genner.data.schema import Entity
from genner.errors import ConfigError
from genner.evaluation.calibration import Calibration
from genner.prediction.calibration_file import ModelCalibration, ScoreKind

__all__ = ["ScoreOptions", "Scoring", "choose_scoring"]


class ScoreOptions(Protocol):
    """What is asked of scores; `prediction.recogniser.PredictOptions` are such options."""

    num_beams: int | None
    scores: str
    candidates: bool
    calibrated: bool
    alpha: float | None
    min_score: float


@dataclass(frozen=True)
class Scoring:
    """Scores as they are handed out.

    Attributes:
        kind: what the model has to give.
        calibration: of such scores; None leaves them as they are.
        threshold: entities whose score, before calibration, is lower are left out.
        min_score: so are those whose score is lower as it is handed out.
    """

    kind: ScoreKind = field(default_factory=ScoreKind)
    calibration: Calibration | None = None
    threshold: float = 0.0
    min_score: float = 0.0

    def __call__(self, entities: Mapping[Entity, float]) -> dict[Entity, float]:
        """The entities that stay, with their scores."""
        kept = {entity: score for entity, score in entities.items() if score >= self.threshold}
        if self.calibration is not None and kept:
            kept = dict(zip(kept, self.calibration.apply(list(kept.values())).tolist(), strict=True))
        return {entity: score for entity, score in kept.items() if score >= self.min_score}


def choose_scoring(folder: Path, options: ScoreOptions, num_beams: int) -> tuple[Scoring, ModelCalibration]:
    """The scoring that options ask for, and what the model folder says about its scores.

    With ``alpha`` the search is the one by which the misses were measured: of as many beams, with all candidates.

    Args:
        folder: of the model.
        options: what is asked for.
        num_beams: of the search, unless the options say otherwise.

    Raises:
        ConfigError: no such promise can be made; the message says what to do.
        DataFormatError: the folder has a damaged calibration.
    """
    stored = ModelCalibration.read(folder)
    kind = ScoreKind(options.scores, options.num_beams or num_beams, options.candidates)
    threshold = 0.0
    if options.alpha is not None:
        if stored.misses is None:
            raise ConfigError(
                f"alpha: the misses of {folder} were never measured. Expected a model that was calibrated for them. "
                "Calibrate it on sentences with gold entities first, see docs/scores.md."
            )
        measured = stored.misses.kind
        if options.num_beams not in (None, measured.num_beams):
            raise ConfigError(
                f"alpha: the misses were measured with num_beams {measured.num_beams}, num_beams is "
                f"{options.num_beams}. Expected the same. Leave num_beams out, or calibrate anew."
            )
        kind, threshold = measured, stored.misses.threshold(options.alpha)
    fitted = stored.of(kind) if options.calibrated else None
    return Scoring(kind, fitted and fitted.calibration, threshold, options.min_score), stored
