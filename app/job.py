"""What ``train.py`` does once it has a recipe: describe the data, train a seed, sum up a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from app.check import check_text
from app.corpus import check_corpus, open_corpus
from app.seed import run_seed
from app.summary import run_report, run_summary, sample_sentences
from config import Recipe, recipe_yaml
from data.statistics import fingerprint
from evaluation.terminal import ERROR_LEGEND, Style
from files import write_text
from formulations import formulation_of
from training.logs import console_log
from training.runs import RunFolder, RunInfo, run_result

__all__ = ["check_data", "finish", "is_finished", "open_run", "train_seed"]


def check_data(recipe: Recipe) -> str:
    """Load and encode the corpus, train nothing, and describe every split."""
    with console_log():
        corpus, labels, statistics = check_corpus(recipe, open_corpus(recipe))
        formulation = formulation_of(recipe)
        rows = formulation.prepare(corpus, labels, None)
    return check_text(recipe, corpus, statistics, formulation, rows)


def open_run(path: Path, recipe: Recipe) -> RunFolder:
    """The run folder: new, or that of the same run."""
    return RunFolder.open(path, recipe_yaml(recipe))


def is_finished(run: RunFolder, seed: int) -> bool:
    """Whether a seed has its result, so that it need not be trained again."""
    return (run.seed(seed) / "result.json").is_file()


def train_seed(recipe: Recipe, run: RunFolder, seed: int) -> None:
    """Train one seed, or continue it, with its messages on standard error."""
    with console_log():
        run_seed(recipe, run, seed)


def finish(recipe: Recipe, run: RunFolder, *, command: str) -> str:
    """Write the run's ``result.json`` and ``report.md``, and return what to print at the end."""
    corpus, labels, _ = check_corpus(recipe, open_corpus(recipe))
    info = RunInfo(
        dataset=recipe.dataset,
        formulation=recipe.formulation,
        backbone=recipe.backbone,
        reported=recipe.reported,
        fingerprint=fingerprint(corpus.examples),
        command=command,
    )
    result = run_result(info, run.results())  # seeds of earlier commands too
    run.finish(result)
    write_text(run.path / "report.md", run_report(result))
    parts = [run_summary(result), *_samples(run, labels.tags), f"run folder: {run.path}"]
    return "\n\n".join(parts)


def _samples(run: RunFolder, labels: Sequence[str]) -> list[str]:
    predictions = (run.path / "best").resolve().parent / "predictions.test.jsonl"
    if not predictions.is_file():
        return []
    return [f"test sentences ({ERROR_LEGEND}):", sample_sentences(predictions, Style.of(sys.stdout, labels))]
