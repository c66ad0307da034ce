"""Runs the experiments of a sweep, each in a process of its own, and keeps the table of what they have found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from genner.app.launch import Outcome, run_all
from genner.app.sweep_plan import Experiment, Plan
from genner.app.sweep_table import is_finished, sweep_rows, write_sweep
from genner.files import clear_leftovers
from genner.training.lock import locked

__all__ = ["run_sweep", "sweep_folder"]


def sweep_folder(runs_dir: Path, name: str) -> Path:
    """Where the table of a sweep lies, and what its experiments printed."""
    return runs_dir / "sweeps" / name


def run_sweep(
    plan: Plan, runs_dir: Path, program: Sequence[str], n_parallel: int
) -> Iterator[tuple[Experiment, Outcome | None]]:
    """Run every experiment that is not finished, and write the table anew after each.

    An experiment that fails does not keep the others from running; a repeated sweep tries it again.

    Args:
        plan: of the sweep.
        runs_dir: folder of the runs.
        program: what runs train.py, before its arguments.
        n_parallel: experiments at once.

    Yields:
        each experiment with its outcome as it ends; None for those that were finished before.

    Raises:
        ConfigError: another process runs this sweep.
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
        commands = {run: [*program, *experiment.arguments] for run, experiment in waiting.items()}
        outputs = {run: folder / "output" / f"{run}.txt" for run in waiting}
        with contextlib.closing(
            run_all(commands, min(n_parallel, len(waiting)), what="experiment", outputs=outputs)
        ) as ended:
            for run, outcome in ended:
                if outcome.code:
                    failures[run] = outcome.reason
                write_sweep(plan, sweep_rows(plan, failures), folder)
                yield waiting[run], outcome
