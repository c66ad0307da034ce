"""What happens between two epochs: evaluation, choice of the best epoch, and everything that is written."""

from __future__ import annotations

import logging
import time
from typing import Any

from genner import patches  # noqa: F401  before fastNLP
from genner.files import replace_folder
from genner.training.collapse import alarms, collapse_reason, health
from genner.training.evaluation import predict, score
from genner.training.job import FitConfig, FitJob
from genner.training.predictions import write_predictions
from genner.training.state import RunState, save_state

# isort: split
from fastNLP.core.utils.exceptions import EarlyStopException

__all__ = ["EpochEnd"]

logger = logging.getLogger(__name__)


class EpochEnd:
    """Called after every epoch; see :func:`genner.training.trainer.fit` for the order of things."""

    def __init__(self, job: FitJob, config: FitConfig, state: RunState) -> None:
        self.job, self.config, self.state = job, config, state

    def __call__(self, trainer: Any) -> None:
        state = self.state
        loss = trainer.meter.mean_loss
        state.epoch = trainer.cur_epoch_idx
        state.train_seconds += trainer.meter.seconds
        record: dict[str, Any] = {"epoch": state.epoch, "loss": loss, "seconds": trainer.meter.seconds}
        record |= trainer.watch.gradient_norm
        state.history.append(record)
        if state.epoch >= self.config.evaluate_from:
            self._evaluate(trainer, record)
        if found := list(alarms(state.history, self.config.select_on)):
            record["alarms"] = found
            logger.warning("epoch %d: %s", state.epoch, "; ".join(found))
        logger.info("%s", _line(record, self.config.epochs, is_best=state.best.get("epoch") == state.epoch))
        self.save()
        if state.status != "ok":
            raise EarlyStopException(state.reason)

    def collapse(self, reason: str) -> None:
        """Note that the run has collapsed."""
        self.state.status, self.state.reason = "collapsed", reason
        logger.warning("collapsed: %s", reason)

    def save(self) -> None:
        """Write the state for a continuation."""
        if self.job.folder is not None:
            save_state(self.job.folder / "last", self.job.task, self.job.optimizer, self.state)

    def _evaluate(self, trainer: Any, record: dict[str, Any]) -> None:
        trainer.on_evaluate_begin()
        begun_at = time.perf_counter()
        selecting = self.config.select_on
        predictions, scores = {}, {}
        # The selecting split first, since test is only looked at when it is asked for or the epoch is the best so far.
        for split in sorted({"dev", "test"} & self.job.loaders.keys(), key=lambda split: split != selecting):
            if split == "dev" or split == selecting or self._is_best(scores[selecting]["f"]):
                predictions[split], scores[split] = self._run(split)
        is_best = self._is_best(scores[selecting]["f"])
        if is_best:
            self._keep(predictions, scores)
        if reason := collapse_reason(self.config, self.state.epoch, scores[selecting]["f"]):
            self.collapse(reason)
        for split, values in scores.items():
            watched = {"f": values["f"], **health(values)}
            record |= {f"{split}_{name}": value for name, value in watched.items()}
        record["evaluation_seconds"] = time.perf_counter() - begun_at
        trainer.on_evaluate_end({"epoch": self.state.epoch, "best": is_best, "scores": scores})

    def _run(self, split: str) -> tuple[list[Any], dict[str, Any]]:
        examples, loader = self.job.examples[split], self.job.loaders[split]
        predictions = predict(self.job.task, loader, len(examples), title=split, bf16=self.config.bf16)
        return predictions, score(self.job.metric(), examples, predictions)

    def _is_best(self, value: float) -> bool:
        return not self.state.best or value > self.state.best["value"]

    def _keep(self, predictions: dict[str, Any], scores: dict[str, Any]) -> None:
        self.state.best = {
            "epoch": self.state.epoch,
            "value": scores[self.config.select_on]["f"],
            "scores": scores,
        }
        if self.job.folder is None:
            return
        if self.job.save is not None:
            replace_folder(self.job.folder / "best", self.job.save)
        for split, found in predictions.items():
            write_predictions(self.job.folder / f"predictions.{split}.jsonl", self.job.examples[split], found)


def _line(record: dict[str, Any], epochs: int, *, is_best: bool) -> str:
    parts = [f"epoch {record['epoch']}/{epochs}", f"loss {record['loss']:.4f}"]
    parts += [f"{split} F1 {record[f'{split}_f']:.2f}" for split in ("dev", "test") if f"{split}_f" in record]
    parts.append(f"{record['seconds']:.1f} s training")
    if "evaluation_seconds" in record:
        parts.append(f"{record['evaluation_seconds']:.1f} s evaluation")
    return "  ".join(parts) + ("  best so far" if is_best else "")
