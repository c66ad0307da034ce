"""One seed of a run: corpus -> formulation -> Trainer -> result. In a process of its own when there are several."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

import patches  # noqa: F401  before fastNLP
from app.check import check_text
from app.corpus import check_corpus, open_corpus
from config import Recipe, recipe_yaml
from data.bundle import LoadedCorpus, examples_of
from evaluation.span_f1 import SpanF1, entity_surfaces
from formulations import Formulation, formulation_of
from training.fitlog_run import FitlogCallback
from training.job import FitConfig, FitJob
from training.logs import run_log
from training.optim import Schedule, build_optimizer
from training.runs import RunFolder, seed_result
from training.samplers import LoaderConfig, build_loader
from training.state import seed_everything
from training.trainer import fit

# isort: split
from fastNLP.io import DataBundle

__all__ = ["run_seed", "train_bundle"]

logger = logging.getLogger(__name__)

_LOGS = Path("logs")


def train_bundle(bundle: DataBundle, recipe: Recipe, folder: Path | str) -> dict[str, Any]:
    """Train on a ``DataBundle`` made by hand; the run folder is ``folder``, the seed the recipe's first.

    Args:
        bundle: ``train``, ``dev`` and, if wanted, ``test`` with the four fields of the contract.
        recipe: see :func:`config.load_recipe`.
        folder: see ``README.md`` for what it will hold.

    Raises:
        DataFormatError: names split, row and field of what the bundle should not hold.
    """
    examples = {split: examples_of(dataset, split) for split, dataset in bundle.datasets.items()}
    run = RunFolder.open(Path(folder), recipe_yaml(recipe))
    return run_seed(recipe, run, recipe.seeds[0], LoadedCorpus(bundle, examples, reports={}))


def run_seed(recipe: Recipe, run: RunFolder, seed: int, corpus: LoadedCorpus | None = None) -> dict[str, Any]:
    """Train and score one seed, or continue it; its result is also written to ``seed-<n>/result.json``.

    Args:
        recipe: of the run.
        run: its folder.
        seed: which seed.
        corpus: what to train on; by default what the recipe names.

    Raises:
        NerError: what is wrong with the corpus, the recipe or the backbone.
        KeyboardInterrupt: after the state of the last whole epoch was kept.
    """
    folder = run.seed(seed)
    with run_log(folder / "train.log"):
        logger.info("seed %d in %s", seed, folder)
        corpus, labels, statistics = check_corpus(recipe, corpus or open_corpus(recipe))
        seed_everything(seed)
        formulation = formulation_of(recipe)
        instances = formulation.prepare(corpus, labels, seed)
        logger.info("%s", check_text(recipe, corpus, statistics, formulation, instances))
        job = _job(recipe, formulation, instances, corpus.examples, folder, seed)
        callback = FitlogCallback(_LOGS, yaml.safe_load(recipe_yaml(recipe)) | {"seed": seed}, folder / "fitlog.txt")
        fitted = fit(job, _fit_config(recipe, seed), [callback])
        result = seed_result(seed, fitted)
        run.finish_seed(seed, result, recipe_yaml(recipe))
    return result


def _job(
    recipe: Recipe, formulation: Formulation, instances: dict[str, Any], examples: dict, folder: Path, seed: int
) -> FitJob:
    task = formulation.build_task()
    optim = recipe.optim
    return FitJob(
        task=task,
        loaders={split: _loader(recipe, formulation, split, rows, seed) for split, rows in instances.items()},
        examples=examples,
        metric=partial(SpanF1, seen_surfaces=entity_surfaces(examples["train"])),
        optimizer=build_optimizer(task.parameter_groups(optim.weight_decay), optim.lr, compat=recipe.is_reference),
        schedule=Schedule(optim.schedule.value, optim.warmup_ratio, compat=recipe.is_reference),
        folder=folder,
        save=formulation.save,
    )


def _loader(recipe: Recipe, formulation: Formulation, split: str, rows: Any, seed: int) -> torch.utils.data.DataLoader:
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
    return build_loader(rows, [row["src_seq_len"] for row in rows], formulation.collate, config)


def _fit_config(recipe: Recipe, seed: int) -> FitConfig:
    training = recipe.training
    return FitConfig(
        epochs=training.epochs,
        evaluate_from=training.evaluate_from,
        select_on=training.select_on.value,
        accumulate=training.accumulate,
        clip_value=recipe.optim.clip_value,
        bf16=training.bf16,
        seed=seed,
        device=training.device,
        collapse_below=training.collapse_below,
    )
