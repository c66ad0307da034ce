"""The records of a seed: fitlog always; by ``--track`` also TensorBoard, Weights & Biases and CodeCarbon."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import genner.patches  # noqa: F401  before fitlog and fastNLP
from genner.errors import ConfigError, import_extra
from genner.files import write_json, write_text

# isort: split
import fitlog
from fastNLP import Callback

__all__ = ["TRACKERS", "FitlogCallback", "build_trackers", "read_emissions"]

logger = logging.getLogger(__name__)

_EMISSIONS = "emissions.json"
_NAME_SECONDS = 0.3
_FITLOG_CURVES = ("loss.log", "metric.log", "best_metric.log")


class FitlogCallback(Callback):
    """The fitlog record of a seed: settings, loss and scores by epoch, best scores; ``fitlog log <folder>`` shows them.

    fitlog keeps one record per process at a time. It never commits here, so it works with and without git.

    Args:
        log_root: folder of all records, such as ``logs``; made if missing.
        settings: of the run, nested mappings of plain values.
        memory: file that stores the name of the record, so that a resumed run appends to it.
    """

    def __init__(self, log_root: Path, settings: Mapping[str, Any], memory: Path) -> None:
        super().__init__()
        self.log_root, self.settings, self.memory = log_root, settings, memory
        self._failed = False

    def on_train_begin(self, trainer: Any) -> None:
        record = self._remembered() or self._new()
        _rewind(record, trainer.cur_epoch_idx)
        (record / "meta.log").touch()  # without it fitlog would take it for a folder of records
        with _quiet():
            fitlog.set_log_dir(str(record), new_log=True)
            if not _has_lines(record / "progress.log"):
                fitlog.add_progress(total_steps=trainer.total_steps)
            if not _has_lines(record / "hyper.log"):
                fitlog.add_hyper(_plain(self.settings))
        logger.info("fitlog record %s", record)

    def on_train_epoch_end(self, trainer: Any) -> None:
        step = trainer.cur_epoch_idx * trainer.steps_per_epoch
        fitlog.add_loss(trainer.meter.mean_loss, step=step, name="loss", epoch=trainer.cur_epoch_idx)

    def on_evaluate_end(self, trainer: Any, results: Mapping[str, Any]) -> None:
        epoch = results["epoch"]
        scores = {split: _totals(values) for split, values in results["scores"].items()}
        fitlog.add_metric(scores, step=epoch * trainer.steps_per_epoch, epoch=epoch)
        if results["best"]:
            fitlog.add_best_metric({**scores, "epoch": epoch})

    def on_exception(self, trainer: Any, exception: BaseException) -> None:
        self._failed = True

    def on_train_end(self, trainer: Any) -> None:
        if fitlog.is_initialized():
            with _quiet():
                fitlog.finish(status=int(self._failed))

    def _remembered(self) -> Path | None:
        if not self.memory.exists():
            return None
        record = self.log_root / self.memory.read_text(encoding="utf-8").strip()
        return record if record.is_dir() else None

    def _new(self) -> Path:
        """A new record. Its name is stored before it exists, so that a killed run leaves no record behind unnamed."""
        self.log_root.mkdir(parents=True, exist_ok=True)
        while True:
            record = self.log_root / time.strftime("log_%Y%m%d_%H%M%S")  # the names that fitlog's page looks for
            write_text(self.memory, record.name + "\n")
            try:
                record.mkdir()
            except FileExistsError:  # of another process
                time.sleep(_NAME_SECONDS)
            else:
                return record


def _rewind(record: Path, epochs: int) -> None:
    """Remove what was recorded after the last complete epoch, from which the run resumes; half lines included."""
    for name in _FITLOG_CURVES:
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
    """fitlog prints and warns about what is expected; that goes to the log instead."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    if printed.getvalue().strip():
        logger.debug("fitlog: %s", printed.getvalue().strip())


def _totals(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores over all entities; those by label and subset would swamp the tables of a record."""
    return {name: value for name, value in scores.items() if isinstance(value, float)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, int | float | str) or value is None else str(value)


class _Curves(Callback):
    """Writes loss, rate, gradient norm and scores by step; subclasses say where to in ``write``."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Add values, by name, at an optimizer step."""
        raise NotImplementedError

    def on_train_epoch_end(self, trainer: Any) -> None:
        rates = {f"lr/{index}": group["lr"] for index, group in enumerate(trainer.parameter_groups)}
        values = {"loss": trainer.meter.mean_loss, **trainer.watch.gradient_norm, **rates}
        self.write(values, trainer.cur_epoch_idx * trainer.steps_per_epoch)

    def on_evaluate_end(self, trainer: Any, results: Mapping[str, Any]) -> None:
        scores = {
            f"{split}/{name}": value
            for split, values in results["scores"].items()
            for name, value in _totals(values).items()
        }
        self.write(scores, results["epoch"] * trainer.steps_per_epoch)


class _TensorBoard(_Curves):
    """``<seed folder>/tensorboard``; what a killed run wrote after its last complete epoch is purged."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__()
        import_extra("tensorboard", "tensorboard>=2.18", needed_for="--track tensorboard")
        self.folder, self.settings = folder / "tensorboard", settings

    def on_train_begin(self, trainer: Any) -> None:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        first_step = trainer.cur_epoch_idx * trainer.steps_per_epoch + 1
        self.writer = writer(str(self.folder), purge_step=first_step)
        self.writer.add_text("recipe", f"```\n{json.dumps(self.settings, indent=1)}\n```", first_step)

    def write(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def on_train_end(self, trainer: Any) -> None:
        self.writer.close()


class _WeightsAndBiases(_Curves):
    """A run of the project ``genner``, or of ``$WANDB_PROJECT``; a repeated command continues it."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.wandb = import_extra("wandb", "wandb>=0.20", needed_for="--track wandb")
        self.folder, self.settings = folder, settings

    def on_train_begin(self, trainer: Any) -> None:
        folder = self.folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.run = self.wandb.init(
                project=os.environ.get("WANDB_PROJECT", "genner"),
                name="/".join(folder.parts[-3:]),
                id=hashlib.sha256(str(folder).encode()).hexdigest()[:16],
                resume="allow",
                dir=str(self.folder),
                config=dict(self.settings),
            )
        except self.wandb.errors.Error as error:
            raise ConfigError(
                f"--track wandb: {str(error).splitlines()[0]}. Expected an account or WANDB_MODE=offline. "
                "Run wandb login, or set WANDB_MODE=offline and wandb sync later."
            ) from None

    def write(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def on_train_end(self, trainer: Any) -> None:
        if getattr(self, "run", None) is not None:
            self.run.finish()


class _Emissions(Callback):
    """Energy and CO2 of the training as CodeCarbon estimates them, summed over all parts of a resumed seed.

    Without ``$CODECARBON_COUNTRY_ISO_CODE`` (such as DEU) CodeCarbon looks up its location on the network, and guesses
    if there is none; the country that it used is recorded with the numbers.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.codecarbon = import_extra("codecarbon", "codecarbon>=3", needed_for="--track codecarbon")
        self.path = folder / _EMISSIONS

    def on_train_begin(self, trainer: Any) -> None:
        self.sums = read_emissions(self.path.parent) or {"kwh": 0.0, "kg_co2e": 0.0, "seconds": 0.0}
        country = os.environ.get("CODECARBON_COUNTRY_ISO_CODE")
        kind = self.codecarbon.OfflineEmissionsTracker if country else self.codecarbon.EmissionsTracker
        place = {"country_iso_code": country} if country else {}
        self.tracker = kind(output_methods=[], log_level="error", allow_multiple_runs=True, **place)
        self.tracker.start_task()

    def on_train_epoch_end(self, trainer: Any) -> None:
        self._add()
        self.tracker.start_task()

    def on_train_end(self, trainer: Any) -> None:
        self._add()
        self.tracker.stop()

    def _add(self) -> None:
        part = self.tracker.stop_task()
        measured = {"kwh": part.energy_consumed, "kg_co2e": part.emissions, "seconds": part.duration}
        self.sums |= {name: value + self.sums[name] for name, value in measured.items()}
        self.sums |= {"country": part.country_name, "cpu": part.cpu_model, "gpu": part.gpu_model}
        write_json(self.path, self.sums)


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any]], Callback]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WeightsAndBiases,
    "codecarbon": _Emissions,
}


def build_trackers(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> Iterator[Callback]:
    """The callbacks of the records ``names``, keys of :data:`TRACKERS`, for the seed in ``folder``.

    Raises:
        ConfigError: an unknown name.
        MissingBackendError: its package is not installed; says how to install it.
    """
    for name in names:
        if name not in TRACKERS:
            known = ", ".join(TRACKERS)
            raise ConfigError(f"training.track: unknown record {name!r}. Expected any of {known}. Choose among them.")
        yield TRACKERS[name](folder, settings)


def read_emissions(folder: Path) -> dict[str, Any] | None:
    """What CodeCarbon recorded for the seed in ``folder``; None if it was not used."""
    path = folder / _EMISSIONS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
