"""What ``genner train`` does once it has a recipe: describe the data, train the seeds, sum up the run."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from genner.app.corpus import check_corpus, check_text, identity_of, open_corpus
from genner.app.launch import device_arguments, run_all
from genner.app.prediction_files import JudgedSentence, read_predictions
from genner.app.run_data import scored_split, searches_of
from genner.app.run_report import write_run_report
from genner.app.run_tables import search_table
from genner.app.seed import finished_result, run_seed
from genner.config import Recipe, recipe_yaml, settings_digest
from genner.data.schema import Entity
from genner.evaluation.report import score_table
from genner.evaluation.spread import Spread, mean_text, spread_over_seeds
from genner.evaluation.tables import lined_up
from genner.evaluation.terminal import ERROR_LEGEND, Style, columns_of, render_sentence
from genner.formulations import formulation_class
from genner.training.logs import console_log
from genner.training.results import RunInfo, failed_result, run_result
from genner.training.runs import RunFolder, locked

__all__ = ["check_data", "finish", "open_run", "run_path", "run_summary", "train_seed", "train_seeds"]

logger = logging.getLogger(__name__)

# Exit codes of a process that trained one seed.
_USAGE, _INTERRUPTED = 2, 130
_LONGEST_SAMPLE = 40  # words
_LONGEST_BACKBONE = 40  # characters, in the name of a run
_SHOWN = (
    ("dev", "f", "dev F1"),
    ("test", "f", "test F1"),
    ("test", "strict_f", "test strict F1"),
    ("test", "em", "test exact"),
)


def check_data(recipe: Recipe) -> str:
    """Load and encode the corpus and describe every split, without training."""
    with console_log():
        corpus, labels, statistics = check_corpus(recipe, open_corpus(recipe))
        encoded = formulation_class(recipe.formulation)(recipe).encode(corpus, labels)
    return check_text(recipe, corpus, statistics, encoded)


@contextlib.contextmanager
def open_run(
    runs_dir: Path, name: str | None, recipe: Recipe, train_on: Callable[[int], str] | None = None
) -> Iterator[RunFolder]:
    """The run folder, new or that of the same run, locked while the block runs; ``train_on`` as in `RunFolder.open`.

    Raises:
        NerError: the corpus cannot be used, or the folder holds another run.
    """
    path = run_path(runs_dir, name, recipe)
    with locked(path):
        with console_log():
            corpus, labels, _ = check_corpus(recipe, open_corpus(recipe))
            run = RunFolder.open(path, identity_of(recipe, corpus, labels), recipe_yaml(recipe), train_on)
        del corpus  # the processes of the seeds need the memory
        yield run


def run_path(runs_dir: Path, name: str | None, recipe: Recipe) -> Path:
    """The path of the run folder; the default name is derived from the recipe."""
    return runs_dir / recipe.dataset / (name or default_name(recipe))


def default_name(recipe: Recipe) -> str:
    """A run name that describes the recipe and differs where the results of a seed may differ."""
    *_, above, last = ("", *re.split(r"[/\\]", recipe.backbone.rstrip("/\\")))
    backbone = re.sub(r"[^\w-]+", "-", above if last == "best" and above else last).strip("-")[-_LONGEST_BACKBONE:]
    digest = settings_digest(recipe)[:6]
    parts = [recipe.formulation, backbone, recipe.settings.describe(), digest]
    return "-".join(part for part in parts if part)


def train_seeds(recipe: Recipe, run: RunFolder, command: Sequence[str], n_parallel: int) -> int:
    """Train or continue every unfinished seed; each in its own process if there are several.

    A failed seed does not stop the others; repeating the command tries it again. A usage or data error, which all seeds
    share, stops everything.

    Args:
        recipe: of the run.
        run: its folder, locked by this process.
        command: runs one seed once ``--only_seed <n>`` is added.
        n_parallel: number of seeds to train at once.

    Returns:
        the number of failed seeds.
    """
    with console_log():
        waiting = [seed for seed in recipe.seeds if finished_result(recipe, run, seed) is None]
        for seed in recipe.seeds:
            if seed not in waiting:
                logger.info("seed %d is finished: %s", seed, run.seed(seed) / "result.json")
        if len(recipe.seeds) > 1 and waiting:
            n_parallel = min(n_parallel, len(waiting))
            device = device_arguments(recipe.training.device, n_parallel)
            commands = {seed: [*command, *device, "--only_seed", str(seed)] for seed in waiting}
            return _run_processes(recipe, run, commands, n_parallel)
        for seed in waiting:
            run_seed(recipe, run, seed)
    return 0


def train_seed(recipe: Recipe, path: Path, seed: int) -> None:
    """Train or continue one seed of the run in the folder ``path``, with messages on standard error."""
    with console_log():
        run_seed(recipe, RunFolder(path), seed)


def _run_processes(recipe: Recipe, run: RunFolder, commands: Mapping[int, Sequence[str]], n_parallel: int) -> int:
    n_failed = 0
    with contextlib.closing(run_all(commands, n_parallel, device=recipe.training.device)) as ended:
        for seed, outcome in ended:
            if outcome.code in (_USAGE, _INTERRUPTED):
                raise SystemExit(outcome.code)  # the process has printed why
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
    samples = _samples(run.best_seed(result), identity.labels, scored_split(result["seeds"]))
    return "\n\n".join([run_summary(result), *samples, f"run folder: {run.path}"])


def run_summary(result: Mapping[str, Any]) -> str:
    """The scores of every seed on test, or on dev if there is no test split, and their mean and standard deviation."""
    split = scored_split(result["seeds"])
    parts = [
        score_table(seed[split], f"{split}, seed {seed['seed']}, best epoch {seed['best_epoch']}")
        for seed in result["seeds"]
        if seed[split]
    ]
    return "\n\n".join([*parts, *_searches(result["seeds"], split), _seeds(result), *_reported(result["reported"])])


def _searches(seeds: Sequence[Mapping[str, Any]], split: str) -> list[str]:
    """Ways of searching side by side, if there are several."""
    searches = searches_of([seed for seed in seeds if seed["status"] == "ok"])
    if len(searches) < 2:
        return []
    table = search_table(searches, split)
    lines = ["  ".join(row).rstrip() for row in lined_up([[table.title, *searches], *filter(None, table.rows)])]
    return ["\n".join([lines[0], "─" * columns_of(lines[0]), *lines[1:]])]


def _samples(seed: Path | None, labels: Sequence[str], split: str) -> list[str]:
    predictions = seed and seed / f"predictions.{split}.jsonl"
    if predictions is None or not predictions.is_file():
        return []
    style = Style.of(sys.stdout, labels)
    drawn = [render_sentence(row.words, row.predicted, style, gold=row.gold) for row in _pick(predictions)]
    return [f"{split} sentences ({ERROR_LEGEND}):", *drawn]


def _seeds(result: Mapping[str, Any]) -> str:
    spreads, n_ok = _shown(result["seeds"]), result["n_ok"]
    lost = {"collapsed": result["n_collapsed"], "failed": result["n_failed"]}
    left_out = "".join(f"; {count} {what} and left out" for what, count in lost.items() if count)
    several = f"mean ± standard deviation over {n_ok} seeds"
    title = {0: "no seed is ok", 1: "scores"}.get(n_ok, several)
    lines = [f"{title}{left_out}: {_listed(spreads) or 'no scores'}"]
    lines += [
        f"  {name} {spread['min']:.2f} to {spread['max']:.2f}, 95 % confidence interval of the mean "
        f"{spread['low']:.2f} to {spread['high']:.2f}"
        for name, spread in spreads.items()
        if spread["n"] > 1
    ]
    if result["n_collapsed"] and spreads:
        lines.append(f"  including collapsed seeds: {_listed(_shown(result['seeds'], ('ok', 'collapsed')))}")
    return "\n".join(lines)


def _shown(seeds: Sequence[Mapping[str, Any]], statuses: Sequence[str] = ("ok",)) -> dict[str, Spread]:
    found = spread_over_seeds(seeds, statuses)
    return {title: found[split][name] for split, name, title in _SHOWN if name in found[split]}


def _listed(spreads: Mapping[str, Spread]) -> str:
    return ", ".join(f"{name} {mean_text(spread)}" for name, spread in spreads.items())


def _reported(reported: Mapping[str, Any]) -> list[str]:
    """Published scores, as given in the recipe."""
    return ["reported: " + "; ".join(f"{name} {values}" for name, values in reported.items())] if reported else []


def _pick(path: Path) -> list[JudgedSentence]:
    """Short sentences that show discontinuous entities, overlaps, several entities and errors, if there are any."""
    wanted = (
        lambda row: any(entity.is_discontinuous for entity in row.gold),
        lambda row: _overlaps(row.gold),
        lambda row: len(row.gold) > 2,
        lambda row: set(row.gold) != set(row.predicted),
        lambda row: bool(row.gold),
    )
    rows = [row for row in read_predictions(path) if len(row.words) <= _LONGEST_SAMPLE]
    chosen: list[JudgedSentence] = []
    for is_wanted in wanted:
        chosen += islice((row for row in rows if row not in chosen and is_wanted(row)), 1)
    return chosen


def _overlaps(entities: Sequence[Entity]) -> bool:
    words = [index for entity in entities for index in entity.word_indices()]
    return len(set(words)) < len(words)
