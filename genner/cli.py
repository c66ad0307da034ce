"""The console command ``genner``: finds a command by its name and runs it."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Event, Timer

from genner import __version__

__all__ = ["COMMANDS", "PROGRAM", "main", "run_command", "say", "say_loading", "use_stand_ins"]

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

#: What our own signs look like on a stream that lacks them; those of names and texts are written as escapes.
_STAND_INS = {"─": "-", "━": "=", "╌": ".", "→": "->", "…": "...", "±": "+-", "Δ": "delta", "█": "#", "▏": "|"}
_SECONDS_OF_SILENCE = 1.0

_has_spoken = Event()

_EXAMPLES = """\
examples:
  genner train                                   the embedded demo
  genner predict runs/demo/model/best --text "I woke up with pain in the left knee."

`genner COMMAND --help` describes a command, `genner --version` prints the version.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``genner COMMAND ...``; returns the command's exit code, 2 for a command that does not exist."""
    use_stand_ins()
    return _until_closed(partial(_run, sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    name, *arguments = argv or ["--help"]
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
    """Run one of :data:`COMMANDS` in this process; SIGTERM stops it cleanly, like Ctrl-C.

    A command that has said nothing after a second, since its imports take that long, is announced.
    """
    use_stand_ins()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _announced(name):
            return _until_closed(lambda: import_module(f"genner.commands.{name}").main(argv))
    except KeyboardInterrupt:  # before the command itself could catch it
        say("interrupted")
        return 130


def _until_closed(run: Callable[[], int]) -> int:
    """What ``run`` returns; 1 if whoever reads standard output has seen enough, as ``head`` has after ten lines."""
    try:
        code = run()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say("standard output was closed; the rest is not written")
        return 1


def use_stand_ins() -> None:
    """Let standard output and error take any text: what their encoding lacks is written with other signs."""
    codecs.register_error("genner", _stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None without a console; a test may have put in something else
            stream.reconfigure(errors="genner")


def say(text: str) -> None:
    """Print a line on standard error, at once."""
    print(text, file=sys.stderr, flush=True)
    _has_spoken.set()


def say_loading(what: str) -> None:
    """Say that large libraries are being loaded, unless they are in memory already."""
    if "torch" not in sys.modules:
        say(f"loading {what} ...")


@contextlib.contextmanager
def _announced(name: str) -> Iterator[None]:
    _has_spoken.clear()
    timer = Timer(_SECONDS_OF_SILENCE, lambda: _has_spoken.is_set() or say(f"genner {name}: starting ..."))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_STAND_INS.get(sign) or sign.encode("unicode_escape").decode() for sign in lacking), error.end


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _overview() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    return f"usage: genner COMMAND ...\n\ncommands:\n{commands}\n\n{_EXAMPLES}".rstrip()
