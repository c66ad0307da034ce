"""Options of the command line for how texts are read, the same for all commands that do."""

from __future__ import annotations

import argparse
from typing import Any

from genner.errors import ConfigError
from genner.prediction.text import RULES

__all__ = ["add_choices", "add_reading_options", "chosen_options"]

_NAMES = (
    "language", "words", "passage", "window", "overlap", "calibrated", "min_score", "alpha", "max_chars", "batch_size",
    "device",
)  # fmt: skip


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add what the model's formulation lets be chosen, as ``key=value`` behind the model's name."""
    parser.add_argument(
        "choices", nargs="*", metavar="key=value", help="of the model's formulation, such as num_beams=4"
    )


def add_reading_options(parser: argparse._ActionsContainer) -> None:
    """Add them; what is left out is None. ``min_score`` and ``max_chars`` are left to the command."""
    parser.add_argument("--lang", dest="language", metavar="CODE", help="spaCy's code for words and sentences; xx: any")
    parser.add_argument("--words", choices=RULES, help="whose rules part words")
    parser.add_argument("--passage", choices=("sentence", "document"), help="what the model reads at once")
    parser.add_argument("--window", type=int, metavar="N", help="the most that the model reads at once, in pieces")
    parser.add_argument("--overlap", type=int, metavar="WORDS", help="shared by windows of a passage that is too long")
    parser.add_argument(
        "--no_calibration", dest="calibrated", action="store_const", const=False, help="scores as the model gives them"
    )
    parser.add_argument(
        "--alpha", type=float, metavar="P", help="share of missed entities that a calibrated model allows"
    )
    parser.add_argument("--batch_size", type=int, metavar="N")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1 ...")


def chosen_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, and the choices, as options of :func:`genner.prediction.recogniser.load`.

    Raises:
        ConfigError: a choice that is not ``key=value``.
    """
    chosen = {name: value for name in _NAMES if (value := getattr(options, name, None)) is not None}
    for text in options.choices:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"command line: {text!r} is no choice. Expected key=value, such as num_beams=4.")
        chosen[key] = value
    return chosen
