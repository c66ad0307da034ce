"""Runs seeds or experiments, each in its own process: one after another, or several at a time with an overview."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, Generic, TypeVar

import torch
from rich.console import Console
from rich.live import Live
from rich.table import Table

__all__ = ["Outcome", "Place", "device_arguments", "places", "run_all"]

Key = TypeVar("Key", int, str)

_LAST_LINES = 30
_REDRAW_SECONDS = 0.5
# What a process started itself may outlive it and hold its standard error open; nobody waits for that.
_SECONDS_TO_DRAIN = 1.0
# Of what a process says, this is repeated where several run: an epoch's result or alarm, and how a seed begins or ends.
# Progress within an epoch, tables and all the rest are in its log.
_NEWS = re.compile(r"epoch \d+(/\d+  |: )|(collapsed|resuming|interrupted|already trained)\b|seed \d+ ")
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
            name = _signal_name(-self.code)
            return f"killed by {name}" + " (out of memory?)" * (name == "SIGKILL")
        code = f"{self.code:#x}" if self.code > 255 else str(self.code)  # Windows reports its errors so
        return f"exit code {code}" + f": {self.last_line}" * bool(self.last_line)


@dataclass
class _Child:
    process: subprocess.Popen[str]
    place: int
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))


def places(n_parallel: int, device: str = "auto") -> list[Place]:
    """A GPU for each process, shared if there are too few, or an equal share of the CPU cores.

    Args:
        n_parallel: number of processes.
        device: that of their recipe: ``cpu`` takes no GPU, ``cuda:1`` only that one.
    """
    if device != "cpu" and torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
        number = device.removeprefix("cuda:")
        names = names[int(number) :][:1] if number.isdecimal() and int(number) < len(names) else names
        return [Place({"CUDA_VISIBLE_DEVICES": names[number % len(names)]}) for number in range(n_parallel)]
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = sorted(os.sched_getaffinity(0)) if has_affinity else list(range(os.cpu_count() or 1))
    share = max(len(cores) // n_parallel, 1)
    parts = [[cores[(number * share + i) % len(cores)] for i in range(share)] for number in range(n_parallel)]
    return [Place({"OMP_NUM_THREADS": str(share)}, frozenset(part) if has_affinity else None) for part in parts]


def device_arguments(device: str, n_parallel: int) -> list[str]:
    """What a command line needs so that a process in its place finds its GPU: it sees one, whose number is 0."""
    has_place = n_parallel > 1 and device.startswith("cuda") and torch.cuda.is_available()
    return ["training.device=auto"] if has_place else []


def run_all(
    commands: Mapping[Key, Sequence[str]],
    n_parallel: int = 1,
    *,
    what: str = "seed",
    outputs: Mapping[Key, Path] | None = None,
    device: str = "auto",
) -> Iterator[tuple[Key, Outcome]]:
    """Run one command per seed or experiment and yield each with its outcome when it ends.

    One at a time, a process has the terminal to itself. With several at a time, a terminal shows a table of their last
    messages; elsewhere, a line per epoch is printed with their name as a prefix. Of one that fails, the last lines are
    shown. Closing the generator, or Ctrl-C, stops
    them all.

    Args:
        commands: by number or name, in the order in which they start.
        n_parallel: how many run at once.
        what: what messages call a command.
        outputs: files for the output of the processes, replaced when they start; with them, output is read even if
            processes run one at a time.
        device: see :func:`places`.
    """
    if n_parallel == 1 and outputs is None:
        for key, command in commands.items():
            with _stopping([process := subprocess.Popen(command)]):
                code = process.wait()
            yield key, Outcome(code)
        return
    where = places(n_parallel, device) if n_parallel > 1 else [Place({})]  # alone, it may use the whole machine
    yield from _Parallel(commands, where, what, outputs or {}).run()


class _Parallel(Generic[Key]):
    def __init__(
        self, commands: Mapping[Key, Sequence[str]], where: list[Place], what: str, outputs: Mapping[Key, Path]
    ) -> None:
        self.waiting = dict(commands)
        self.what = what
        self.outputs = outputs
        self.places = where
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
            env=os.environ | place.environment | {"PYTHONIOENCODING": "utf-8"},
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
        reader = Thread(target=self._read, args=(key, process, output), daemon=True)
        reader.start()
        Thread(target=self._wait, args=(key, process, reader), daemon=True).start()
        return process

    def _wait(self, key: Key, process: subprocess.Popen[str], reader: Thread) -> None:
        process.wait()
        reader.join(_SECONDS_TO_DRAIN)
        self.messages.put((key, None))

    def _read(self, key: Key, process: subprocess.Popen[str], output: BinaryIO | None) -> None:
        with output or contextlib.nullcontext():
            for line in process.stderr:
                if output is not None:
                    with contextlib.suppress(OSError):  # a full disk; the output must still be read
                        output.write(line.encode())
                self.messages.put((key, line.rstrip()))

    def _listen(self) -> tuple[Key, Outcome] | None:
        """Read one message; returns the key and its outcome if the process has ended."""
        try:
            key, line = self.messages.get(timeout=_REDRAW_SECONDS)
        except Empty:
            return None
        child = self.children.get(key)
        if child is None:  # of something that it left behind
            return None
        if line is None:
            outcome = Outcome(child.process.wait(), next((line for line in reversed(child.last_lines) if line), ""))
            del self.children[key]
            self.shown[key] = "done" if outcome.code == 0 else outcome.reason
            if outcome.code and key not in self.outputs:
                self._print(key, *_telling(outcome.code, child.last_lines))
            return key, outcome
        child.last_lines.append(line)
        if line:
            self.shown[key] = line
            if _NEWS.match(line) and not self.console.is_terminal:
                self._print(key, line)
        return None

    def _print(self, key: Key, *lines: str) -> None:
        for line in lines:
            print(f"{self.what} {key}: {line}", file=sys.stderr, flush=True)

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


def _telling(code: int, lines: Iterable[str]) -> Iterable[str]:
    """Those of a process's last lines that say why it failed."""
    is_usage_error = code == 2
    return dropwhile(lambda line: is_usage_error and not line.startswith("error: "), lines)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # such as those of real time, most of which have no name
        return f"signal {number}"


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
