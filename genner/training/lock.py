"""One process at a time on a run: a lock that the system frees when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from genner.errors import ConfigError

__all__ = ["locked"]

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` while the block runs.

    The lock is the file ``.<name>.lock`` beside the folder, so that it does not hinder who removes or inspects the
    folder; ``.<name>.holder`` says who holds it. A killed process leaves both files, but not the lock.

    Raises:
        ConfigError: another process holds it; names that process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    holder = folder.with_name(f".{folder.name}.holder")
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{folder}: in use by {_read(holder) or 'another process'}. Expected one process at a time on a run. "
            "Wait for it or stop it, or choose another name (--run_name)."
        ) from None
    try:
        if before := _read(holder):
            logger.info("%s: taken over from %s, which was killed", folder, before)
        holder.write_text(_myself(), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
