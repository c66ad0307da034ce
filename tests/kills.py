"""Processes that end without a word, as by a power cut; what the tests of runs that go on share."""

from __future__ import annotations

import os
import signal


def die_at(name: str, number: int) -> None:
    """Let the process die, without a word, before its ``number``-th call of ``os.<name>``."""
    real, calls = getattr(os, name), [0]

    def counted(*arguments, **options):
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(os, name, counted)
