"""Real servers of a small trained model, and readers that are no models, for what hangs on time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, current_thread

import pytest

from genner.cli import PROGRAM
from genner.data.schema import Entity
from genner.evaluation.thresholds import LeastScores
from genner.prediction.recogniser import Recogniser, load
from genner.prediction.results import TextInput, TextResult, place_entity, words_joined

ROOT = Path(__file__).parents[2]


class Process:
    """``genner serve`` as people start it, at a free port.

    Args:
        arguments: of the command line.
        environment: variables to set.
    """

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.url = ""
        self._process = subprocess.Popen(
            [*PROGRAM, "serve", *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )

    def wait_until_served(self) -> Process:
        """Until the model is loaded."""
        line = self._process.stdout.readline()
        assert " is served at http://" in line, self._process.communicate()[1]
        self.url = line.split()[-1]
        return self

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Exit code, output and errors of a process that ends by itself."""
        out, err = self._process.communicate(timeout=120)
        return self._process.returncode, out, err

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class GatedReader:
    """Finds every word ``fig``; reads a batch only when it may, and notes what it was asked.

    Attributes:
        batches: texts that were read together, in their order.
        threads: names of those that called.
    """

    labels = ("FRUIT",)
    kind = "flat"
    least = LeastScores()

    def __init__(self, *, is_open: bool = True) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.gate = Event()
        if is_open:
            self.gate.set()

    def stream(
        self, inputs: Iterable[TextInput | str], *, progress: Callable[[float, int], None] | None = None
    ) -> Iterator[TextResult]:
        inputs = list(inputs)
        if inputs[0].id == "first":  # what every model reads before anything else
            return iter(inputs)
        self.batches.append([given.text for given in inputs])
        self.threads.add(current_thread().name)
        assert self.gate.wait(30), "the gate was never opened"
        if any("break" in given.text for given in inputs):
            raise KeyError("a fault of the reader")
        results = []
        for n_texts, given in enumerate(inputs, start=1):
            results.append(found_figs(given))
            if progress is not None:
                progress(n_texts, len(given.words))
        return iter(results)

    def splitter(self, pause: Callable[[], None]) -> Callable[[TextInput], TextInput]:
        def split(given: TextInput) -> TextInput:
            pause()
            return replace(given, words=words_joined(given.text.split()).words)

        return split


def found_figs(given: TextInput) -> TextResult:
    """The result for a text whose words are parted by single blanks."""
    if given.text == "unreadable":
        return TextResult(given.text, given.id, error=f"text {given.id}: cannot be read")
    words = words_joined(given.text.split()).words or ()
    found = [Entity.from_flat("FRUIT", [idx, idx + 1]) for idx, word in enumerate(given.text.split()) if word == "fig"]
    entities = tuple(place_entity(entity, given.text, words, 0.5) for entity in found)
    return TextResult(given.text, given.id, words, (), entities)


@pytest.fixture(scope="session")
def recogniser(trained_model: Path) -> Recogniser:
    """The small trained model."""
    return load(trained_model, device="cpu")


@pytest.fixture(scope="session")
def server(trained_model: Path) -> Iterator[Process]:
    """A server of that model, with the page."""
    process = Process(str(trained_model), "--device", "cpu", "--max_chars", "2000")
    try:
        yield process.wait_until_served()
        process.send(signal.SIGTERM)
        process.end()
    finally:
        process.kill()
