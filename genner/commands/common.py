"""What the commands share: parsers, exit codes, and how they load a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from genner.errors import NerError
from genner.prediction.reading_options import chosen_options
from genner.prediction.text import SplitText, TextSplitter

if TYPE_CHECKING:
    from genner.prediction.recogniser import Recogniser

__all__ = ["command_main", "command_parser", "open_model", "positive", "say", "say_loading", "text_splitter"]


def command_parser(
    name: str, about: str | None, run: Callable[[argparse.Namespace], int], *, interrupted: str = "interrupted"
) -> argparse.ArgumentParser:
    """A parser for ``genner NAME``; what it parses, :func:`command_main` runs.

    Args:
        name: of the command.
        about: its description with examples, as in the docstring of its module.
        run: does what the options say and returns the exit code.
        interrupted: the message after Ctrl-C.
    """
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"genner {name}", description=about, formatter_class=layout)
    parser.set_defaults(run=run, interrupted=interrupted)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def command_main(parse: Callable[[Sequence[str]], argparse.Namespace], argv: Sequence[str] | None = None) -> int:
    """Run a command line. Errors that users can fix are one line on standard error; with ``--debug``, a traceback.

    Returns:
        the exit code: that of the command, 2 for a usage or data error, 130 for Ctrl-C.
    """
    options = parse(sys.argv[1:] if argv is None else list(argv))
    try:
        return options.run(options)
    except NerError as error:
        if options.debug:
            raise
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say(options.interrupted)
        return 130


def positive(text: str) -> int:
    """The type of an option that takes 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return int(text)


def say(text: str) -> None:
    """Print a line on standard error, at once."""
    print(text, file=sys.stderr, flush=True)


def say_loading(what: str) -> None:
    """Say that large libraries are being loaded, unless they are in memory already."""
    if "torch" not in sys.modules:
        say(f"loading {what} ...")


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
