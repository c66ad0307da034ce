"""Run many experiments from one file, each in its own training, and compare them in one table.

genner sweep sweep.yaml                  also .json and .jsonnet; repeat the command to resume
genner sweep sweep.yaml --dry_run        check every experiment and print its command
genner sweep sweep.yaml --parallel 4     four experiments at a time

docs/sweeps.md describes sweep files.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from genner.app.sweep_plan import Plan, plan_sweep, read_sweep, shown
from genner.cli import PROGRAM, say
from genner.commands import train
from genner.commands.common import command_main, command_parser, positive


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    interrupted = "interrupted; sweep.md has the results so far; repeat the command to resume"
    parser = command_parser("sweep", __doc__, run, interrupted=interrupted)
    parser.add_argument("file", type=Path, help="the sweep file: .yaml, .json or .jsonnet")
    parser.add_argument("--parallel", type=positive, default=1, metavar="N", help="experiments to run at once")
    parser.add_argument("--dry_run", action="store_true", help="print the commands without running them")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"))
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> int:
    """Check the sweep and print or run its commands; returns 1 if an experiment failed."""
    sweep = read_sweep(options.file)
    plan = plan_sweep(sweep, options.runs_dir, lambda arguments: train.recipe_of(train.parse(arguments)))
    for note in plan.notes:
        say(note)
    if options.dry_run:
        for experiment in plan.experiments:
            print(shlex.join(["genner", "train", *experiment.arguments]))
        return 0
    return _run_all(plan, options)


def _run_all(plan: Plan, options: argparse.Namespace) -> int:
    for experiment in plan.experiments:
        say(f"{experiment.run}: {' '.join(f'{key}={shown(value)}' for key, value in experiment.settings.items())}")
    # late: the libraries take seconds, which a misspelt key should not cost
    from genner.app.sweep import run_sweep, sweep_folder

    n_failed = 0
    ended = run_sweep(plan, options.runs_dir, [*PROGRAM, "train"], options.parallel)
    with contextlib.closing(ended):
        for experiment, outcome in ended:
            if outcome is None:
                say(f"experiment {experiment.run} is finished: {experiment.folder}")
            elif outcome.code:
                n_failed += 1
                say(f"experiment {experiment.run} failed: {outcome.reason}")
            else:
                say(f"experiment {experiment.run} done")
    folder = sweep_folder(options.runs_dir, plan.name)
    print((folder / "sweep.md").read_text(encoding="utf-8"))
    print(f"table: {folder / 'sweep.md'}, sweep.json")
    return 1 if n_failed else 0


main = partial(command_main, parse)
