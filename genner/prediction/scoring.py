"""What scores the entities of a recogniser get, and which entities stay: as its options and its model folder say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genner.data.schema import Entity
from genner.errors import ConfigError
from genner.evaluation.calibration import Calibration
from genner.prediction.calibration_file import ModelCalibration

__all__ = ["Scoring", "choices_for_alpha", "threshold_of"]


@dataclass(frozen=True)
class Scoring:
    """Scores as they are handed out.

    Attributes:
        kind: how the model's scores come about.
        calibration: of such scores; None leaves them as they are.
        threshold: entities whose score, before calibration, is lower are left out.
        min_score: so are those whose score is lower as it is handed out.
    """

    kind: str = ""
    calibration: Calibration | None = None
    threshold: float = 0.0
    min_score: float = 0.0

    def __call__(self, entities: Mapping[Entity, float]) -> dict[Entity, float]:
        """The entities that stay, with their scores."""
        kept = {entity: score for entity, score in entities.items() if score >= self.threshold}
        if self.calibration is not None and kept:
            kept = dict(zip(kept, self.calibration.apply(list(kept.values())).tolist(), strict=True))
        return {entity: score for entity, score in kept.items() if score >= self.min_score}


def choices_for_alpha(folder: Path, stored: ModelCalibration, choices: Mapping[str, Any]) -> dict[str, Any]:
    """The choices under which the misses of a model were measured: it is opened with them, or alpha promises nothing.

    Args:
        folder: of the model.
        stored: its calibration.
        choices: what is asked for.

    Raises:
        ConfigError: the misses were never measured, or under other choices.
    """
    if stored.misses is None:
        raise ConfigError(
            f"alpha: the misses of {folder} were never measured. Expected a model that was calibrated for them. "
            "Calibrate it on sentences with gold entities first, see docs/scores.md."
        )
    measured = stored.misses.choices
    for key, value in choices.items():
        if str(measured.get(key, value)) != str(value):
            raise ConfigError(
                f"alpha: the misses were measured with {key} {measured[key]}, {key} is {value}. Expected the same. "
                f"Leave {key} out, or calibrate again."
            )
    return {**choices, **measured}


def threshold_of(stored: ModelCalibration, alpha: float | None) -> float:
    """The score, before calibration, below which entities are left out."""
    return 0.0 if alpha is None or stored.misses is None else stored.misses.threshold(alpha)
