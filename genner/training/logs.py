"""What a run reports while it works: messages, on the terminal and in ``train.log``, and progress."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

import genner.patches  # noqa: F401  before fastNLP

# isort: split
from fastNLP import logger as fastnlp_logger

__all__ = ["Progress", "console_log", "run_log"]

logger = logging.getLogger(__name__)

# Information from these; only warnings from the libraries.
_OURS = ("__main__", "genner")
_BAR_SECONDS = 0.25
_LINE_SECONDS = 15.0
_FIRST_LINE_SECONDS = 3.0


class _TerminalHandler(logging.StreamHandler):
    """Writes above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _Forward(logging.Handler):
    """Forwards the messages of fastNLP's logger, which is outside the logging tree, into the tree."""

    def emit(self, record: logging.LogRecord) -> None:
        # Our own messages cover what it reports below a warning: the trainer's settings, the early stop.
        if record.levelno >= logging.WARNING:
            logging.getLogger("fastNLP").handle(record)


@contextlib.contextmanager
def console_log() -> Iterator[None]:
    """Show our messages and the warnings of all libraries on standard error while the block runs."""
    handler = _TerminalHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    with _attached(handler), _fastnlp_forwarded():
        yield


@contextlib.contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Append the same messages, with timestamps, to the file ``path`` while the block runs."""
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
    """Replace the handler that writes fastNLP's messages to standard output; restore it at the end."""
    handlers = list(fastnlp_logger.handlers)
    fastnlp_logger.handlers[:] = [_Forward()]
    try:
        yield
    finally:
        fastnlp_logger.handlers[:] = handlers


class Progress:
    """Counts steps and shows them, rarely enough to cost nothing: a bar in a terminal, a line now and then elsewhere.

    Args:
        total: steps to come.
        title: what is in progress.
    """

    def __init__(self, total: int, title: str) -> None:
        self.total, self.title, self.done = total, title, 0
        self._started_at = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():  # how often it is drawn is decided here, not by tqdm
            self._bar = tqdm(total=total, desc=title, leave=False, mininterval=0, miniters=1)
        self._due = self._started_at + (_BAR_SECONDS if self._bar else _FIRST_LINE_SECONDS)

    def advance(self, note: Callable[[], str] | None = None) -> None:
        """Count a step; ``note`` is only called when something is shown, since reading a loss makes a GPU wait."""
        self.done += 1
        now = time.monotonic()
        if now < self._due:
            return
        text = note() if note else ""
        if self._bar is not None:
            self._due = now + _BAR_SECONDS
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(self.done - self._bar.n)
        else:
            self._due = now + _LINE_SECONDS
            seconds = (now - self._started_at) / self.done * (self.total - self.done)
            left = f"about {tqdm.format_interval(int(seconds))} left"
            logger.info("%s: %d/%d%s  %s", self.title, self.done, self.total, text and f"  {text}", left)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.update(self.done - self._bar.n)
            self._bar.close()
