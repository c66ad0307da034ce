"""The fitlog record of one seed: settings, loss and scores by epoch, best scores. ``fitlog log <folder>`` shows them.

fitlog keeps one record per process at a time. It is never asked to commit, so it works with and without git.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import genner.patches  # noqa: F401  before fitlog
from genner.files import write_text

# isort: split
import fitlog
from fastNLP import Callback

__all__ = ["FitlogCallback"]

logger = logging.getLogger(__name__)

_NAME_SECONDS = 0.3
_CURVES = ("loss.log", "metric.log", "best_metric.log")


class FitlogCallback(Callback):
    """Writes the record; in a run of several processes, the first one does.

    Args:
        log_root: folder of all records, such as ``logs``; made if missing.
        settings: of the run, nested mappings of plain values.
        memory: file that remembers the name of the record, so that a continued run appends to it.
    """

    def __init__(self, log_root: Path, settings: Mapping[str, Any], memory: Path | None = None) -> None:
        super().__init__()
        self.log_root, self.settings, self.memory = log_root, settings, memory
        self._failed = False

    def on_train_begin(self, trainer: Any) -> None:
        if trainer.driver.global_rank != 0:
            return
        record = self._remembered() or self._new()
        _rewind(record, trainer.cur_epoch_idx)
        (record / "meta.log").touch()  # without it fitlog would take the folder for one of records
        with _quiet():
            fitlog.set_log_dir(str(record), new_log=True)
            if not _has_lines(record / "progress.log"):
                fitlog.add_progress(total_steps=trainer.total_steps)
            if not _has_lines(record / "hyper.log"):
                fitlog.add_hyper(_plain(self.settings))
        logger.info("fitlog record %s", record)

    def on_train_epoch_end(self, trainer: Any) -> None:
        if trainer.driver.global_rank == 0:
            step = trainer.cur_epoch_idx * trainer.steps_per_epoch
            fitlog.add_loss(trainer.meter.mean_loss, step=step, name="loss", epoch=trainer.cur_epoch_idx)

    def on_evaluate_end(self, trainer: Any, results: Mapping[str, Any]) -> None:
        if trainer.driver.global_rank != 0:
            return
        epoch = results["epoch"]
        scores = {split: _numbers(values) for split, values in results["scores"].items()}
        fitlog.add_metric(scores, step=epoch * trainer.steps_per_epoch, epoch=epoch)
        if results["best"]:
            fitlog.add_best_metric({**scores, "epoch": epoch})

    def on_exception(self, trainer: Any, exception: BaseException) -> None:
        self._failed = True

    def on_train_end(self, trainer: Any) -> None:
        if trainer.driver.global_rank == 0 and fitlog.is_initialized():
            with _quiet():
                fitlog.finish(status=int(self._failed))

    def _remembered(self) -> Path | None:
        if self.memory is None or not self.memory.exists():
            return None
        record = self.log_root / self.memory.read_text(encoding="utf-8").strip()
        return record if record.is_dir() else None

    def _new(self) -> Path:
        """A new record. Its name is remembered before it exists, so that a killed run leaves none that is forgotten."""
        self.log_root.mkdir(parents=True, exist_ok=True)
        while True:
            record = self.log_root / time.strftime("log_%Y%m%d_%H%M%S")  # the names that fitlog's page looks for
            if self.memory is not None:
                write_text(self.memory, record.name + "\n")
            try:
                record.mkdir()
            except FileExistsError:  # of another process
                time.sleep(_NAME_SECONDS)
            else:
                return record


def _rewind(record: Path, epochs: int) -> None:
    """Take out what was recorded after the last of the whole epochs that the run goes on from, half lines included."""
    for name in _CURVES:
        path = record / name
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(path, "".join(line for line in lines if _epoch_of(line) <= epochs))


def _has_lines(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _epoch_of(line: str) -> float:
    """The epoch of a line such as ``Step:12 {"loss": {...}, "epoch": 3}``; infinity for what cannot be read."""
    try:
        content = json.loads(line[line.index("{") :])
        return content.get("epoch") or content["metric"]["epoch"]
    except (ValueError, KeyError, TypeError):
        return math.inf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """fitlog prints and warns about what is as it should be; that goes to the log instead."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    if printed.getvalue().strip():
        logger.debug("fitlog: %s", printed.getvalue().strip())


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores over all entities; those by label and subset would drown fitlog's table."""
    return {name: value for name, value in scores.items() if isinstance(value, float)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, int | float | str) or value is None else str(value)
