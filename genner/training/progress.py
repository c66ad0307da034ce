"""How far a loop has come: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

__all__ = ["Progress"]

logger = logging.getLogger(__name__)

_BAR_SECONDS = 0.25
_LINE_SECONDS = 15.0
_FIRST_LINE_SECONDS = 3.0


class Progress:
    """Counts steps and shows them, rarely enough to cost nothing.

    Args:
        total: steps to come.
        title: what is going on.
        done: steps done before, in a run that is continued.
        keep: leave the finished bar on the screen.
    """

    def __init__(self, total: int, title: str, *, done: int = 0, keep: bool = False) -> None:
        self.total, self.title, self.done = total, title, done
        self._begun_at, self._begun_with = time.monotonic(), done
        self._bar = None
        if sys.stderr.isatty():  # how often it is drawn is decided here, not by tqdm
            self._bar = tqdm(total=total, initial=done, desc=title, leave=keep, mininterval=0, miniters=1)
        self._due = self._begun_at + (_BAR_SECONDS if self._bar else _FIRST_LINE_SECONDS)

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
            logger.info("%s: %d/%d%s%s", self.title, self.done, self.total, text and f"  {text}", self._left(now))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.update(self.done - self._bar.n)
            self._bar.close()

    def _left(self, now: float) -> str:
        steps = self.done - self._begun_with
        seconds = (now - self._begun_at) / steps * (self.total - self.done) if steps else 0
        return f"  about {tqdm.format_interval(int(seconds))} left"
