"""Runs seeds or experiments, each in its own process: one after another, or several at a time with an overview."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, Generic, TypeVar

import torch
from rich.console import Console
from rich.live import Live
from rich.table import Table

__all__ = ["Outcome", "Place", "places", "run_all"]

Key = TypeVar("Key", int, str)

_LAST_LINES = 15
_REDRAW_SECONDS = 0.5
# Time for interrupted processes to stop by themselves, and then to finish writing.
_SECONDS_TO_STOP, _SECONDS_TO_WRITE = 3.0, 60.0


@dataclass(frozen=True)
class Place:
    """Where a process runs: its environment variables, and the cores it is pinned to (None: any)."""

    environment: Mapping[str, str]
    cores: frozenset[int] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a process ended: its exit code, negative for a signal, and its last message (if its output was read)."""

    code: int
    last_line: str = ""

    @property
    def reason(self) -> str:
        """Why the process failed, in words."""
        if self.code < 0:
            name = signal.Signals(-self.code).name
            return f"killed by {name}" + " (out of memory?)" * (name == "SIGKILL")
        return f"exit code {self.code}" + f": {self.last_line}" * bool(self.last_line)


@dataclass
class _Child:
    process: subprocess.Popen[str]
    place: int
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))


def places(n_parallel: int) -> list[Place]:
    """A GPU for each process, shared if there are too few, or an equal share of the CPU cores."""
    if torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
        return [Place({"CUDA_VISIBLE_DEVICES": names[number % len(names)]}) for number in range(n_parallel)]
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = sorted(os.sched_getaffinity(0)) if has_affinity else list(range(os.cpu_count() or 1))
    share = max(len(cores) // n_parallel, 1)
    parts = [[cores[(number * share + i) % len(cores)] for i in range(share)] for number in range(n_parallel)]
    return [Place({"OMP_NUM_THREADS": str(share)}, frozenset(part) if has_affinity else None) for part in parts]


def run_all(
    commands: Mapping[Key, Sequence[str]],
    n_parallel: int = 1,
    *,
    what: str = "seed",
    outputs: Mapping[Key, Path] | None = None,
) -> Iterator[tuple[Key, Outcome]]:
    """Run one command per seed or experiment and yield each with its outcome when it ends.

    One at a time, a process has the terminal to itself. With several at a time, a terminal shows a table of their last
    messages; elsewhere, their lines are printed with their name as a prefix. Closing the generator, or Ctrl-C, stops
    them all.

    Args:
        commands: by number or name, in the order in which they start.
        n_parallel: how many run at once.
        what: what messages call a command.
        outputs: files for the output of the processes, replaced when they start; with them, output is read even if
            processes run one at a time.
    """
    if n_parallel == 1 and outputs is None:
        for key, command in commands.items():
            with _stopping([process := subprocess.Popen(command)]):
                code = process.wait()
            yield key, Outcome(code)
        return
    yield from _Parallel(commands, n_parallel, what, outputs or {}).run()


class _Parallel(Generic[Key]):
    def __init__(
        self, commands: Mapping[Key, Sequence[str]], n_parallel: int, what: str, outputs: Mapping[Key, Path]
    ) -> None:
        self.waiting = dict(commands)
        self.what = what
        self.outputs = outputs
        # A single process may use the whole machine, as if it had been started by hand.
        self.places = places(n_parallel) if n_parallel > 1 else [Place({})]
        self.children: dict[Key, _Child] = {}
        self.shown = dict.fromkeys(commands, "waiting")
        self.messages: SimpleQueue[tuple[Key, str | None]] = SimpleQueue()
        self.console = Console(stderr=True)

    def run(self) -> Iterator[tuple[Key, Outcome]]:
        processes: list[subprocess.Popen[str]] = []
        shows_table = self.console.is_terminal
        live = Live(self._table(), console=self.console) if shows_table else contextlib.nullcontext()
        with live as overview, _stopping(processes):
            while self.waiting or self.children:
                while self.waiting and len(self.children) < len(self.places):
                    processes.append(self._start())
                ended = self._listen()
                if overview is not None:
                    overview.update(self._table())
                if ended is not None:
                    yield ended

    def _start(self) -> subprocess.Popen[str]:
        key = next(iter(self.waiting))
        taken = {child.place for child in self.children.values()}
        number = next(number for number in range(len(self.places)) if number not in taken)
        place = self.places[number]
        output = _open(self.outputs[key]) if key in self.outputs else None
        process = subprocess.Popen(
            self.waiting.pop(key),
            env=os.environ | place.environment,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        if place.cores is not None:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, place.cores)
        self.children[key] = _Child(process, number)
        self.shown[key] = "starting"
        Thread(target=self._read, args=(key, process, output), daemon=True).start()
        return process

    def _read(self, key: Key, process: subprocess.Popen[str], output: BinaryIO | None) -> None:
        with output or contextlib.nullcontext():
            for line in process.stderr:
                if output is not None:
                    with contextlib.suppress(OSError):  # a full disk; the output must still be read
                        output.write(line.encode())
                self.messages.put((key, line.rstrip()))
        self.messages.put((key, None))

    def _listen(self) -> tuple[Key, Outcome] | None:
        """Read one message; returns the key and its outcome if the process has ended."""
        try:
            key, line = self.messages.get(timeout=_REDRAW_SECONDS)
        except Empty:
            return None
        child = self.children[key]
        if line is None:
            outcome = Outcome(child.process.wait(), next((line for line in reversed(child.last_lines) if line), ""))
            del self.children[key]
            self.shown[key] = "done" if outcome.code == 0 else outcome.reason
            return key, outcome
        child.last_lines.append(line)
        if line:
            self.shown[key] = line
            if not self.console.is_terminal:
                print(f"{self.what} {key}: {line}", file=sys.stderr, flush=True)
        return None

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column(self.what, justify="right")
        table.add_column("last message", no_wrap=True, overflow="ellipsis")
        fits = len(self.shown) < self.console.height - 2
        for key in self.shown if fits else self.children:
            table.add_row(str(key), self.shown[key])
        if not fits:
            n_ended = len(self.shown) - len(self.waiting) - len(self.children)
            table.add_row("", f"{n_ended} ended, {len(self.waiting)} waiting")
        return table


def _open(path: Path) -> BinaryIO:
    """Unbuffered, so that its standard output and error stay in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb", buffering=0)


@contextlib.contextmanager
def _stopping(processes: list[Any]) -> Iterator[None]:
    """When the block ends, the processes are ended too: they are asked first and given time to finish writing."""
    try:
        yield
    finally:
        # Ctrl-C in a terminal reaches them directly; a second signal would interrupt their clean-up.
        _wait(processes, _SECONDS_TO_STOP)
        for process in processes:
            if process.poll() is None:
                process.terminate()
        _wait(processes, _SECONDS_TO_WRITE)
        for process in processes:
            if process.poll() is None:
                process.kill()


def _wait(processes: list[Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.01))
