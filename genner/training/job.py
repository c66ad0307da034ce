"""What goes into a training and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from genner.data.schema import Example
from genner.errors import ConfigError
from genner.training.driver import Placement, on_one_device
from genner.training.evaluation import Metric
from genner.training.optim import Schedule

__all__ = ["FitConfig", "FitJob", "FitResult", "LossSum", "check"]


class LossSum(NamedTuple):
    """The loss of a batch as a sum, so that batches can be added up and divided once.

    Attributes:
        total: scalar, the sum of the losses of its symbols, words or whatever the task counts.
        weight: how many there are.
    """

    total: Tensor
    weight: Tensor | float

    @property
    def mean(self) -> Tensor:
        """The mean loss."""
        return self.total / self.weight


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    Attributes:
        epochs: number of epochs.
        evaluate_from: first epoch that is evaluated, counted from 1.
        select_on: ``dev`` or ``test``, the split whose F1 chooses the best epoch.
        accumulate: batches per optimizer step; the last step of an epoch may have fewer.
        clip_value: largest absolute value of an element of a gradient; 0 does not clip.
        bf16: run the steps under ``torch.autocast`` in bfloat16; the weights stay in float32.
        compile: compile the training step with ``torch.compile``; evaluation is not compiled.
        seed: of everything random.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; ``auto`` takes a GPU if there is one.
        deterministic: on a GPU, take only algorithms that give the same numbers in every run.
        collapse_below: a run whose F1 (percent) on the selecting split is lower has collapsed and stops; so does one
            whose loss is not finite. 0 never stops a run for its F1.
        collapse_from: first epoch whose F1 is checked; None: the second half of the epochs, 5 at the earliest.
        attempt: how often the seed was restarted after a collapse.
    """

    epochs: int
    evaluate_from: int = 1
    select_on: str = "dev"
    accumulate: int = 1
    clip_value: float = 5.0
    bf16: bool = False
    compile: bool = False
    seed: int = 1
    device: str = "auto"
    deterministic: bool = True
    collapse_below: float = 4.0
    collapse_from: int | None = None
    attempt: int = 0


@dataclass
class FitJob:
    """The objects of a run.

    Attributes:
        task: the module to train, see :mod:`genner.training.trainer`.
        loaders: by split; ``train``, and those of ``dev`` and ``test`` that are to be evaluated.
        examples: the sentences of the splits that are evaluated, in file order.
        metric: makes a new metric.
        optimizer: over the task's parameters; None if the task is not trainable.
        schedule: learning rate factor by step.
        folder: of this seed (``seed-<n>``); None writes nothing.
        save: writes the portable model folder; called with an empty folder when an epoch is the best so far.
        placement: puts the task where it is trained.
    """

    task: nn.Module
    loaders: Mapping[str, DataLoader]
    examples: Mapping[str, Sequence[Example]]
    metric: Callable[[], Metric]
    optimizer: torch.optim.Optimizer | None
    schedule: Schedule
    folder: Path | None = None
    save: Callable[[Path], None] | None = None
    placement: Placement = on_one_device


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        status: ``ok`` or ``collapsed``.
        best_epoch: counted from 1; 0 if nothing was evaluated.
        epochs: epochs trained.
        steps: optimizer steps trained.
        train_seconds: in training steps, evaluations excluded.
        device: where it was trained.
        scores: of the best epoch, by split.
        history: ``{"epoch", "loss", "seconds", "grad_norm", "grad_norm_max"}`` per epoch, and of the splits that were
            evaluated ``<split>_f`` and what :func:`genner.training.selection.health` returns; ``alarms`` if there were
            any.
        reason: why it collapsed.
    """

    status: str
    best_epoch: int
    epochs: int
    steps: int
    train_seconds: float
    device: str = "cpu"
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""

    @property
    def steps_per_second(self) -> float:
        """Optimizer steps per second of training time."""
        return self.steps / self.train_seconds if self.train_seconds > 0 else 0.0


def check(job: FitJob, config: FitConfig) -> None:
    """Raise a ConfigError for a job that cannot be run as configured."""
    if "train" not in job.loaders:
        raise ConfigError(
            f"training: no train split among {', '.join(job.loaders) or 'no splits'}. Expected one. Add it."
        )
    if config.accumulate < 1 or config.epochs < 1:
        raise ConfigError(
            f"training: {config.epochs} epochs, {config.accumulate} batches per step. Expected at least 1 of each. "
            "Raise them."
        )
    if config.select_on not in ("dev", "test"):
        raise ConfigError(
            f"training.select_on: cannot select on {config.select_on!r}. Expected dev or test. Set it to one of them."
        )
    if config.select_on not in job.loaders:
        others = [split for split in job.loaders if split != "train"]
        advice = f"Set training.select_on={others[0]}" if others else "Add a dev split"
        raise ConfigError(
            f"training.select_on: the data has no {config.select_on} split, or it is not labelled, so the best epoch "
            f"cannot be selected on it. Expected {' or '.join(others) or 'a dev split'}. {advice}."
        )
    unknown = [split for split in ("dev", "test") if split in job.loaders and split not in job.examples]
    if unknown:
        raise ConfigError(
            f"training: no examples of {', '.join(unknown)} to score. Expected those of every split. Add them, or "
            "leave its loader out."
        )
    if config.evaluate_from > config.epochs:
        raise ConfigError(
            f"training.evaluate_from: epoch {config.evaluate_from} is after the last one, {config.epochs}. "
            "Expected an epoch that is trained; otherwise nothing would be saved. Lower training.evaluate_from."
        )
