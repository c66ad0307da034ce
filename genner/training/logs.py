"""Where messages go: to the terminal and to a run's ``train.log``, those of fastNLP among them."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

import genner.patches  # noqa: F401  before fastNLP

# isort: split
from fastNLP import logger as fastnlp_logger

__all__ = ["console_log", "run_log"]

# Information from these; only warnings from the libraries.
_OURS = ("__main__", "genner")


class _TerminalHandler(logging.StreamHandler):
    """Writes above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _Forward(logging.Handler):
    """fastNLP's logger stands outside the logging tree; this hands its messages into it."""

    def emit(self, record: logging.LogRecord) -> None:
        # What it says below a warning (the trainer's settings, the early stop) is said better by us.
        if record.levelno >= logging.WARNING:
            logging.getLogger("fastNLP").handle(record)


@contextlib.contextmanager
def console_log() -> Iterator[None]:
    """Show our information and everybody's warnings on standard error while the block runs."""
    handler = _TerminalHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    with _attached(handler), _fastnlp_forwarded():
        yield


@contextlib.contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Append the same messages, with their times, to the file ``path`` while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    with _attached(handler), contextlib.closing(handler):
        yield


@contextlib.contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    handler.setLevel(logging.INFO)
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.split(".")[0] in _OURS)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextlib.contextmanager
def _fastnlp_forwarded() -> Iterator[None]:
    """Exchange the handler with which fastNLP writes to standard output; put it back at the end."""
    handlers = list(fastnlp_logger.handlers)
    fastnlp_logger.handlers[:] = [_Forward()]
    try:
        yield
    finally:
        fastnlp_logger.handlers[:] = handlers
