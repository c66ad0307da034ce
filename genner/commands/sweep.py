"""Run many experiments from one file, each a training of its own, and compare them in one table.

genner sweep sweep.yaml                  also .json and .jsonnet; repeat the command to resume
genner sweep sweep.yaml --dry_run        check every experiment and print its command
genner sweep sweep.yaml --parallel 4     four experiments at a time

docs/sweeps.md describes sweep files.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from genner.app.sweep_file import read_sweep
from genner.app.sweep_plan import Plan, plan_sweep, shown
from genner.cli import PROGRAM
from genner.commands import train
from genner.commands.common import command_parser
from genner.errors import exit_code


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("sweep", __doc__)
    parser.add_argument("file", type=Path, help="the sweep file: .yaml, .json or .jsonnet")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="number of experiments to run at once")
    parser.add_argument("--dry_run", action="store_true", help="print the commands without running them")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"))
    options = parser.parse_args(argv)
    if options.parallel < 1:
        parser.error(f"argument --parallel: {options.parallel}: expected 1 or more")
    return options


def run(options: argparse.Namespace) -> int:
    """Check the sweep and print or run its commands; returns the exit code."""
    sweep = read_sweep(options.file)
    plan = plan_sweep(sweep, options.runs_dir, lambda arguments: train.recipe_of(train.parse(arguments)))
    for note in plan.notes:
        _say(note)
    if options.dry_run:
        for experiment in plan.experiments:
            print(shlex.join(["genner", "train", *experiment.arguments]))
        return 0
    return _run_all(plan, options)


def _run_all(plan: Plan, options: argparse.Namespace) -> int:
    for experiment in plan.experiments:
        _say(f"{experiment.run}: {' '.join(f'{key}={shown(value)}' for key, value in experiment.settings.items())}")
    # late: the libraries take seconds, which a misspelt key should not cost
    from genner.app.sweep import run_sweep, sweep_folder

    n_failed = 0
    ended = run_sweep(plan, options.runs_dir, [*PROGRAM, "train"], options.parallel)
    with contextlib.closing(ended):
        for experiment, outcome in ended:
            if outcome is None:
                _say(f"experiment {experiment.run} is finished: {experiment.folder}")
            elif outcome.code:
                n_failed += 1
                _say(f"experiment {experiment.run} failed: {outcome.reason}")
            else:
                _say(f"experiment {experiment.run} done")
    folder = sweep_folder(options.runs_dir, plan.name)
    print((folder / "sweep.md").read_text(encoding="utf-8"))
    print(f"table: {folder / 'sweep.md'}, sweep.json")
    return 1 if n_failed else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Returns:
        the exit code: 0 done, 1 an experiment failed, 2 wrong command line or sweep file, 130 interrupted.
    """
    options = parse(sys.argv[1:] if argv is None else list(argv))
    interrupted = "interrupted; sweep.md has the results so far; repeat the command to resume"
    return exit_code(lambda: run(options), debug=options.debug, interrupted=interrupted)
