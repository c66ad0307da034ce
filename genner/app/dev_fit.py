"""What is decided on dev once a seed is trained: how its model searches, what scores mean, and which are too low.

Everything is done anew from the best model, so a process that is killed here leaves nothing behind that matters.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genner.data.schema import Example
from genner.evaluation.significance import compare_counts, sentence_counts
from genner.evaluation.thresholds import JudgedScores
from genner.files import clear_leftovers
from genner.formulations.base import Task
from genner.formulations.opening import open_task
from genner.model.folder import ModelFolder
from genner.prediction.scores import Fingerprint, FittedOn, FittedScores, ModelCalibration, Scoring, fit_scores
from genner.training.evaluation import Metric, predict, score
from genner.training.predictions import Prediction, write_predictions

__all__ = ["DevFit", "Fitted"]

logger = logging.getLogger(__name__)

_N_SAMPLES = 1_000
_COMPARED = ("f", "pre", "rec", "strict_f", "em", "predicted", "rejected")


@dataclass
class Fitted:
    """What the best model of a seed was found to do.

    Attributes:
        scores: of every split, as the model is used.
        plain: of every split, before anything was decided on dev; empty if nothing was.
        searches: the split that a run is judged by, searched in several ways: scores, and what the search did.
        choices: how the model is opened.
    """

    scores: dict[str, dict[str, Any]]
    plain: dict[str, dict[str, Any]]
    searches: dict[str, dict[str, Any]]
    choices: dict[str, Any]


@dataclass(frozen=True)
class _Way:
    """A way of searching that was tried on dev.

    Attributes:
        task: which searches so.
        choices: which make it so.
        on_dev: its predictions.
        fitted: what their scores mean.
    """

    task: Task
    choices: dict[str, Any]
    on_dev: Sequence[Prediction]
    fitted: FittedScores | None

    @property
    def scoring(self) -> Scoring:
        """Which scores are too low."""
        return Scoring.of(self.task.score_kind, self.fitted)


@dataclass
class DevFit:
    """Decides on dev, and scores every split.

    Attributes:
        folder: of the seed, with its best model.
        device: for the model.
        examples: by split; a split without a loader is not scored.
        loaders: of splits whose entities are known.
        metric: makes a new metric.
        bf16: as in training.
        decides: whether the search and the least scores are chosen; the calibration is fitted in any case.
    """

    folder: Path
    device: str
    examples: Mapping[str, Sequence[Example]]
    loaders: Mapping[str, Iterable[Any]]
    metric: Callable[[], Metric]
    bf16: bool = False
    decides: bool = True

    def run(self) -> Fitted:
        """Decide, write ``calibration.json`` and the predictions, and score."""
        folder = self.folder / "best"
        plain = open_task(ModelFolder.read(folder), self.device, {})
        splits = [split for split in ("dev", "test") if split in self.loaders]
        before = {split: self._predict(plain, split) for split in splits}
        way, found = _Way(plain, {}, [], None), dict(before)
        if "dev" in splits:
            way = self._try(plain, {}, before["dev"])
            way = self._choose(way) if self.decides else way
            found["dev"] = way.on_dev
        if way.choices and "test" in splits:
            found["test"] = self._predict(way.task, "test")
        clear_leftovers(folder)  # of a process that was killed while it wrote the file
        self._stored(way.fitted).with_choices(way.choices).write(folder)
        scores, counts = {}, {}
        for split in splits:
            kept, left_out = leave_out(found[split], way.scoring)
            write_predictions(self.folder / f"predictions.{split}.jsonl", self.examples[split], kept, left_out=left_out)
            scores[split] = self._score(split, kept)
            counts[split] = _counts(kept) + Counter(left_out=sum(map(len, left_out)))
        if not splits:
            return Fitted({}, {}, {}, {})
        judged = splits[-1]
        searches = {"default": _compared(scores[judged], counts[judged])}
        plain_scores = {split: self._score(split, before[split]) for split in splits} if self.decides else {}
        if plain_scores:
            searches["plain"] = _compared(plain_scores[judged], _counts(before[judged]))
        for name, task in way.task.variants().items():
            others = self._predict(task, judged, name)
            searches[name] = _compared(self._score(judged, others), _counts(others))
        return Fitted(scores, plain_scores, searches, way.choices)

    def predict_unlabelled(self, split: str, loader: Iterable[Any]) -> Path:
        """Write the predictions for a split whose entities are not known, as the model is used."""
        folder = self.folder / "best"
        stored = ModelCalibration.read(folder)
        best = open_task(ModelFolder.read(folder), self.device, stored.choices)
        examples = self.examples[split]
        found = predict(best, loader, len(examples), title=split, bf16=self.bf16)
        kept, left_out = leave_out(found, Scoring.of(best.score_kind, stored.of(best.score_kind)))
        path = self.folder / f"predictions.{split}.jsonl"
        write_predictions(path, examples, kept, left_out=left_out, has_gold=False)
        return path

    def _predict(self, task: Task, split: str, name: str = "") -> list[Prediction]:
        title = f"{split} {name}".rstrip()
        return predict(task, self.loaders[split], len(self.examples[split]), title=title, bf16=self.bf16)

    def _score(self, split: str, found: Sequence[Prediction]) -> dict[str, Any]:
        return score(self.metric(), self.examples[split], found)

    def _choose(self, plain: _Way) -> _Way:
        """For one choice after the other, the value with the highest F1 on dev once low scores are left out.

        What is in force stays unless the value is better beyond doubt, see :class:`Undecided`.
        """
        best = plain
        for key, undecided in plain.task.undecided().items():
            before, best_delta, counted = best, 0.0, self._counted(best)
            for value in undecided.values:
                if not any(plain.task.may_differ(prediction, {key: value}) for prediction in plain.on_dev):
                    continue
                choices = {**before.choices, key: value}
                task = plain.task.varied(choices)
                way = self._try(task, choices, self._predict(task, "dev", key))
                compared = compare_counts(counted, self._counted(way), n_resamples=_N_SAMPLES)
                logger.info(
                    "%s %g: dev F1 %.2f -> %.2f, 95 %% interval of the difference %+.2f to %+.2f, p %.3f",
                    key, value, compared.first_f, compared.second_f, compared.low, compared.high,
                    compared.p_permutation,
                )  # fmt: skip
                if compared.delta > best_delta and compared.p_permutation < undecided.doubt:
                    best_delta, best = compared.delta, way
        return best

    def _try(self, task: Task, choices: dict[str, Any], found: Sequence[Prediction]) -> _Way:
        return _Way(task, choices, found, fit_scores(task.score_kind, *self._judged(found), with_least=self.decides))

    def _counted(self, way: _Way) -> np.ndarray:
        """(1, sentences, 3) of dev, without low scores, see :func:`compare_counts`."""
        kept, _ = leave_out(way.on_dev, way.scoring)
        pairs = zip(self.examples["dev"], kept, strict=True)
        return np.array([[sentence_counts(example.entities, one.entities) for example, one in pairs]])

    def _judged(self, found: Sequence[Prediction]) -> tuple[JudgedScores, FittedOn]:
        """The scores on dev, and what is to be said of the data."""
        judged, fingerprint = JudgedScores(), Fingerprint()
        for example, prediction in zip(self.examples["dev"], found, strict=True):
            gold = set(example.entities)
            fingerprint.add(example.words, gold)
            scores = prediction.distinct()
            judged.add(((one.label, score, one in gold) for one, score in scores.items()), len(gold))
        return judged, FittedOn("dev", len(found), fingerprint.digest)

    def _stored(self, fitted: FittedScores | None) -> ModelCalibration:
        """What is to be stored, once it was said."""
        if fitted is None:
            if "dev" in self.loaders:
                logger.info("scores not calibrated: no predictions of dev whose scores are probabilities")
            return ModelCalibration()
        calibration, least = fitted.calibration, fitted.least
        logger.info(
            "scores calibrated on %d entities of dev: temperature %.3f, shift %+.3f, doubt %g, calibration error "
            "%.4f -> %.4f",
            calibration.n, calibration.temperature, calibration.shift, calibration.doubt, fitted.ece_before,
            fitted.ece_after,
        )  # fmt: skip
        if self.decides:
            logger.info("least scores: %s; dev F1 %.2f -> %.2f", least, least.f_before, least.f_after)
        return ModelCalibration((fitted,))


def leave_out(found: Sequence[Prediction], scoring: Scoring) -> tuple[list[Prediction], list[list[tuple[Any, float]]]]:
    """The predictions without entities whose scores are too low; and those entities, with their scores."""
    kept, left_out = [], []
    for prediction in found:
        stays = scoring(prediction.distinct())
        pairs = list(zip(prediction.entities, prediction.scores, strict=True))
        inside = [pair for pair in pairs if pair[0] in stays]
        entities, scores = [pair[0] for pair in inside], [pair[1] for pair in inside]
        is_whole = len(inside) == len(pairs)
        kept.append(prediction if is_whole else replace(prediction, entities=entities, scores=scores, exact=None))
        left_out.append([pair for pair in pairs if pair[0] not in stays])
    return kept, left_out


def _counts(found: Sequence[Prediction]) -> Counter[str]:
    return sum((prediction.counts for prediction in found), Counter())


def _compared(scores: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    return {key: scores[key] for key in _COMPARED} | {"counts": dict(counts)}
