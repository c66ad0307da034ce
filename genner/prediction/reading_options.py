"""Options of the command line for how texts are read, the same for all programs that do."""

from __future__ import annotations

import argparse
from typing import Any

from genner.prediction.text import RULES

__all__ = ["add_reading_options", "chosen_options"]

_NAMES = (
    "language", "words", "passage", "window", "overlap", "num_beams", "scores", "candidates", "calibrated", "min_score",
    "alpha", "max_chars", "batch_size", "device", "form",
)  # fmt: skip


def add_reading_options(parser: argparse._ActionsContainer) -> None:
    """Add them; what is left out is None. ``min_score`` and ``max_chars`` are left to the program."""
    parser.add_argument("--lang", dest="language", metavar="CODE", help="spaCy's code for words and sentences; xx: any")
    parser.add_argument("--words", choices=RULES, help="whose rules part words")
    parser.add_argument("--passage", choices=("sentence", "document"), help="what the model reads at once")
    parser.add_argument("--window", type=int, metavar="PIECES", help="most that the model reads at once")
    parser.add_argument("--overlap", type=int, metavar="WORDS", help="shared by windows of a passage that is too long")
    parser.add_argument("--num_beams", type=int, metavar="N", help="default: as in training")
    parser.add_argument("--scores", metavar="KIND", help="how entities are scored: symbols, nbest")
    parser.add_argument(
        "--candidates", action="store_const", const=True, help="with nbest: entities of all hypotheses, not of the best"
    )
    parser.add_argument(
        "--no_calibration", dest="calibrated", action="store_const", const=False, help="scores as the model gives them"
    )
    parser.add_argument(
        "--alpha", type=float, metavar="P", help="share of missed entities that a calibrated model allows"
    )
    parser.add_argument("--batch_size", type=int, metavar="N")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1 ...")
    parser.add_argument("--form", metavar="NAME", help="of the model on a CPU: float32, packed, bf16, int8")


def chosen_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, by the names of :class:`genner.prediction.recogniser.PredictOptions`."""
    return {name: value for name in _NAMES if (value := getattr(options, name, None)) is not None}
