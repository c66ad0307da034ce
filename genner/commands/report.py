"""Report on finished runs: a table as in a paper, a report in every run folder, and the comparison of two runs.

genner report runs                               all runs below runs/: the table, and a report in each run folder
genner report runs/conll2003 --out reports       one dataset; results.md, results.tex and results.json in reports/
genner report --compare runs/genia/span runs/genia/word     is the difference in test F1 significant?
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from genner.cli import say
from genner.commands.common import command_main, command_parser, positive
from genner.errors import ConfigError, DataFormatError


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_parser("report", __doc__, run)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="a run folder, a dataset's runs, or all runs")
    parser.add_argument("--out", type=Path, default=Path("reports"), help="folder of the table (default reports)")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("RUN_A", "RUN_B"), help="test their difference")
    parser.add_argument("--resamples", type=positive, default=10_000, help="samples per test (default 10000)")
    options = parser.parse_args(argv)
    if bool(options.runs) == bool(options.compare):
        parser.error("expected either RUN folders or --compare RUN_A RUN_B")
    return options


def report(runs: Sequence[Path], out: Path) -> None:
    """Write the report of every run and the table of all; print the table and what it leaves out.

    Raises:
        NerError: a folder contains no run, or its files cannot be read.
    """
    say(f"reading {', '.join(map(str, runs))} ...")
    # late: the libraries of tables and curves cost a second
    from genner.app.prediction_files import load_result
    from genner.app.results_table import find_runs, results_rows, results_table, write_results
    from genner.app.run_report import write_run_report
    from genner.evaluation.tables import markdown_table

    finished, left_out = find_runs(runs)
    reported = {}
    for run in finished:
        if len(finished) > 1:
            say(f"report of {run} ...")
        try:
            reported[run] = write_run_report(run, load_result(run))
        except DataFormatError as error:
            if len(finished) == 1:
                raise
            left_out[run] = str(error)
    if not reported:
        found = "; ".join(f"{run}: {reason}" for run, reason in left_out.items())
        raise ConfigError(f"{found}. Expected a finished run. Repeat the command that trains it.")
    rows = results_rows(reported.values())
    write_results(rows, out)
    print(markdown_table(results_table(rows)))
    print()
    for run, data in reported.items():
        print(f"{run / 'report.md'}")
        for note in data["notes"]:
            print(f"  {note}")
    for run, reason in left_out.items():
        print(f"{run}: left out: {reason}")
    print(f"table: {out / 'results.md'}, results.tex, results.json")


def compare(first: Path, second: Path, n_resamples: int) -> None:
    """Print the comparison of two runs.

    Raises:
        NerError: they cannot be compared.
    """
    say(f"comparing {first} and {second} ...")
    from genner.app.comparison import compare_runs, comparison_text  # late, as in report

    comparison, seeds, notes = compare_runs(first, second, n_resamples=n_resamples)
    print(comparison_text(first, second, comparison, seeds, notes))


def run(options: argparse.Namespace) -> int:
    """Compare two runs, or report on all that are named."""
    if options.compare:
        compare(*options.compare, options.resamples)
    else:
        report(options.runs, options.out)
    return 0


main = partial(command_main, parse)
