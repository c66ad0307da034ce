"""A recogniser that needs no model, and ``predict.py`` with it in a process of its own that can be killed."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from genner.commands import predict as command
from genner.data.schema import Entity, Segment
from genner.evaluation.thresholds import LeastScores
from genner.prediction.results import TextInput, TextResult, place_entity

# A fork of a process that has the libraries in memory already: a process a run costs no seconds of imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.prediction.stub", "genner.prediction.writing", "spacy.tokens", "spacy.vocab"])


@dataclass(frozen=True)
class Options:
    """What the stub lets be chosen."""

    chunk_words: int = 0
    min_score: float = 0.0


class Stub:
    """Finds words in capitals, and every word with the last but one before it; sentences end at full stops."""

    labels = ("NAME", "PAIR")
    kind = "discontinuous"
    choices: dict[str, object] = {}  # noqa: RUF012  never changed
    least = LeastScores()

    def __init__(self, folder: Path, options: Options, pause: float = 0.0) -> None:
        self.folder, self.options, self._pause = folder, options, pause

    def stream(self, inputs: Iterable[TextInput], *, progress: object = None) -> Iterator[TextResult]:
        for given in inputs:
            time.sleep(self._pause)
            yield self._read(given)

    def _read(self, given: TextInput) -> TextResult:
        error = given.error or (f"{given.id}: too odd" if "odd" in given.text else None)
        if error is not None:
            return TextResult(given.text, given.id, error=error, gold=given.gold)
        words = given.words or [Segment(*match.span()) for match in re.finditer(r"\w+|\S", given.text)]
        ends = [n + 1 for n, (start, _) in enumerate(words) if given.text[start] == "."]
        cuts = sorted({0, *ends, len(words)})
        sentences = [Segment(*pair) for pair in pairwise(cuts)]
        rows = [("NAME", [n, n + 1]) for n, (start, _) in enumerate(words) if given.text[start].isupper()]
        rows += [("PAIR", [n - 2, n - 1, n, n + 1]) for n in range(2, len(words), 3)]
        found = [place_entity(Entity.from_flat(label, flat), given.text, words, 0.5) for label, flat in rows]
        notes = ("long",) if len(words) > 6 else ()
        return TextResult(
            given.text, given.id, tuple(words), tuple(sentences), tuple(found), notes=notes, gold=given.gold
        )


def use_stub(model: Path, pause: float = 0.0) -> None:
    """Let the command line have a stub instead of a model."""

    def open_model(options, **_) -> Stub:
        return Stub(model, replace(Options(options.chunk_words), min_score=options.min_score or 0.0), pause)

    command.open_model = open_model


def predict(argv: list[str], model: Path | None = None, stop: tuple[str, int] | None = None, pause: float = 0.0) -> int:
    """Run a command line in a process of its own.

    Args:
        argv: the command line; the first is the model.
        model: use the stub with this folder.
        stop: die, without a word, before the n-th call of a function of ``os``.
        pause: seconds per text.

    Returns:
        the exit code.
    """
    process = start(argv, model, stop, pause)
    process.join(120)
    assert process.exitcode is not None, "the process hangs"
    return process.exitcode


def start(argv: list[str], model: Path | None = None, stop: tuple[str, int] | None = None, pause: float = 0.0):
    """The process of :func:`predict`, begun."""
    process = CONTEXT.Process(target=_work, args=([str(one) for one in argv], model, stop, pause))
    process.start()
    return process


def _work(argv: list[str], model: Path | None, stop: tuple[str, int] | None, pause: float) -> None:
    if model is not None:
        use_stub(model, pause)
    if stop is not None:
        _die_at(*stop)
    errors = os.open(f"{argv[argv.index('--output') + 1]}.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    raise SystemExit(command.main(argv))


def _die_at(name: str, number: int) -> None:
    real, calls = getattr(os, name), [0]

    def counted(*arguments, **options):
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(os, name, counted)
