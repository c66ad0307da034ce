"""Training a task with the fastNLP Trainer: epochs, evaluation, best and last checkpoint, resuming.

A *task* is a ``torch.nn.Module`` with ``loss(batch) -> LossSum`` and ``predict(batches)``, which yields a
``Prediction`` per sentence. It knows its formulation; nothing here does. The loss is a sum with its number of symbols:
it is divided here, once per optimizer step, so that 8 batches of 1 give the gradient of 1 batch of 8. Mixed precision
is switched on here (``FitConfig.bf16``: both run under ``torch.autocast``), not in the task.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

import genner.patches  # noqa: F401  before fastNLP
from genner.files import clear_leftovers
from genner.training.best import settle_best
from genner.training.callbacks import ClipGradients, CollapseWatch, EpochMeter, LearningRate, ShowProgress
from genner.training.driver import CompiledStep, SingleDriver
from genner.training.evaluation import to_device
from genner.training.job import FitConfig, FitJob, FitResult, LossSum, check
from genner.training.selection import EpochEnd
from genner.training.state import RunState, load_state, seed_everything
from genner.training.world import World, open_world

# isort: split
from fastNLP import Callback, Trainer

__all__ = ["EntityTrainer", "fit"]

logger = logging.getLogger(__name__)


def fit(job: FitJob, config: FitConfig, callbacks: Sequence[Callback] = ()) -> FitResult:
    """Train, or resume from the checkpoint in ``job.folder``; a finished training is not repeated.

    After each epoch the dev split is evaluated (from ``evaluate_from`` on), and test if the epoch is the best so far;
    then the best model, its predictions and a checkpoint are written, each atomically. Ctrl-C leaves the checkpoint of
    the last complete epoch and raises ``KeyboardInterrupt``. Afterwards the task has the weights of the last epoch;
    those of the best one are in ``job.folder / "best"``. A task that is not trainable is only evaluated and saved.

    Args:
        job: the objects.
        config: the numbers.
        callbacks: further fastNLP callbacks; ``on_evaluate_end`` gets ``{"epoch", "best", "scores": {split: {...}}}``.

    Raises:
        ConfigError: a split is missing, or the checkpoint belongs to another run.
        MissingBackendError: this machine has no such device.
    """
    check(job, config)
    world = open_world(config.device, deterministic=config.deterministic)
    seed_everything(config.seed)
    if not job.task.trainable:
        return _evaluate_only(job, config, world)
    trainer = EntityTrainer(job, config, callbacks, world)
    state = _state(job, trainer, config.attempt)
    if state.epoch >= config.epochs or state.status != "ok":
        logger.info("already trained: %d epochs, status %s", state.epoch, state.status)
    else:
        logger.info("training on %s: %d epochs, %d steps", world.device, config.epochs, trainer.total_steps)
        trainer.cur_epoch_idx, trainer.schedule_steps = state.epoch, state.total_steps
        trainer.epoch_end = EpochEnd(job, config, state, meter=trainer.meter, watch=trainer.watch)
        try:
            trainer.run(catch_KeyboardInterrupt=False)
        except KeyboardInterrupt:
            logger.warning("interrupted; repeat the command to resume after the last complete epoch")
            raise
        if trainer.watch.reason:
            trainer.epoch_end.collapse(trainer.watch.reason)
            trainer.epoch_end.save()
    return FitResult(
        status=state.status,
        best_epoch=state.best.get("epoch", 0),
        epochs=state.epoch,
        steps=state.epoch * trainer.steps_per_epoch,
        train_seconds=state.train_seconds,
        device=str(world.device),
        scores=state.best.get("scores", {}),
        history=state.history,
        reason=state.reason,
    )


def _evaluate_only(job: FitJob, config: FitConfig, world: World) -> FitResult:
    """What is left of a training for a task that is used as it is."""
    logger.info("nothing to train; evaluating on %s", world.device)
    job.placement(job.task, world.device)
    state = RunState()
    _, scores = EpochEnd(job, config, state, meter=EpochMeter(), watch=CollapseWatch()).evaluate({})
    if job.folder is not None:
        settle_best(job.folder, state.epoch)
    return FitResult(state.status, 0, 0, 0, 0.0, str(world.device), scores)


class EntityTrainer(Trainer):
    """The fastNLP Trainer with five changes.

    * :attr:`epoch_end` replaces the built-in evaluation, so that checkpoints are taken at epoch boundaries.
    * Accumulation ends with the epoch (fastNLP carries a remainder over, which a resumed run would lose) and divides
      the sum of the losses by the sum of their weights.
    * Batch samplers are given the number of the epoch (in fastNLP only samplers are).
    * Only whole fields are moved to the device (fastNLP searches every list of a batch element by element).
    * Our own driver places the task.
    """

    def __init__(self, job: FitJob, config: FitConfig, callbacks: Sequence[Callback], world: World) -> None:
        self.meter, self.watch = EpochMeter(), CollapseWatch()
        self.accumulate = config.accumulate
        self.epoch_end: Callable[[EntityTrainer], None] | None = None
        self._weight: torch.Tensor | float = 0.0
        clip = [ClipGradients(config.clip_value, self.watch)] if config.clip_value else []
        rate = LearningRate(job.schedule, _base_rates(job.optimizer))
        super().__init__(
            model=job.task,
            train_dataloader=job.loaders["train"],
            optimizers=job.optimizer,
            driver=SingleDriver(job.task, world, job.placement, bf16=config.bf16),
            device=None,
            n_epochs=config.epochs,
            callbacks=[self.meter, self.watch, ShowProgress(self.meter), rate, *clip, *callbacks],
            train_fn="loss",
            progress_bar=None,
        )
        self.num_batches_per_epoch = len(self.dataloader)
        #: Steps that the learning rate is planned for; an extended run keeps its warm-up.
        self.schedule_steps = self.total_steps
        if config.compile:  # the loop calls this directly, so it would bypass a compiled module
            self._train_step = CompiledStep(self._train_step, world.device)

    @property
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Of the optimizer."""
        return self.driver.optimizers[0].param_groups

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.num_batches_per_epoch / self.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.n_epochs * self.steps_per_epoch

    @property
    def optimizer_step(self) -> int:
        """Number, from 1, of the step that the present batch belongs to."""
        return self.cur_epoch_idx * self.steps_per_epoch + self.batch_idx_in_epoch // self.accumulate + 1

    def epoch_evaluate(self) -> None:
        if self.epoch_end is not None:
            self.epoch_end(self)

    def on_train_epoch_begin(self) -> None:
        set_epoch = getattr(self.dataloader.batch_sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(self.cur_epoch_idx)
        super().on_train_epoch_begin()

    def move_data_to_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        return to_device(batch, self.driver.data_device)

    def backward(self, outputs: LossSum) -> None:
        self.on_before_backward(outputs)
        if self.accumulate > 1:
            self._weight = self._weight + outputs.weight
            self.driver.backward(outputs.total)
        else:  # one division instead of one for every gradient
            self.driver.backward(outputs.mean)
        self.on_after_backward()

    def step(self) -> None:
        if not self._completes_step():
            return
        if self.accumulate > 1:
            self._divide_gradients()
        self.on_before_optimizers_step(self.optimizers)
        self.driver.step()
        self.on_after_optimizers_step(self.optimizers)

    def zero_grad(self) -> None:
        if self._completes_step():
            self.on_before_zero_grad(self.optimizers)
            self.driver.zero_grad()
            self.on_after_zero_grad(self.optimizers)

    def _completes_step(self) -> bool:
        batches = self.batch_idx_in_epoch + 1  # the present one included
        return batches % self.accumulate == 0 or batches == self.num_batches_per_epoch

    def _divide_gradients(self) -> None:
        """Turn gradients of the sum of the losses into those of their mean, once the sum of the weights is known."""
        for group in self.parameter_groups:
            gradients = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
            if gradients:
                torch._foreach_div_(gradients, self._weight)
        self._weight = 0.0


def _state(job: FitJob, trainer: EntityTrainer, attempt: int) -> RunState:
    """The state to start from; the Trainer has put the task on its device, so weights are loaded to the right place."""
    state = None
    if job.folder is not None:
        for folder in (job.folder, job.folder / "last"):
            clear_leftovers(folder)
        state = load_state(
            job.folder / "last",
            job.task,
            job.optimizer,
            total_steps=trainer.total_steps,
            attempt=attempt,
            may_lengthen=job.schedule.kind == "constant",
        )
        settle_best(job.folder, None if state is None else state.best.get("epoch", 0))
    if state is None:
        return RunState(total_steps=trainer.total_steps, attempt=attempt)
    if 0 < state.epoch < trainer.n_epochs and state.status == "ok":
        logger.info("resuming after epoch %d", state.epoch)
    return state


def _base_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """Rates before the schedule; kept in the groups, since the schedule overwrites ``lr``."""
    return [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
