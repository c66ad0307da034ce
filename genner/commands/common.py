"""What the commands share: the look of their help, how they load a model, and what they say while libraries load."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from genner.prediction.reading_options import chosen_options
from genner.prediction.text import SplitText, TextSplitter

if TYPE_CHECKING:
    from genner.prediction.recogniser import Recogniser

__all__ = ["command_parser", "open_model", "say_loading", "text_splitter"]


def command_parser(name: str, about: str | None, *, epilog: str | None = None) -> argparse.ArgumentParser:
    """A parser for ``genner NAME``.

    Args:
        name: of the command.
        about: its description with examples, as in the docstring of its module.
        epilog: shown after the options.
    """
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"genner {name}", description=about, epilog=epilog, formatter_class=layout)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def say_loading(what: str) -> None:
    """Say on standard error that large libraries are being loaded, unless they are in memory already."""
    if "torch" not in sys.modules:
        print(f"loading {what} ...", file=sys.stderr, flush=True)


def open_model(options: argparse.Namespace, *, with_candidates: bool = False, **fixed: Any) -> Recogniser:
    """Load the model that a command line names, with its reading options.

    Args:
        options: of a command with :func:`genner.prediction.reading_options.add_reading_options`.
        with_candidates: so that it gives candidates, unless other choices stand on the command line.
        fixed: options that the command sets itself.

    Raises:
        NerError: the model or an option cannot be used.
    """
    from genner.prediction.hub import resolve_model

    # Nobody should wait for libraries to hear of a misspelling.
    folder, chosen = resolve_model(options.model), chosen_options(options)
    say_loading("torch and transformers")
    from genner.formulations.opening import candidate_choices  # late: torch takes seconds, which --help should not cost
    from genner.model.folder import ModelFolder
    from genner.prediction.recogniser import load

    usual = candidate_choices(ModelFolder.read(folder)) if with_candidates else {}
    return load(options.model, **{**usual, **chosen, **fixed})


def text_splitter(options: argparse.Namespace) -> Callable[[str], SplitText]:
    """The rules that the recogniser has, too; made when they are first needed."""
    given = {"language": options.language, "rules": options.words}
    made = cache(lambda: TextSplitter(**{name: value for name, value in given.items() if value is not None}))
    return lambda text: made().split(text)
