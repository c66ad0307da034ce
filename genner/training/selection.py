"""What happens between two epochs: evaluation, choice of the best epoch, collapse, and everything that is written.

Some published runs fell to F1 0 and were left out of the mean; here such a run is reported, and stopped early.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import genner.patches  # noqa: F401  before fastNLP
from genner.training.best import settle_best, write_best
from genner.training.callbacks import CollapseWatch, EpochMeter
from genner.training.evaluation import predict, score
from genner.training.job import FitConfig, FitJob
from genner.training.predictions import write_predictions
from genner.training.state import RunState, save_state

# isort: split
from fastNLP import Trainer
from fastNLP.core.utils.exceptions import EarlyStopException

__all__ = ["EpochEnd", "alarms", "collapse_reason", "health"]

logger = logging.getLogger(__name__)

# A short run that has found nothing yet has not collapsed.
_EARLIEST = 5
# Healthy runs fluctuate too; these values are far from any seen in one.
_LOST_SHARE = 0.5
_LEARNED = 20.0
_MOST_REJECTED = 50.0
_LENGTHS = (0.1, 3.0)
_GRADIENT_JUMP = 100.0


class EpochEnd:
    """Called after every epoch; :func:`genner.training.trainer.fit` says what it does in which order."""

    def __init__(
        self, job: FitJob, config: FitConfig, state: RunState, *, meter: EpochMeter, watch: CollapseWatch
    ) -> None:
        self.job, self.config, self.state = job, config, state
        self.meter, self.watch = meter, watch

    def __call__(self, trainer: Trainer) -> None:
        state = self.state
        loss = self.meter.mean_loss
        state.epoch = trainer.cur_epoch_idx
        state.train_seconds += self.meter.seconds
        record: dict[str, Any] = {"epoch": state.epoch, "loss": loss, "seconds": self.meter.seconds}
        record |= self.watch.gradient_norm
        state.history.append(record)
        if state.epoch >= self.config.evaluate_from:
            trainer.on_evaluate_begin()
            is_best, scores = self.evaluate(record)
            trainer.on_evaluate_end({"epoch": state.epoch, "best": is_best, "scores": scores})
            if reason := collapse_reason(self.config, state.epoch, scores[self.config.select_on]["f"]):
                self.collapse(reason)
        if found := list(alarms(state.history, self.config.select_on)):
            record["alarms"] = found
            logger.warning("epoch %d: %s", state.epoch, "; ".join(found))
        logger.info("%s", _line(record, self.config.epochs, is_best=state.best.get("epoch") == state.epoch))
        self.save()
        if state.status != "ok":
            raise EarlyStopException(state.reason)

    def collapse(self, reason: str) -> None:
        """Mark the run as collapsed."""
        self.state.status, self.state.reason = "collapsed", reason
        logger.warning("collapsed: %s", reason)

    def save(self) -> None:
        """Write a checkpoint, then put the best model in its place."""
        if self.job.folder is not None:
            save_state(self.job.folder / "last", self.job.task, self.job.optimizer, self.state)
            settle_best(self.job.folder, self.state.best.get("epoch"))

    def evaluate(self, record: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
        """Score the task as it is, keep it if it is the best so far, and note in ``record`` what is watched.

        Returns:
            whether it is the best so far, and the scores by split.
        """
        started_at = time.perf_counter()
        selecting = self.config.select_on
        predictions, scores = {}, {}
        # The selecting split first: test is only evaluated if it is that split or the epoch is the best so far.
        for split in sorted({"dev", "test"} & self.job.loaders.keys(), key=lambda split: split != selecting):
            if split == "dev" or split == selecting or self._is_best(scores[selecting]["f"]):
                predictions[split], scores[split] = self._run(split)
        is_best = self._is_best(scores[selecting]["f"])
        if is_best:
            self._keep(predictions, scores)
        for split, values in scores.items():
            watched = {"f": values["f"], **health(values)}
            record |= {f"{split}_{name}": value for name, value in watched.items()}
        record["evaluation_seconds"] = time.perf_counter() - started_at
        return is_best, scores

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
        write_best(self.job.folder, self.state.epoch, partial(self._write, predictions))

    def _write(self, predictions: dict[str, Any], model: Path, others: Path) -> None:
        if self.job.save is not None:
            self.job.save(model)
        for split, found in predictions.items():
            write_predictions(others / f"predictions.{split}.jsonl", self.job.examples[split], found)


def _line(record: dict[str, Any], epochs: int, *, is_best: bool) -> str:
    parts = [f"epoch {record['epoch']}/{epochs}", f"loss {record['loss']:.4f}"]
    parts += [f"{split} F1 {record[f'{split}_f']:.2f}" for split in ("dev", "test") if f"{split}_f" in record]
    parts.append(f"{record['seconds']:.1f} s training")
    if "evaluation_seconds" in record:
        parts.append(f"{record['evaluation_seconds']:.1f} s evaluation")
    return "  ".join(parts) + ("  best so far" if is_best else "")


def collapse_reason(config: FitConfig, epoch: int, f: float) -> str:
    """Why a run with this F1 (percent) on the selecting split after ``epoch`` epochs has collapsed; empty if not."""
    begin = config.collapse_from or max(_EARLIEST, math.ceil(config.epochs / 2))
    if epoch >= begin and f < config.collapse_below:
        return f"F1 {f:.2f} on {config.select_on} after epoch {epoch} is below {config.collapse_below:.1f}"
    return ""


def health(scores: Mapping[str, Any]) -> dict[str, float]:
    """What is monitored besides F1 on a split.

    Returns:
        ``em`` exact sentences in percent; ``rejected`` malformed groups in percent of all groups in the output;
        ``length`` predicted entities per gold entity.
    """
    rejected = sum(scores["rejected"].values())
    written = scores["predicted"] + rejected
    return {
        "em": scores["em"],
        "rejected": round(100 * rejected / written, 2) if written else 0.0,
        "length": round(written / max(scores["support"], 1), 3),
    }


def alarms(history: list[dict[str, Any]], split: str) -> Iterator[str]:
    """What is suspicious about the last record of a run's history, but not reason enough to stop."""
    *before, last = history
    seen = [record[f"{split}_f"] for record in before if f"{split}_f" in record]
    if f"{split}_f" in last and seen and max(seen) >= _LEARNED:
        if last[f"{split}_f"] < _LOST_SHARE * max(seen):
            yield f"{split} F1 fell from {max(seen):.2f} to {last[f'{split}_f']:.2f}"
        if last[f"{split}_rejected"] > _MOST_REJECTED:
            yield f"{last[f'{split}_rejected']:.0f} % of what is written on {split} is malformed"
        low, high = _LENGTHS
        if not low <= last[f"{split}_length"] <= high:
            yield f"{last[f'{split}_length']:.2f} entities are written on {split} for every gold one"
    norms = [record["grad_norm"] for record in before]
    if norms and last["grad_norm_max"] > _GRADIENT_JUMP * statistics.median(norms):
        yield f"a gradient's norm rose to {last['grad_norm_max']:.3g}, from {statistics.median(norms):.3g} on average"
