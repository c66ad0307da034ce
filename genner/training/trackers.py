"""Other records of a run, each by ``--track``: TensorBoard, Weights & Biases, CodeCarbon. None is required."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import genner.patches  # noqa: F401  before fastNLP
from genner.errors import ConfigError, import_extra
from genner.files import write_json

# isort: split
from fastNLP import Callback

__all__ = ["TRACKERS", "build_trackers", "read_emissions"]

logger = logging.getLogger(__name__)

_EMISSIONS = "emissions.json"


class _Curves(Callback):
    """Writes loss, rate, gradient norm and scores by step; ``write(values, step)`` is what a record has of its own."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Add values, by name, at an optimizer step."""
        raise NotImplementedError

    def on_train_epoch_end(self, trainer: Any) -> None:
        rates = {f"lr/{index}": group["lr"] for index, group in enumerate(trainer.driver.optimizers[0].param_groups)}
        values = {"loss": trainer.meter.mean_loss, **trainer.watch.gradient_norm, **rates}
        self.write(values, trainer.cur_epoch_idx * trainer.steps_per_epoch)

    def on_evaluate_end(self, trainer: Any, results: Mapping[str, Any]) -> None:
        scores = {
            f"{split}/{name}": value
            for split, values in results["scores"].items()
            for name, value in values.items()
            if isinstance(value, float)
        }
        self.write(scores, results["epoch"] * trainer.steps_per_epoch)


class _TensorBoard(_Curves):
    """``<seed folder>/tensorboard``; what a killed run wrote after its last whole epoch is purged."""

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
    """Energy and CO2 of the training as CodeCarbon estimates them, summed over all continuations of a seed.

    Without ``$CODECARBON_COUNTRY_ISO_CODE`` (such as DEU) CodeCarbon asks the network where it is, and guesses if there
    is none; the country that it took stands beside the numbers.
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
    """The callbacks of the records asked for.

    Args:
        names: keys of :data:`TRACKERS`.
        folder: of the seed.
        settings: of the run, nested mappings of plain values.

    Raises:
        ConfigError: an unknown name.
        MissingBackendError: its package is not installed; says how to install it.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"training.track: unknown record {name!r}. Expected any of {', '.join(TRACKERS)}.")
        yield TRACKERS[name](folder, settings)


def read_emissions(folder: Path) -> dict[str, Any] | None:
    """What CodeCarbon counted for the seed in ``folder``; None if it was not asked."""
    path = folder / _EMISSIONS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
