"""The console command ``genner``: finds a command by its name and runs it."""

from __future__ import annotations

import difflib
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from genner import __version__

__all__ = ["COMMANDS", "PROGRAM", "main", "run_command", "say", "say_loading"]

#: Runs a command in its own process, in any working folder.
PROGRAM = (sys.executable, str(Path(__file__).resolve().with_name("__main__.py")))

#: Name -> what it does; each is the module of that name in `genner.commands`.
COMMANDS = {
    "train": "train and score a recogniser: a recipe, or data of your own",
    "predict": "find the entities of your own text",
    "calibrate": "fit a model's scores to texts with known entities",
    "serve": "a web page and an HTTP service for a trained model",
    "share": "a copy of a model with its card, in a folder or on the Hugging Face hub",
    "report": "tables, curves and kinds of errors of finished runs; comparison of two runs",
    "sweep": "many experiments from one file, one table",
    "prepare": "distributors' originals, brat folders and Hugging Face datasets into training files",
}

_EXAMPLES = """\
examples:
  genner train                                   the embedded demo
  genner predict runs/demo/model/best --text "I woke up with pain in the left knee."

`genner COMMAND --help` describes a command, `genner --version` prints the version.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``genner COMMAND ...``; returns the command's exit code, 2 for a command that does not exist."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(_overview())
        return 0
    if name == "--version":
        print(f"genner {__version__}")
        return 0
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        near = difflib.get_close_matches(name, [*COMMANDS, "--version"], n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        print(f"error: unknown command {name!r}{hint}. Expected one of {known}. Run genner --help.", file=sys.stderr)
        return 2
    return run_command(name, arguments)


def run_command(name: str, argv: Sequence[str] | None = None) -> int:
    """Run one of :data:`COMMANDS` in this process; SIGTERM stops it cleanly, like Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    return import_module(f"genner.commands.{name}").main(argv)


def say(text: str) -> None:
    """Print a line on standard error, at once."""
    print(text, file=sys.stderr, flush=True)


def say_loading(what: str) -> None:
    """Say that large libraries are being loaded, unless they are in memory already."""
    if "torch" not in sys.modules:
        say(f"loading {what} ...")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    return f"usage: genner COMMAND ...\n\ncommands:\n{commands}\n\n{_EXAMPLES}".rstrip()
