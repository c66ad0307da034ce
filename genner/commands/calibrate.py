"""Fit the scores of a trained model to texts with known entities, and store the fit in the model folder.

genner calibrate runs/demo/model/best --input mine.jsonlines             scores that are probabilities
genner calibrate runs/demo/model/best --input mine.jsonlines --misses    so that predict and serve can use --alpha
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from genner.commands.common import add_reading_options, command_main, command_parser, open_model, text_splitter
from genner.commands.progress import Progress, count_texts
from genner.data.tally import Tally
from genner.prediction.options import PredictOptions
from genner.prediction.reading import FORMATS, read_inputs

__all__ = ["main", "parse"]

_N_SHOWN = 5  # texts that failed


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; what is left out of how texts are read is None."""
    interrupted = "interrupted; the model folder is unchanged"
    parser = command_parser("calibrate", __doc__, run, interrupted=interrupted)
    parser.add_argument("model", metavar="MODEL", help="model folder, such as 'best' of a run, or a name on the hub")
    parser.add_argument(
        "--input", required=True, metavar="PATH", help="texts with known entities: file, folder, or - (standard input)"
    )
    parser.add_argument(
        "--format", choices=("auto", *FORMATS), default="auto", help="of the input (default: by file ending)"
    )
    parser.add_argument("--misses", action="store_true", help="measure misses as well, so that --alpha can be used")
    reading = add_reading_options(parser)
    reading.add_argument("--max_chars", type=int, metavar="N", help="longer texts fail")
    return parser.parse_intermixed_args(argv)


def run(options: argparse.Namespace) -> int:
    """Fit scores and print how good they were before and after; returns 1 if some texts failed."""
    options.calibrated, read = False, Tally()
    max_chars = PredictOptions.max_chars if options.max_chars is None else options.max_chars
    inputs = read_inputs(options.input, options.format, split=text_splitter(options), tally=read, max_chars=max_chars)
    n_texts = count_texts(options.input, options.format)
    ner = open_model(options, with_candidates=options.misses)
    from genner.prediction.calibrate import calibrate  # late, as in open_model
    from genner.prediction.scores import CALIBRATION

    with Progress(n_texts) as progress:
        name = Path(options.input).name
        done = calibrate(ner, inputs, conformal=options.misses, name=name, progress=progress.at)
    lines = [f"texts {done.n_texts}  without known entities {done.n_without_gold}  failed {len(done.failed)}"]
    lines += [f"  {error}" for error in done.failed[:_N_SHOWN]]
    if done.scores is not None:
        n_judged, before, after = done.scores.calibration.n, done.scores.ece_before, done.scores.ece_after
        error = f"calibration error {before:.4f} -> {after:.4f}"
        lines.append(f"scores ({done.scores.kind}): {n_judged} entities judged, {error}")
        least = done.scores.least
        lines.append(f"least scores: {least}; F1 {least.f_before:.2f} -> {least.f_after:.2f}")
    if done.misses is not None:
        risk = done.misses.risk
        lines.append(f"misses: measured on {risk.n} sentences; --alpha from {risk.reachable:.4f} on")
    print("\n".join([*lines, f"-> {ner.folder / CALIBRATION}"]))
    return 1 if done.failed else 0


main = partial(command_main, parse)
