"""How far a command has come with its texts: a bar on a terminal, a line from time to time in a log file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from genner.cli import say
from genner.prediction.reading import read_inputs

__all__ = ["Progress", "count_texts"]

_BETWEEN_LINES = 1.0  # seconds
_BAR = "{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]"
_WITHOUT_TOTAL = "{desc} [{elapsed}]"


class Progress:
    """Follows a recogniser: ``progress.at`` is what ``stream`` calls. A context; at its end, the bar disappears.

    Args:
        n_texts: of the whole input; None if that is not known.
        n_done: texts that a resumed run has already.
        is_silent: show nothing.
    """

    def __init__(self, n_texts: int | None, n_done: int = 0, *, is_silent: bool = False) -> None:
        self._total, self._first = n_texts, n_done
        self._before: tuple[float, int] = (n_done, 0)  # texts and words when the recogniser was called
        self._now: tuple[float, int] = self._before
        self._is_silent, self._has_bar = is_silent, sys.stderr.isatty() and not is_silent
        self._start = self._last_line = time.monotonic()
        self._told: tuple[float, int] | None = None
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Progress:
        if self._has_bar:
            layout = _WITHOUT_TOTAL if self._total is None else _BAR
            is_sized = os.get_terminal_size(sys.stderr.fileno()).columns > 0
            size = {} if is_sized else {"ncols": 80, "nrows": 24}  # else tqdm draws nothing
            about = {"desc": self._counts(), "bar_format": layout, "leave": False}
            self._bar = tqdm(total=self._total, initial=self._first, **about, **size)
        self._start = self._last_line = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None and self._told != self._now:
            self._line()

    def begin(self) -> None:
        """The recogniser is called again, and will count from 0."""
        self._before = self._now

    def at(self, n_texts: float, n_words: int) -> None:
        """So much was read since the recogniser was called; whole texts where it has finished some of them."""
        self._now = (self._before[0] + n_texts, self._before[1] + n_words)
        if self._bar is not None:
            self._bar.set_description_str(self._counts(), refresh=False)
            self._bar.update(self._now[0] - self._bar.n)
        elif isinstance(n_texts, int) and time.monotonic() - self._last_line >= _BETWEEN_LINES:
            self._line()

    def hide(self) -> None:
        """Take the bar away while something else is written to the terminal; the next move shows it again."""
        if self._bar is not None:
            self._bar.clear()

    def _line(self) -> None:
        if self._is_silent or self._now[0] == self._first:
            return
        self._last_line, self._told = time.monotonic(), self._now
        say(self._counts() + self._remaining())

    def _counts(self) -> str:
        n_texts, n_words = int(self._now[0]), self._now[1]
        seconds = max(time.monotonic() - self._start, 1e-3)
        share = f" of {self._total:,}" if self._total is not None else ""
        return f"{n_texts:,}{share} texts, {n_words:,} words, {n_words / seconds:,.0f} words/s"

    def _remaining(self) -> str:
        """The expected time, if the texts to come are like those before."""
        if self._total is None or self._now[0] >= self._total:
            return ""
        speed = (self._now[0] - self._first) / max(time.monotonic() - self._start, 1e-3)
        return f", about {timedelta(seconds=round((self._total - self._now[0]) / speed))} left"


def count_texts(source: str, format_name: str) -> int | None:
    """The number of texts that will be read; None for what can be read only once, such as standard input.

    They are read one by one, as later; words are not looked for, not even where there are annotations.

    Raises:
        DataFormatError, ConfigError: see :func:`genner.prediction.reading.read_inputs`.
    """
    path = Path(source)
    inputs: Iterable[Any] = ()
    if source != "-":
        inputs = read_inputs(source, format_name, max_chars=0)
    return sum(1 for _ in inputs) if path.is_file() or path.is_dir() else None
