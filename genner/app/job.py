"""What ``train.py`` does once it has a recipe: describe the data, train a seed, sum up a run."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from genner.app.check import check_text
from genner.app.corpus import check_corpus, open_corpus
from genner.app.identity import identity_of
from genner.app.launch import run_all
from genner.app.run_report import write_run_report
from genner.app.seed import finished_result, run_seed
from genner.app.summary import run_summary, sample_sentences
from genner.config import Recipe, recipe_yaml, settings_digest
from genner.evaluation.terminal import ERROR_LEGEND, Style
from genner.formulations import formulation_class
from genner.training.logs import console_log
from genner.training.results import RunInfo, failed_result, run_result
from genner.training.runs import RunFolder, locked

__all__ = ["check_data", "default_name", "finish", "open_run", "run_path", "train_seed", "train_seeds"]

logger = logging.getLogger(__name__)

# Exit codes of a process that trained one seed.
_USAGE, _INTERRUPTED = 2, 130


def check_data(recipe: Recipe) -> str:
    """Load and encode the corpus, train nothing, and describe every split."""
    with console_log():
        corpus, labels, statistics = check_corpus(recipe, open_corpus(recipe))
        encoded = formulation_class(recipe.formulation)(recipe).encode(corpus, labels)
    return check_text(recipe, corpus, statistics, encoded)


@contextlib.contextmanager
def open_run(runs_dir: Path, name: str | None, recipe: Recipe) -> Iterator[RunFolder]:
    """The run folder, new or that of the same run, held against other processes while the block runs.

    Raises:
        NerError: what is wrong with the corpus, or the folder holds another run.
    """
    path = run_path(runs_dir, name, recipe)
    with locked(path):
        with console_log():
            corpus, labels, _ = check_corpus(recipe, open_corpus(recipe))
            run = RunFolder.open(path, identity_of(recipe, corpus, labels), recipe_yaml(recipe))
        del corpus  # the processes of the seeds need the memory
        yield run


def run_path(runs_dir: Path, name: str | None, recipe: Recipe) -> Path:
    """Where the run folder lies; without a name, one that the recipe gives."""
    return runs_dir / recipe.dataset / (name or default_name(recipe))


def default_name(recipe: Recipe) -> str:
    """A run name that says what is special about the recipe, and differs where the results of a seed may differ."""
    backbone = recipe.backbone.rstrip("/").split("/")[-1].replace(":", "-")
    digest = settings_digest(recipe)[:6]
    parts = [recipe.formulation, backbone, recipe.settings.describe(), digest]
    return "-".join(part for part in parts if part)


def train_seeds(recipe: Recipe, run: RunFolder, command: Sequence[str], n_parallel: int) -> int:
    """Train every seed that is not finished, or continue it; several seeds in processes of their own.

    A seed whose process fails is marked as failed and does not keep the others from being trained; a repeated command
    tries it again. An error of usage or data, which all seeds share, ends everything.

    Args:
        recipe: of the run.
        run: its folder, held by this process.
        command: what runs one seed, once ``--only_seed <n>`` is added.
        n_parallel: seeds trained at once.

    Returns:
        how many seeds failed.
    """
    with console_log():
        waiting = [seed for seed in recipe.seeds if finished_result(recipe, run, seed) is None]
        for seed in recipe.seeds:
            if seed not in waiting:
                logger.info("seed %d is finished: %s", seed, run.seed(seed) / "result.json")
        if len(recipe.seeds) > 1 and waiting:
            commands = {seed: [*command, "--only_seed", str(seed)] for seed in waiting}
            return _run_processes(recipe, run, commands, n_parallel)
        for seed in waiting:
            run_seed(recipe, run, seed)
    return 0


def train_seed(recipe: Recipe, path: Path, seed: int) -> None:
    """Train one seed of the run in the folder ``path``, or continue it, with its messages on standard error."""
    with console_log():
        run_seed(recipe, RunFolder(path), seed)


def _run_processes(recipe: Recipe, run: RunFolder, commands: Mapping[int, Sequence[str]], n_parallel: int) -> int:
    n_failed = 0
    with contextlib.closing(run_all(commands, min(n_parallel, len(commands)))) as ended:
        for seed, outcome in ended:
            if outcome.code in (_USAGE, _INTERRUPTED):
                raise SystemExit(outcome.code)  # the process has said why
            if outcome.code:
                n_failed += 1
                logger.error("seed %d failed: %s", seed, outcome.reason)
                run.finish_seed(seed, failed_result(seed, outcome.reason), recipe_yaml(recipe))
    return n_failed


def finish(recipe: Recipe, run: RunFolder, *, command: str) -> str:
    """Write the run's ``result.json`` and ``report.md``, and return what to print at the end."""
    identity = run.identity
    info = RunInfo(
        dataset=recipe.dataset,
        formulation=recipe.formulation,
        target=recipe.settings.describe(),
        backbone=recipe.backbone,
        reported=recipe.reported,
        fingerprint=identity.data,
        command=command,
    )
    result = run_result(info, run.results())  # seeds of earlier commands too
    run.finish(result)
    write_run_report(run.path, result)
    parts = [run_summary(result), *_samples(run, identity.labels), f"run folder: {run.path}"]
    return "\n\n".join(parts)


def _samples(run: RunFolder, labels: Sequence[str]) -> list[str]:
    predictions = (run.path / "best").resolve().parent / "predictions.test.jsonl"
    if not predictions.is_file():
        return []
    return [f"test sentences ({ERROR_LEGEND}):", sample_sentences(predictions, Style.of(sys.stdout, labels))]
