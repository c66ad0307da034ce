"""Runs the experiments of a sweep, each in its own process, and keeps a table of their results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genner.app.launch import Outcome, device_arguments, run_all
from genner.app.prediction_files import load_result
from genner.app.seed import may_restart
from genner.app.sweep_plan import Experiment, Plan, shown
from genner.evaluation.spread import mean_text, spread_over_seeds
from genner.evaluation.tables import Table, markdown_table, markdown_text
from genner.files import clear_leftovers, write_json, write_text
from genner.training.runs import RunFolder, locked

__all__ = ["is_finished", "run_sweep", "sweep_folder", "sweep_rows", "write_sweep"]

_STATES = ("ok", "collapsed", "failed", "waiting")


def sweep_folder(runs_dir: Path, name: str) -> Path:
    """The folder of the table of a sweep and the output of its experiments."""
    return runs_dir / "sweeps" / name


def run_sweep(
    plan: Plan, runs_dir: Path, program: Sequence[str], n_parallel: int
) -> Iterator[tuple[Experiment, Outcome | None]]:
    """Run every experiment that is not finished, and update the table after each.

    A failed experiment does not stop the others; repeating the sweep runs it again.

    Args:
        plan: of the sweep.
        runs_dir: folder of the runs.
        program: command that runs train.py, without its arguments.
        n_parallel: number of experiments to run at once.

    Yields:
        each experiment with its outcome when it ends; None for those that were already finished.

    Raises:
        ConfigError: another process is running this sweep.
        DataFormatError: the result of a run cannot be read.
    """
    folder = sweep_folder(runs_dir, plan.name)
    failures: dict[str, str] = {}
    with locked(folder):
        clear_leftovers(folder)
        write_sweep(plan, sweep_rows(plan, failures), folder)
        waiting = {}
        for experiment in plan.experiments:
            if is_finished(experiment):
                yield experiment, None
            else:
                waiting[experiment.run] = experiment
        if not waiting:
            return
        n_parallel = min(n_parallel, len(waiting))
        devices = {run: experiment.recipe.training.device for run, experiment in waiting.items()}
        commands = {
            run: [*program, *experiment.arguments, *device_arguments(devices[run], n_parallel)]
            for run, experiment in waiting.items()
        }
        device = devices.popitem()[1] if len(set(devices.values())) == 1 else "auto"
        outputs = {run: folder / "output" / f"{run}.txt" for run in waiting}
        with contextlib.closing(
            run_all(commands, n_parallel, what="experiment", outputs=outputs, device=device)
        ) as ended:
            for run, outcome in ended:
                if outcome.code:
                    failures[run] = outcome.reason
                write_sweep(plan, sweep_rows(plan, failures), folder)
                yield waiting[run], outcome


def is_finished(experiment: Experiment) -> bool:
    """Whether its run has results of all its seeds, none of which would be trained again."""
    return _status(experiment, _seeds(experiment))[0] in ("ok", "collapsed")


def sweep_rows(plan: Plan, failures: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row per experiment, by dataset, the best dev F1 first and those without scores last.

    Collapsed seeds count in what the rows are ordered by: else one lucky seed would beat five good ones.

    Args:
        plan: of the sweep.
        failures: reasons of failed runs, by name, as far as this command knows.

    Raises:
        DataFormatError: the result of a run cannot be read.
    """
    rows = [_row(experiment, failures.get(experiment.run, "")) for experiment in plan.experiments]
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    return sorted(rows, key=lambda row: (datasets.index(row["dataset"]), -_selecting(row)))


def write_sweep(plan: Plan, rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write ``sweep.json`` and ``sweep.md`` into a folder, each replaced atomically."""
    best: dict[str, str] = {}
    for row in rows:
        if _selecting(row) >= 0:
            best.setdefault(row["dataset"], row["run"])
    counts = {f"n_{status}": sum(row["status"] == status for row in rows) for status in _STATES}
    about = {"name": plan.name, "n_experiments": len(rows), **counts, "settings": list(plan.columns), "best": best}
    write_json(folder / "sweep.json", about | {"experiments": list(rows)})
    write_text(folder / "sweep.md", _markdown(plan, rows) + "\n")


def _markdown(plan: Plan, rows: Sequence[Mapping[str, Any]]) -> str:
    """The table and, below it, what failed and why."""
    has_datasets = len({row["dataset"] for row in rows}) > 1 and "dataset_name" not in plan.columns
    header = [*plan.columns, *["dataset"] * has_datasets, "status", "run", "seeds ok", "dev F1", "test F1"]
    header += ["test P", "test R", "test strict F1", "minutes"]
    has_collapsed = any(row["n_collapsed"] for row in rows)
    header += ["dev F1 with collapsed"] * has_collapsed
    lines: list[Sequence[str] | None] = []
    for number, row in enumerate(rows):
        if number and row["dataset"] != rows[number - 1]["dataset"]:
            lines.append(None)
        settings = [_cell(row["settings"][key]) for key in plan.columns]
        ranked = [mean_text(row["scores_with_collapsed"]["dev"].get("f"))] * has_collapsed
        lines.append([*settings, *[row["dataset"]] * has_datasets, row["status"], row["run"], *_numbers(row), *ranked])
    n_left = len(plan.columns) + has_datasets + 2
    parts = [markdown_table(Table(f"Sweep {plan.name}", header, lines, n_left=n_left, note=_note(rows)))]
    failed = [row for row in rows if row["reason"]]
    if failed:
        lines = [f"* {markdown_text(row['run'])}: {markdown_text(row['reason'])}" for row in failed]
        parts += ["The output of each of these is in `output/<run>.txt`.", "\n".join(lines)]
    return "\n\n".join(parts)


def _seeds(experiment: Experiment) -> list[dict[str, Any]]:
    """The results of its seeds; a run may have more, from an earlier version of the sweep file."""
    if not (experiment.folder / "result.json").is_file():
        return []
    return [seed for seed in load_result(experiment.folder)["seeds"] if seed["seed"] in experiment.recipe.seeds]


def _status(experiment: Experiment, seeds: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """``ok``, ``collapsed`` (all seeds), ``failed`` or ``waiting``, and the reason for a failure."""
    for seed in seeds:
        if seed["status"] == "failed":
            return "failed", f"seed {seed['seed']}: {seed['reason']}"
    run = RunFolder(experiment.folder)
    collapsed = [seed["seed"] for seed in seeds if seed["status"] == "collapsed"]
    if len(seeds) < len(experiment.recipe.seeds):
        return "waiting", ""
    if any(may_restart(experiment.recipe, run.attempts(seed)) for seed in collapsed):
        return "waiting", ""
    return ("collapsed" if len(collapsed) == len(seeds) else "ok"), ""


def _row(experiment: Experiment, failure: str) -> dict[str, Any]:
    seeds = _seeds(experiment)
    status, reason = _status(experiment, seeds)
    if failure and status not in ("ok", "collapsed"):
        status, reason = "failed", reason or failure
    return {
        "run": experiment.run,
        "dataset": experiment.recipe.dataset,
        "folder": str(experiment.folder),
        "settings": dict(experiment.settings),
        "status": status,
        "reason": reason,
        "seeds": list(experiment.recipe.seeds),
        **{f"n_{state}": sum(seed["status"] == state for seed in seeds) for state in ("ok", "collapsed", "failed")},
        "scores": spread_over_seeds(seeds),
        "scores_with_collapsed": spread_over_seeds(seeds, ("ok", "collapsed")),
        "train_seconds": round(sum(seed["train_seconds"] for seed in seeds), 2),
        "arguments": list(experiment.arguments),
    }


def _selecting(row: Mapping[str, Any]) -> float:
    scores = row["scores_with_collapsed"]
    chosen = scores["dev"] or scores["test"]  # of a corpus without dev
    return chosen["f"]["mean"] if chosen else -1.0


def _numbers(row: Mapping[str, Any]) -> Iterator[str]:
    collapsed = f" ({row['n_collapsed']} collapsed)" * bool(row["n_collapsed"])
    yield f"{row['n_ok']} of {len(row['seeds'])}{collapsed}"
    for split, measure in (("dev", "f"), ("test", "f"), ("test", "pre"), ("test", "rec"), ("test", "strict_f")):
        yield mean_text(row["scores"][split].get(measure))
    yield f"{row['train_seconds'] / 60:.1f}" if row["train_seconds"] else "-"


def _cell(value: Any) -> str:
    return "-" if value is None else shown(value)


def _note(rows: Sequence[Mapping[str, Any]]) -> str:
    counts = {status: sum(row["status"] == status for row in rows) for status in _STATES}
    found = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    order = "Best dev F1 first" + ", collapsed seeds counted" * any(row["n_collapsed"] for row in rows)
    return (
        f"{len(rows)} experiments: {found}. {order}. Micro scores in percent, mean ± sample standard "
        "deviation over the seeds that are ok. Columns on the left are the settings in which the experiments differ."
    )
