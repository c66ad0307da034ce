"""What the commands share: parsers, exit codes, and how they load a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genner.cli import say, say_loading
from genner.errors import ConfigError, NerError
from genner.prediction.hub import resolve_model
from genner.prediction.text import RULES, SplitText, TextSplitter

if TYPE_CHECKING:
    from genner.prediction.recogniser import Recogniser

__all__ = [
    "add_reading_options", "command_main", "command_parser", "open_model", "positive", "resolve_named", "text_splitter",
]  # fmt: skip


_LONGEST_NAME = 120  # of a file, in a message


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

    So is a file that the system refuses.

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
    except OSError as error:
        if options.debug or error.filename is None:
            raise
        name = str(error.filename)
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
        say(
            f"error: {shown}: {error.strerror}. Expected a file or folder that can be read, or written to, here. Name "
            "another one, or correct its rights."
        )
        return 2
    except KeyboardInterrupt:
        say(options.interrupted)
        return 130


def positive(text: str) -> int:
    """The type of an option that takes 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return int(text)


def resolve_named(model: str) -> Path:
    """The folder of the model that a command line names; says so where that is a run's best model.

    Raises:
        NerError: see :func:`genner.prediction.hub.resolve_model`.
    """
    folder = resolve_model(model)
    if folder.parent == Path(model).expanduser():
        say(f"{model}: its best model, {folder}")
    return folder


def open_model(options: argparse.Namespace, *, with_candidates: bool = False, **fixed: Any) -> Recogniser:
    """Load the model that a command line names, with its reading options.

    Args:
        options: of a command with :func:`add_reading_options`.
        with_candidates: so that it gives candidates, unless other choices stand on the command line.
        fixed: options that the command sets itself.

    Raises:
        NerError: the model or an option cannot be used.
    """
    # Nobody should wait for libraries to hear of a misspelling.
    folder, chosen = resolve_named(options.model), _chosen_options(options)
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


def add_reading_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add how texts are read, and the choices of the model's formulation; options that are not given are None.

    Returns:
        the group of options, to which a command may add its own ``min_score`` and ``max_chars``.
    """
    parser.add_argument(
        "choices", nargs="*", metavar="key=value", help="of the model's formulation, such as num_beams=4"
    )
    group = parser.add_argument_group("how texts are read")
    group.add_argument("--lang", dest="language", metavar="CODE", help="spaCy's code for words and sentences; xx: any")
    group.add_argument("--words", choices=RULES, help="the rules that split text into words")
    group.add_argument("--passage", choices=("sentence", "document"), help="what the model reads at once")
    group.add_argument("--window", type=int, metavar="N", help="the most that the model reads at once, in pieces")
    group.add_argument("--overlap", type=int, metavar="WORDS", help="shared by windows of a passage that is too long")
    group.add_argument(
        "--no_calibration", dest="calibrated", action="store_const", const=False, help="scores as the model gives them"
    )
    group.add_argument(
        "--alpha", type=float, metavar="P", help="share of missed entities that a calibrated model allows"
    )
    group.add_argument("--batch_size", type=int, metavar="N")
    group.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1 ...")
    return group


def _chosen_options(options: argparse.Namespace) -> dict[str, Any]:
    """The reading options and choices that were given, as options of :func:`genner.prediction.recogniser.load`.

    Raises:
        ConfigError: a choice that is not ``key=value``.
    """
    names = (
        "language", "words", "passage", "window", "overlap", "calibrated", "min_score", "alpha", "max_chars",
        "batch_size", "device",
    )  # fmt: skip
    chosen = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    for text in options.choices:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"command line: {text!r} is no choice. Expected key=value. Write it like num_beams=4.")
        chosen[key] = value
    return chosen
