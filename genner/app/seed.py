"""One seed of a run: corpus -> formulation -> Trainer -> result. In a process of its own when there are several."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import genner.patches  # noqa: F401  before fastNLP
from genner.app.check import check_text
from genner.app.corpus import check_corpus, open_corpus
from genner.app.seed_calibration import calibrate_seed
from genner.config import OnCollapse, Recipe, recipe_tree, recipe_yaml
from genner.data.bundle import LoadedCorpus, examples_of
from genner.data.labels import LabelSet
from genner.evaluation.span_f1 import SpanF1, entity_surfaces
from genner.formulations import formulation_class
from genner.formulations.base import Rows, Task
from genner.formulations.opening import open_task
from genner.model.folder import ModelFolder
from genner.training.evaluation import predict, score
from genner.training.fitlog_run import FitlogCallback
from genner.training.job import FitConfig, FitJob, FitResult
from genner.training.lock import locked
from genner.training.logs import run_log
from genner.training.optim import Schedule, build_optimizer
from genner.training.results import seed_result
from genner.training.runs import RunFolder
from genner.training.samplers import LoaderConfig, build_loader
from genner.training.state import seed_everything
from genner.training.trackers import build_trackers, read_emissions
from genner.training.trainer import fit

# isort: split
from fastNLP.io import DataBundle

__all__ = ["may_restart", "run_seed", "train_bundle"]

logger = logging.getLogger(__name__)

_LOGS = Path("logs")
_ATTEMPT_STEP = 10_000  # between the seeds of the attempts; the seeds of a user lie closer together


def train_bundle(bundle: DataBundle, recipe: Recipe, folder: Path | str) -> dict[str, Any]:
    """Train on a ``DataBundle`` made by hand; the run folder is ``folder``, the seed the recipe's first.

    Args:
        bundle: ``train``, ``dev`` and, if wanted, ``test`` with the four fields of the contract.
        recipe: see :func:`genner.config.load_recipe`.
        folder: see ``README.md`` for what it will hold.

    Raises:
        DataFormatError: names split, row and field of what the bundle should not hold.
    """
    examples = {split: examples_of(dataset, split) for split, dataset in bundle.datasets.items()}
    with locked(Path(folder)):
        run = RunFolder.open(Path(folder), recipe_yaml(recipe))
        return run_seed(recipe, run, recipe.seeds[0], LoadedCorpus(examples, reports={}))


def run_seed(recipe: Recipe, run: RunFolder, seed: int, corpus: LoadedCorpus | None = None) -> dict[str, Any]:
    """Train and score one seed, or continue it; its result is also written to ``seed-<n>/result.json``.

    A seed that collapses is begun anew where the recipe says so, with another order of the data and a lower rate.

    Args:
        recipe: of the run.
        run: its folder.
        seed: which seed.
        corpus: what to train on; by default what the recipe names.

    Raises:
        NerError: what is wrong with the corpus, the recipe or the backbone, or another process trains this seed.
        KeyboardInterrupt: after the state of the last whole epoch was kept.
    """
    folder = run.seed(seed)
    with locked(folder), run_log(folder / "train.log"):
        logger.info("seed %d in %s", seed, folder)
        corpus, labels, statistics = check_corpus(recipe, corpus or open_corpus(recipe))
        attempt = _Attempt(recipe, corpus, labels, folder, seed, number=len(run.attempts(seed)))
        logger.info("%s", check_text(recipe, corpus, statistics, attempt.encoded))
        fitted = attempt.fit()
        while fitted.status != "ok" and may_restart(recipe, run.attempts(seed)):
            run.add_attempt(seed, attempt.record(fitted))
            attempt = _Attempt(recipe, corpus, labels, folder, seed, number=attempt.number + 1)
            logger.info("seed %d again, attempt %d, learning rate %g", seed, attempt.number + 1, attempt.lr)
            fitted = attempt.fit()
        calibrate_seed(folder, attempt.job.task.score_kind)
        result = seed_result(seed, fitted) | {"attempts": run.attempts(seed), "malformed": attempt.malformed(fitted)}
        if emissions := read_emissions(folder):
            result["emissions"] = emissions
        run.finish_seed(seed, result, recipe_yaml(recipe))
    return result


def may_restart(recipe: Recipe, attempts: list[dict[str, Any]]) -> bool:
    """Whether a seed that has collapsed once more than ``attempts`` says is begun anew."""
    return recipe.training.on_collapse is OnCollapse.restart and len(attempts) < recipe.training.restarts


@dataclass
class _Attempt:
    """One training of a seed, from random weights or from those of the hub to a result."""

    recipe: Recipe
    corpus: LoadedCorpus
    labels: LabelSet
    folder: Path
    seed: int
    number: int  # from 0

    def __post_init__(self) -> None:
        # Weights keep the seed, the order of the data and the dropout do not.
        self.order_seed = self.seed + _ATTEMPT_STEP * self.number
        self.lr = self.recipe.optim.lr * self.recipe.training.restart_lr_factor**self.number
        seed_everything(self.order_seed)
        self.formulation = formulation_class(self.recipe.formulation)(self.recipe)
        self.encoded = self.formulation.encode(self.corpus, self.labels)

    def fit(self) -> FitResult:
        """Train, or continue the training."""
        self.job = self._job()
        settings = {"seed": self.seed, "attempt": self.number} | recipe_tree(self.recipe)
        memory = self.folder / (f"fitlog-{self.number}.txt" if self.number else "fitlog.txt")
        config = _fit_config(self.recipe, self.order_seed, self.number)
        trackers = build_trackers(self.recipe.training.track, self.folder, settings)
        return fit(self.job, config, [FitlogCallback(_LOGS, settings, memory), *trackers])

    def record(self, fitted: FitResult) -> dict[str, Any]:
        """What is kept of an attempt that collapsed."""
        best = max((epoch.get("dev_f", 0.0) for epoch in fitted.history), default=0.0)
        about = {"attempt": self.number + 1, "status": fitted.status, "reason": fitted.reason}
        return about | {"epoch": fitted.epochs, "lr": self.lr, "best_dev_f": best}

    def malformed(self, fitted: FitResult) -> dict[str, Any]:
        """What the best model writes on test as it is, and in every variant: how many entities, rejects by reason."""
        if "test" not in fitted.scores:
            return {}
        counts = {"default": fitted.scores["test"]}
        best = open_task(ModelFolder.read(self.folder / "best"), fitted.device, {})
        examples, loader = self.corpus.examples["test"], self.job.loaders["test"]
        for name, task in best.variants().items():
            found = predict(task, loader, len(examples), title=f"test {name}", bf16=self.recipe.training.bf16)
            counts[name] = score(self.job.metric(), examples, found)
        return {name: {key: scores[key] for key in ("f", "predicted", "rejected")} for name, scores in counts.items()}

    def _job(self) -> FitJob:
        recipe, optim, examples = self.recipe, self.recipe.optim, self.corpus.examples
        task = self.formulation.build(self.encoded, self.seed)
        return FitJob(
            task=task,
            loaders={
                split: _loader(recipe, task, split, found.rows, self.order_seed)
                for split, found in self.encoded.splits.items()
            },
            examples=examples,
            metric=partial(SpanF1, seen_surfaces=entity_surfaces(examples["train"])),
            optimizer=build_optimizer(task.parameter_groups(optim.weight_decay), self.lr, compat=recipe.is_reference),
            schedule=Schedule(optim.schedule.value, optim.warmup_ratio, compat=recipe.is_reference),
            folder=self.folder,
            save=partial(_save, task, recipe),
        )


def _save(task: Task, recipe: Recipe, folder: Path) -> None:
    """The model folder, and beside it the recipe as documentation."""
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
        pin_memory=torch.cuda.is_available(),
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
        collapse_below=training.collapse_below,
        collapse_from=training.collapse_from,
        attempt=attempt,
    )
