"""One seed of a run: corpus -> formulation -> Trainer -> calibration and result."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import genner.patches  # noqa: F401  before fastNLP
from genner.app.corpus import check_corpus, check_text, identity_of, open_corpus
from genner.app.dev_fit import DevFit
from genner.config import OnCollapse, Recipe, recipe_tree, recipe_yaml
from genner.data.bundle import LoadedCorpus, examples_of
from genner.data.labels import LabelSet
from genner.evaluation.span_f1 import SpanF1, entity_surfaces
from genner.formulations import formulation_class
from genner.formulations.base import Rows, Task
from genner.training.job import FitConfig, FitJob, FitResult
from genner.training.logs import run_log
from genner.training.optim import Schedule, build_optimizer
from genner.training.results import seed_result
from genner.training.runs import RunFolder, locked
from genner.training.samplers import LoaderConfig, build_loader
from genner.training.state import seed_everything
from genner.training.trackers import FitlogCallback, build_trackers, read_emissions
from genner.training.trainer import fit
from genner.training.world import choose_device

# isort: split
from fastNLP.io import DataBundle

__all__ = ["finished_result", "may_restart", "run_seed", "train_bundle"]

logger = logging.getLogger(__name__)

_LOGS = Path("logs")
_ATTEMPT_STEP = 10_000  # between the seeds of the attempts; the seeds of a user lie closer together


def train_bundle(bundle: DataBundle, recipe: Recipe, folder: Path | str) -> dict[str, Any]:
    """Train on a ``DataBundle`` made by hand, with the first seed of the recipe.

    Args:
        bundle: ``train``, ``dev`` and, if wanted, ``test`` with the four fields of the contract.
        recipe: see :func:`genner.config.load_recipe`.
        folder: the run folder; ``README.md`` describes its content.

    Raises:
        DataFormatError: a field of the bundle is wrong; the message names split, row and field.
        ConfigError: the folder holds another run.
    """
    examples = {split: examples_of(dataset, split) for split, dataset in bundle.datasets.items()}
    whole, seed = LoadedCorpus(examples, reports={}), recipe.seeds[0]
    with locked(Path(folder)):
        corpus, labels, _ = check_corpus(recipe, whole)
        run = RunFolder.open(Path(folder), identity_of(recipe, corpus, labels), recipe_yaml(recipe))
        return finished_result(recipe, run, seed) or run_seed(recipe, run, seed, whole)


def finished_result(recipe: Recipe, run: RunFolder, seed: int) -> dict[str, Any] | None:
    """The result of a finished seed, otherwise None; a checkpoint that a killed process left is removed."""
    result = run.result(seed)
    if result is None or result["status"] == "failed":
        return None
    if result["status"] == "collapsed" and (
        _is_of_earlier_attempt(run, result) or may_restart(recipe, run.attempts(seed))
    ):
        return None
    if not recipe.training.keep_state:
        run.drop_state(seed)
    return result


def run_seed(recipe: Recipe, run: RunFolder, seed: int, corpus: LoadedCorpus | None = None) -> dict[str, Any]:
    """Train and score one seed, or continue it; its result is also written to ``seed-<n>/result.json``.

    If the recipe says so, a seed that collapses is restarted with another order of the data and a lower learning rate.

    Args:
        recipe: of the run.
        run: its folder.
        seed: which seed.
        corpus: what to train on; by default what the recipe names.

    Raises:
        NerError: the corpus, the recipe or the backbone cannot be used, the corpus has changed since the run began, or
            another process trains this seed.
        KeyboardInterrupt: the state of the last complete epoch is kept.
    """
    folder = run.seed(seed)
    with locked(folder), run_log(folder / "train.log"):
        logger.info("seed %d in %s", seed, folder)
        corpus, labels, statistics = check_corpus(recipe, corpus or open_corpus(recipe))
        run.check(identity_of(recipe, corpus, labels))
        before = run.result(seed)
        if before is not None and before["status"] == "collapsed" and not _is_of_earlier_attempt(run, before):
            run.add_attempt(seed, _attempt_record(recipe, before))
        attempt = _Attempt(recipe, corpus, labels, folder, seed, number=len(run.attempts(seed)))
        logger.info("%s", check_text(recipe, corpus, statistics, attempt.encoded))
        fitted = attempt.fit()
        while fitted.status != "ok" and may_restart(recipe, run.attempts(seed)):
            run.add_attempt(seed, _attempt_record(recipe, _seed_result(run, seed, fitted)))
            attempt = _Attempt(recipe, corpus, labels, folder, seed, number=attempt.number + 1)
            fitted = attempt.fit()
        result = _seed_result(run, seed, fitted) | attempt.decide(fitted) | {"notes": corpus.notes}
        if emissions := read_emissions(folder):
            result["emissions"] = emissions
        run.finish_seed(seed, result, recipe_yaml(recipe))
        if not recipe.training.keep_state:
            run.drop_state(seed)
    return result


def may_restart(recipe: Recipe, attempts: list[dict[str, Any]]) -> bool:
    """Whether a seed that collapsed after these earlier ``attempts`` is restarted."""
    return recipe.training.on_collapse is OnCollapse.restart and len(attempts) < recipe.training.restarts


def _seed_result(run: RunFolder, seed: int, fitted: FitResult) -> dict[str, Any]:
    return seed_result(seed, fitted) | {"attempts": run.attempts(seed)}


def _is_of_earlier_attempt(run: RunFolder, result: Mapping[str, Any]) -> bool:
    """Whether another attempt has started since this result."""
    return len(result["attempts"]) < len(run.attempts(result["seed"]))


def _attempt_record(recipe: Recipe, result: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a collapsed attempt."""
    number = len(result["attempts"])
    best = max((epoch.get("dev_f", 0.0) for epoch in result["history"]), default=0.0)
    about = {"attempt": number + 1, "status": result["status"], "reason": result["reason"]}
    return about | {"epoch": result["epochs"], "lr": _lr(recipe, number), "best_dev_f": best}


def _lr(recipe: Recipe, attempt: int) -> float:
    """The learning rate of an attempt, counted from 0."""
    return recipe.optim.lr * recipe.training.restart_lr_factor**attempt


@dataclass
class _Attempt:
    """One training of a seed, from initial weights to a result."""

    recipe: Recipe
    corpus: LoadedCorpus
    labels: LabelSet
    folder: Path
    seed: int
    number: int  # from 0

    def __post_init__(self) -> None:
        # The initial weights keep the seed; the order of the data and the dropout do not.
        self.order_seed = self.seed + _ATTEMPT_STEP * self.number
        self.lr = _lr(self.recipe, self.number)
        seed_everything(self.order_seed)
        self.formulation = formulation_class(self.recipe.formulation)(self.recipe)
        self.encoded = self.formulation.encode(self.corpus, self.labels)

    def fit(self) -> FitResult:
        """Train, or continue the training."""
        if self.number:
            logger.info("seed %d again, attempt %d, learning rate %g", self.seed, self.number + 1, self.lr)
        self.job = self._job()
        settings = {"seed": self.seed, "attempt": self.number} | recipe_tree(self.recipe)
        memory = self.folder / (f"fitlog-{self.number}.txt" if self.number else "fitlog.txt")
        config = _fit_config(self.recipe, self.order_seed, self.number)
        trackers = build_trackers(self.recipe.training.track, self.folder, settings)
        return fit(self.job, config, [FitlogCallback(_LOGS, settings, memory), *trackers])

    def decide(self, fitted: FitResult) -> dict[str, Any]:
        """Decide on dev, and score the best model; what the result holds of it."""
        if not (self.folder / "best").is_dir():
            return {"plain": {}, "searches": {}, "choices": {}}
        recipe = self.recipe
        fit = DevFit(
            self.folder,
            fitted.device,
            self.corpus.examples,
            {split: loader for split, loader in self.job.loaders.items() if split != "train"},
            self.job.metric,
            bf16=recipe.training.bf16,
            decides=recipe.training.fit_on_dev,
        )
        found = fit.run()
        for split in self.corpus.unlabelled:
            loader = _loader(recipe, self.job.task, split, self.encoded.splits[split].rows, self.order_seed)
            path = fit.predict_unlabelled(split, loader)
            logger.info("%s is not labelled: its predictions are in %s", split, path)
        return {**found.scores, "plain": found.plain, "searches": found.searches, "choices": found.choices}

    def _job(self) -> FitJob:
        recipe, optim, examples = self.recipe, self.recipe.optim, self.corpus.examples
        task = self.formulation.build(self.encoded, self.seed)
        optimizer = None
        if task.trainable:
            groups = task.parameter_groups(optim.weight_decay)
            optimizer = build_optimizer(groups, self.lr, compat=recipe.is_reference)
        return FitJob(
            task=task,
            loaders={
                split: _loader(recipe, task, split, found.rows, self.order_seed)
                for split, found in self.encoded.splits.items()
                if split not in self.corpus.unlabelled
            },
            examples=examples,
            metric=partial(SpanF1, seen_surfaces=entity_surfaces(examples["train"])),
            optimizer=optimizer,
            schedule=Schedule(optim.schedule.value, optim.warmup_ratio, compat=recipe.is_reference),
            folder=self.folder,
            save=partial(_save, task, recipe),
        )


def _save(task: Task, recipe: Recipe, folder: Path) -> None:
    """Write the model folder, with the recipe as documentation."""
    task.save(folder)
    (folder / "recipe.yaml").write_text(recipe_yaml(recipe), encoding="utf-8")


def _loader(recipe: Recipe, task: Task, split: str, rows: Rows, seed: int) -> torch.utils.data.DataLoader:
    batching, is_train = recipe.batching, split == "train"
    config = LoaderConfig(
        by=batching.by.value if is_train else "sentences",
        size=batching.size if is_train else batching.eval_size,
        shuffle=is_train,
        seed=seed,
        bucket=batching.bucket,
        num_workers=recipe.training.num_workers if is_train else 0,
        pin_memory=choose_device(recipe.training.device).type == "cuda",
    )
    return build_loader(rows, rows.lengths, task.collate, config)


def _fit_config(recipe: Recipe, seed: int, attempt: int) -> FitConfig:
    training = recipe.training
    return FitConfig(
        epochs=training.epochs,
        evaluate_from=training.evaluate_from,
        select_on=training.select_on.value,
        accumulate=training.accumulate,
        clip_value=recipe.optim.clip_value,
        bf16=training.bf16,
        compile=training.compile,
        seed=seed,
        device=training.device,
        deterministic=training.deterministic,
        collapse_below=training.collapse_below,
        collapse_from=training.collapse_from,
        attempt=attempt,
    )
