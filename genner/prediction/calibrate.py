"""Fits the scores of a trained model, and the thresholds that bound its misses, to texts with known entities."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from genner.errors import ConfigError, DataFormatError
from genner.evaluation.calibration import MissRisk
from genner.evaluation.thresholds import JudgedScores
from genner.formulations.opening import candidate_choices
from genner.model.folder import ModelFolder
from genner.prediction.recogniser import Recogniser
from genner.prediction.results import TextEntity, TextInput, TextResult
from genner.prediction.scores import (
    Fingerprint,
    FittedMisses,
    FittedOn,
    FittedScores,
    ModelCalibration,
    Scoring,
    fit_scores,
)

__all__ = ["Calibrated", "calibrate"]


@dataclass(frozen=True)
class Calibrated:
    """What :func:`calibrate` did.

    Attributes:
        scores: the calibration; None if nothing was found in the texts.
        misses: by threshold, if they were measured.
        n_texts: texts that were read.
        n_without_gold: texts left out because their entities are not known.
        failed: the errors of texts that could not be read.
    """

    scores: FittedScores | None
    misses: FittedMisses | None
    n_texts: int
    n_without_gold: int
    failed: tuple[str, ...]


def calibrate(
    ner: Recogniser,
    inputs: Iterable[TextInput],
    *,
    conformal: bool = False,
    name: str = "own texts",
    progress: Callable[[float, int], None] | None = None,
) -> Calibrated:
    """Read texts whose entities are known and store in the model folder what the scores mean.

    An entity is right if its type and the characters of its segments are those of a known one. A calibration of the
    same kind of scores is replaced; others stay.

    Args:
        ner: opened with ``calibrated=False`` and the scores to calibrate; for ``conformal`` so that it gives
            candidates, see :func:`genner.formulations.opening.candidate_choices`.
        inputs: with ``gold``; only their scores are kept in memory.
        conformal: also measure the misses by threshold.
        name: of the texts, for the file.
        progress: see :meth:`Recogniser.stream`.

    Raises:
        ConfigError: the recogniser changes or leaves out scores, or the folder cannot be written to.
        DataFormatError: no text has gold entities.
    """
    _check_options(ner, conformal)
    counts = _Counts()
    for result in ner.stream(inputs, progress=progress):
        counts.add(result)
    if not any(counts.gold_scores):
        raise DataFormatError(
            f"{name}: {counts.n_texts} texts read, {counts.n_without_gold} without gold, {len(counts.failed)} failed: "
            "no sentence with gold entities. Expected some to compare with. Use a corpus with entities."
        )
    kind = ner.scoring.kind
    fitted_on = FittedOn(name, counts.n_sentences, counts.fingerprint.digest)
    scores, stored = fit_scores(kind, counts.judged, fitted_on), ModelCalibration.read(ner.folder)
    misses = None
    if conformal:
        misses = FittedMisses(kind, stored.choices | ner.choices, MissRisk.measure(counts.gold_scores), fitted_on)
    stored = stored.with_scores(scores) if scores else stored
    (replace(stored, misses=misses) if misses else stored).write(ner.folder)
    return Calibrated(scores, misses, counts.n_texts, counts.n_without_gold, tuple(counts.failed))


class _Counts:
    """What is kept of the texts."""

    def __init__(self) -> None:
        self.judged = JudgedScores()
        self.gold_scores: list[list[float | None]] = []  # by sentence
        self.failed: list[str] = []
        self.n_texts = self.n_without_gold = self.n_sentences = 0
        self.fingerprint = Fingerprint()

    def add(self, result: TextResult) -> None:
        """Judge a text."""
        if result.error is not None:
            self.failed.append(result.error)
        elif result.gold is None:
            self.n_without_gold += 1
        else:
            self.n_texts += 1
            self.n_sentences += len(result.sentences)
            self.fingerprint.add(result.raw_words, [entity.words for entity in result.gold])
            gold = {_place(entity): entity for entity in result.gold}
            found = {_place(entity): entity.score for entity in result}
            self.judged.add(((place[0], score, place in gold) for place, score in found.items()), len(gold))
            self.gold_scores += _by_sentence(result, gold, found)


def _check_options(ner: Recogniser, conformal: bool) -> None:
    scoring = ner.scoring
    if scoring != Scoring(scoring.kind):
        raise ConfigError(
            "calibrate: the recogniser calibrates its scores or leaves entities out. Expected scores as the model "
            "gives them. Set calibrated=False, and set neither alpha nor min_score."
        )
    if conformal and not ner.task.gives_candidates:
        needed = candidate_choices(ModelFolder.read(ner.folder))
        options = ", ".join(f"{key}={value!r}" for key, value in needed.items())
        raise ConfigError(
            f"calibrate: misses cannot be measured, the recogniser gives {scoring.kind}. Expected all candidates. "
            + (f"Open the model with {options}." if needed else "This formulation has none: leave the misses out.")
        )


def _place(entity: TextEntity) -> tuple[str, tuple[tuple[int, int], ...]]:
    return entity.type, tuple((part.start, part.end) for part in entity.segments)


def _by_sentence(result: TextResult, gold: dict, found: dict) -> Iterator[list[float | None]]:
    """For every sentence, the scores of the gold entities that begin in it; None for those not found."""
    if not gold:
        return
    starts = [result.words[sentence.start].start for sentence in result.sentences if sentence.end > sentence.start]
    rows: list[list[float | None]] = [[] for _ in range(len(starts) + 1)]
    for place, entity in gold.items():
        rows[bisect_right(starts, entity.start)].append(found.get(place))
    yield from rows
