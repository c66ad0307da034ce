"""What the scores of a model mean: ``calibration.json`` of its folder, and how a recogniser uses it.

The file makes scores probabilities, says which are too low to be right, has thresholds that bound misses and what else
was chosen on judged data. A folder without it is valid: its scores are those of the model. No torch here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genner.data.schema import Entity, sort_entities
from genner.errors import ConfigError, DataFormatError
from genner.evaluation.calibration import Calibration, MissRisk, calibration_error, fit
from genner.evaluation.thresholds import JudgedScores, LeastScores, fit_least_scores
from genner.files import write_json

__all__ = ["CALIBRATION", "Fingerprint", "FittedMisses", "FittedOn", "ModelCalibration", "Scoring", "fit_scores"]

FORMAT = 3
#: Name of the file.
CALIBRATION = "calibration.json"


@dataclass(frozen=True, slots=True)
class FittedOn:
    """The data something was fitted on: its name, the number of sentences, and their :class:`Fingerprint`."""

    name: str
    sentences: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class FittedScores:
    """A calibration, and the expected calibration error on the data it was fitted on, before and after.

    ``kind`` is how the scores were computed (`Task.score_kind`); a calibration does not apply to another kind.
    ``least`` are calibrated scores, below which entities are left out.
    """

    kind: str
    calibration: Calibration
    ece_before: float
    ece_after: float
    fitted_on: FittedOn
    least: LeastScores = field(default_factory=LeastScores)


@dataclass(frozen=True, slots=True)
class FittedMisses:
    """The miss rate by threshold; thresholds apply to scores before calibration.

    ``choices`` are those with which the model was opened: the measurement holds only with them.
    """

    kind: str
    choices: dict[str, str | int | float | bool]
    risk: MissRisk
    fitted_on: FittedOn

    def threshold(self, alpha: float) -> float:
        """The largest threshold that is expected to miss at most the share ``alpha`` of a sentence's entities.

        Raises:
            ConfigError: alpha is not between 0 and 1, or too small; the message says which is possible.
        """
        if not 0 < alpha < 1:
            raise ConfigError(f"alpha: {alpha!r}. Expected a share of misses between 0 and 1. Set it to 0.1 or so.")
        found = self.risk.threshold(alpha)
        if found is None:
            least = -(-self.risk.reachable // 1e-4) * 1e-4  # rounded up
            raise ConfigError(
                f"alpha: {alpha:g} cannot be promised: of the gold entities of {self.risk.n} sentences "
                f"({self.fitted_on.name}), {100 * self.risk.risks[0]:.2f} % are not among the candidates of {self.kind}"
                f". Expected {least:.4f} or more. Raise alpha, or calibrate with more beams, more sentences or a "
                "better model."
            )
        return found


@dataclass(frozen=True)
class ModelCalibration:
    """What the file holds.

    Attributes:
        scores: calibrations of different kinds of score.
        misses: by threshold, if they were measured.
        choices: how the model is opened unless something else is asked for, as it scored best.
    """

    scores: tuple[FittedScores, ...] = ()
    misses: FittedMisses | None = None
    choices: dict[str, str | int | float | bool] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ModelCalibration:
        """That of a model folder; an empty one if it has none.

        Raises:
            DataFormatError: the file is damaged or of a newer format.
        """
        path = folder / CALIBRATION
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content.pop("format")
            if version not in (FORMAT - 1, FORMAT):  # the one before lacks what has a default now
                raise DataFormatError(
                    f"{path}: calibration format {version!r:.40}. Expected {FORMAT}, which this version of GenNER "
                    "reads. Remove the file: scores are then those of the model."
                )
            return _adapter().validate_json(json.dumps(content), strict=True)
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataFormatError(
                f"{path}: not a calibration ({_reason(error)}). Expected what training or calibrating wrote. Copy the "
                "file again, or remove it: scores are then those of the model."
            ) from None

    def write(self, folder: Path) -> Path:
        """Replace the file of a model folder.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        path = folder / CALIBRATION
        try:
            write_json(path, {"format": FORMAT, **asdict(self)})
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be written: {error.strerror}. Expected a model folder with write permission. Copy it."
            ) from None
        return path

    def of(self, kind: str) -> FittedScores | None:
        """What was fitted to scores of a kind."""
        return next((fitted for fitted in self.scores if fitted.kind == kind), None)

    def choices_for_alpha(self, folder: Path, choices: Mapping[str, Any]) -> dict[str, Any]:
        """The choices with which the misses were measured; ``alpha`` holds only for a model that is opened with them.

        Args:
            folder: of the model, for messages.
            choices: those of the user.

        Raises:
            ConfigError: the misses were never measured, or with other choices.
        """
        if self.misses is None:
            raise ConfigError(
                f"alpha: the misses of {folder} were never measured. Expected a model that was calibrated for them. "
                "Calibrate it on sentences with gold entities first, see docs/scores.md."
            )
        measured = self.misses.choices
        for key, value in choices.items():
            if str(measured.get(key, value)) != str(value):
                raise ConfigError(
                    f"alpha: the misses were measured with {key} {measured[key]}, {key} is {value}. Expected the same. "
                    f"Leave {key} out, or calibrate again."
                )
        return {**choices, **measured}

    def threshold(self, alpha: float | None) -> float:
        """The score, before calibration, below which entities are left out."""
        return 0.0 if alpha is None or self.misses is None else self.misses.threshold(alpha)

    def with_choices(self, choices: Mapping[str, Any]) -> ModelCalibration:
        """With other choices."""
        return replace(self, choices=dict(choices))

    def with_scores(self, fitted: FittedScores) -> ModelCalibration:
        """With a calibration, in place of an earlier one of the same kind."""
        others = tuple(other for other in self.scores if other.kind != fitted.kind)
        return replace(self, scores=(*others, fitted))


@dataclass(frozen=True)
class Scoring:
    """Turns the scores of a model into those of a recogniser, and drops entities below thresholds.

    Attributes:
        kind: how the model's scores are computed.
        calibration: of such scores; None leaves them as they are.
        threshold: entities with a lower score before calibration are left out.
        least: entities with a lower score after calibration are left out.
    """

    kind: str = ""
    calibration: Calibration | None = None
    threshold: float = 0.0
    least: LeastScores = field(default_factory=LeastScores)

    @classmethod
    def of(cls, kind: str, fitted: FittedScores | None) -> Scoring:
        """As it was fitted; without that, scores stay as they are and nothing is left out."""
        return cls(kind) if fitted is None else cls(kind, fitted.calibration, least=fitted.least)

    def above(self, entities: Mapping[Entity, float]) -> dict[Entity, float]:
        """The entities that reach the threshold, with their scores before calibration."""
        return {entity: score for entity, score in entities.items() if not self.threshold or score >= self.threshold}

    def __call__(self, entities: Mapping[Entity, float]) -> dict[Entity, float]:
        """The entities that stay, with their scores."""
        kept = self.above(entities)
        if self.calibration is not None and kept:
            kept = dict(zip(kept, self.calibration.apply(list(kept.values())).tolist(), strict=True))
        return {entity: score for entity, score in kept.items() if self.least.keeps(entity.label, score)}


def fit_scores(kind: str, judged: JudgedScores, fitted_on: FittedOn, *, with_least: bool = True) -> FittedScores | None:
    """Calibrate scores and find the least ones that are worth keeping.

    Args:
        kind: how the scores came about.
        judged: predictions known to be right or wrong.
        fitted_on: where they are from.
        with_least: False: no score is too low.

    Returns:
        None without any prediction, or if a score is no probability.
    """
    scores, is_right = judged.scores, judged.is_right
    if not len(scores) or not all(0 <= score <= 1 for score in scores):
        return None
    calibration = fit(scores, is_right)
    calibrated = calibration.apply(scores)
    before, after = (calibration_error(some, is_right) for some in (scores, calibrated))
    least = fit_least_scores(replace(judged, scores=calibrated.tolist())) if with_least else LeastScores()
    return FittedScores(kind, calibration, before, after, fitted_on, least)


class Fingerprint:
    """Digest of sentences, or texts, and their gold entities, added one by one.

    >>> fingerprint = Fingerprint()
    >>> fingerprint.add(["sore", "knees"], [Entity.from_flat("BODY", [1, 2])])
    >>> fingerprint.digest
    '6bfdd57dcab5d92a'
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, words: Sequence[str], gold: Iterable[Entity]) -> None:
        """Add a sentence; the order of its entities and repetitions make no difference."""
        entities = [[entity.label, *entity.flat] for entity in sort_entities(set(gold))]
        self._sha.update(json.dumps([list(words), entities]).encode() + b"\n")

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits."""
        return self._sha.hexdigest()[:16]


@cache
def _adapter() -> TypeAdapter[ModelCalibration]:
    return TypeAdapter(ModelCalibration)


def _reason(error: Exception) -> str:
    """What is wrong, in one line; only the first of several errors."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
