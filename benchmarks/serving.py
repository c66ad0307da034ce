"""The service under load: many clients, each with one sentence after the other (``python -m benchmarks.serving``).

``genner serve`` runs as a process with a small model of random weights and is queried over loopback by clients that
wait for each answer before the next request. The reference is the time of one batch: what the idle server needs for a
request with as many sentences as the loaded server batched on average. A client waits for its own batch and, if it
arrives too late for that, for the batch in progress: up to twice that time.

Then one client sends requests at the limits, of some kinds that are hard on a server, and another one sentence after
the other meanwhile: how long the sentences wait, in seconds and compared with the idle server.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.models import LENGTHS, Shape, build_model, pointer_task
from genner import patches  # noqa: F401  before fastNLP
from genner.cli import PROGRAM
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.model.tokenizers import train_byte_bpe

__all__ = ["main", "measure"]

_CLIENTS, _SECONDS = 50, 60.0
_N_CLIENTS_QUICK, _SECONDS_QUICK = 8, 1.0
_P95_GOAL = 3.0
_PART_SECONDS = 10
_ALONE = 5  # requests to the idle server, after every part
_TIMEOUT = 60.0
_WAIT_GOAL = 2.0  # seconds that a sentence may wait for the request of another client
_WAIT_SECONDS = 10.0  # for each kind of request
_FULL = 20_000  # characters of a text
#: Texts at the limit of characters: sentences, words without a sentence end, signs, and a single word.
_LARGE = {
    "sentences": "Stiff neck and sore knees in the morning. ",
    "words": "word ",
    "signs": "( ",
    "a word": "x",
    "emoji": "🙂",
}
_SHAPE = Shape(width=256, layers=3, heads=4, vocab_size=4000)
_MAX_SYMBOLS = 10  # of a model that has not learned to stop
_ROOT = Path(__file__).resolve().parents[1]


class _Load(NamedTuple):
    """Results of a period under load."""

    seconds: float
    times: list[float]  # of the answers, in seconds
    n_errors: int


class _Alone(NamedTuple):
    """A request to the idle server."""

    seconds: float
    n_texts: int


class _Client:
    """One client: sends sentences over one connection."""

    def __init__(self, address: tuple[str, int], texts: Sequence[str]) -> None:
        self.connection, self.texts = HTTPConnection(*address, timeout=_TIMEOUT), texts

    def ask(self, texts: Sequence[str]) -> bool:
        """Whether every text is answered."""
        try:
            self.connection.request(
                "POST", "/predict", json.dumps({"texts": list(texts)}), {"Content-Type": "application/json"}
            )
            answer = self.connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            self.connection.close()
            return False
        if answer.status != 200:
            return False
        results = json.loads(content)["results"]
        return [result["text"] for result in results] == list(texts) and not any("error" in found for found in results)

    def send_until(self, texts: Sequence[str], end: float) -> None:
        """Send the same request again and again, whatever is answered."""
        body = json.dumps({"texts": list(texts)})
        while time.perf_counter() < end:
            with suppress(OSError, HTTPException):
                self.connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                self.connection.getresponse().read()
        self.connection.close()

    def ask_until(self, end: float) -> tuple[list[float], int]:
        """Send one text after the other; response times, and the number of failures."""
        times, n_errors = [], 0
        for number in count():
            started = time.perf_counter()
            if started >= end:
                break
            if self.ask([self.texts[number % len(self.texts)]]):
                times.append(time.perf_counter() - started)
            else:
                n_errors += 1
        self.connection.close()
        return times, n_errors

    def counts(self) -> tuple[float, float]:
        """Batches so far, and texts in them."""
        self.connection.request("GET", "/metrics")
        text = self.connection.getresponse().read().decode()
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return float(lines["genner_batch_texts_count"]), float(lines["genner_batch_texts_sum"])


def measure(settings: Settings, seconds: float = _SECONDS) -> list[Measure]:
    """Measure a server under load and idle, alternately."""
    n_clients, seconds = (_N_CLIENTS_QUICK, _SECONDS_QUICK) if settings.quick else (_CLIENTS, seconds)
    texts = [" ".join(example.words) for example in draw_sentences(40 * n_clients, LENGTHS, seed=12)]
    with tempfile.TemporaryDirectory() as name:
        described = _write_model(Path(name) / "random" / "best", Shape.quick() if settings.quick else _SHAPE)
        with _server(Path(name) / "random" / "best", settings) as address:
            alone = _Client(address, texts)
            alone.ask(texts[:n_clients])  # the first large batch allocates memory
            gc.collect()
            gc.freeze()  # else garbage collection pauses this process, too
            n_parts = max(round(seconds / _PART_SECONDS), 1)
            parts, batch, single = [], [], []
            for _ in range(n_parts):  # alternately, so that a slow minute of the machine affects both
                before = alone.counts()
                parts.append(_loaded(address, texts, n_clients, seconds / n_parts))
                n_batches, n_texts = (now - then for now, then in zip(alone.counts(), before, strict=True))
                batch += _unloaded(alone, texts, max(round(n_texts / n_batches), 1), settings.n_rounds(_ALONE))
                single += _unloaded(alone, texts, 1, settings.n_rounds(_ALONE))
            seconds = _WAIT_SECONDS / 10 if settings.quick else _WAIT_SECONDS
            waits = {
                f"{n_texts} texts of {name}": _beside(address, [(text * _FULL)[:_FULL]] * n_texts, texts, seconds)
                for name, text in _LARGE.items()
                for n_texts in (8, 64)
            }
            gc.unfreeze()
    measures = _measures(parts, batch, single, f"{n_clients} clients, {described}")
    return run_benchmark(__doc__, [*measures, *_wait_measures(waits, statistics.median(alone for alone, _ in single))])


def _measures(parts: Sequence[_Load], batch: list[_Alone], single: list[_Alone], about: str) -> list[Measure]:
    times = [value for part in parts for value in part.times]
    seconds, n_errors = sum(part.seconds for part in parts), sum(part.n_errors for part in parts)
    p50, p95, p99 = (_percentile(times, share) for share in (50, 95, 99))
    alone, size = (statistics.median(values) for values in zip(*batch, strict=True))
    details = {
        "load": f"{about}; {len(times)} requests in {seconds:.1f} s",
        "seconds of an answer": {"p50": round(p50, 4), "p95": round(p95, 4), "p99": round(p99, 4)},
        "idle server": {
            f"seconds for {size:.0f} texts (a batch)": round(alone, 4),
            "for one text": round(statistics.median(seconds for seconds, _ in single), 4),
        },
    }
    return [
        Measure("serving_errors", n_errors, "errors", 0, details),
        Measure("serving_p95_over_batch", p95 / alone, "ratio", _P95_GOAL),
        Measure("serving_p50", p50, "s"),
        Measure("serving_p95", p95, "s"),
        Measure("serving_p99", p99, "s"),
        Measure("serving_requests", len(times) / seconds, "requests/s"),
    ]


def _beside(address: tuple[str, int], large: Sequence[str], texts: Sequence[str], seconds: float) -> list[float]:
    """Times of one sentence after the other, while another client sends the same large request again and again."""
    times, sender, asker = [], _Client(address, large), _Client(address, texts)
    end = time.perf_counter() + seconds
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(sender.send_until, large, end)
        for text in texts:
            started = time.perf_counter()
            if started >= end:
                break
            assert asker.ask([text]), "internal error: a sentence was not answered"
            times.append(time.perf_counter() - started)
        if sender.connection.sock is not None:
            sender.connection.sock.shutdown(socket.SHUT_RDWR)  # the server notices, and stops reading
        sending.result()
    return times


def _wait_measures(waits: dict[str, list[float]], alone: float) -> list[Measure]:
    """The longest wait for each kind of request, and the longest of all."""
    details = {
        name: {"sentences": len(times), "median": round(statistics.median(times), 3), "longest": round(max(times), 3)}
        for name, times in waits.items()
    }
    longest = max(max(times) for times in waits.values())
    return [
        Measure("serving_wait", longest, "s", _WAIT_GOAL, {"one sentence beside a request of": details}),
        Measure("serving_wait_over_idle", longest / alone, "ratio"),
    ]


def _loaded(address: tuple[str, int], texts: Sequence[str], n_clients: int, seconds: float) -> _Load:
    """All clients at once, each with its own texts."""
    clients = [_Client(address, texts[number::n_clients]) for number in range(n_clients)]
    started = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as threads:
        found = list(threads.map(_Client.ask_until, clients, [started + seconds] * n_clients))
    times = [value for client_times, _ in found for value in client_times]
    assert times, "internal error: no request was answered"
    return _Load(time.perf_counter() - started, times, sum(n_errors for _, n_errors in found))


def _unloaded(client: _Client, texts: Sequence[str], n_texts: int, rounds: int) -> list[_Alone]:
    """Times of requests with this many texts, one after the other."""
    times = []
    for number in range(rounds):
        first = number * n_texts % (len(texts) - n_texts)
        started = time.perf_counter()
        assert client.ask(texts[first : first + n_texts]), "internal error: the idle server did not answer"
        times.append(_Alone(time.perf_counter() - started, n_texts))
    return times


def _percentile(times: Sequence[float], share: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[share - 1] if len(times) > 1 else times[0]


def _write_model(folder: Path, shape: Shape) -> str:
    """A model folder with random weights; returns its size in words."""
    words = [example.words for example in draw_sentences(max(shape.vocab_size // 4, 64), LENGTHS)]
    model = build_model(shape, train_byte_bpe(words, shape.vocab_size), LABELS)
    codec = PointerCodec(PointerVocab(LABELS), "word")
    pointer_task(model, codec, max_len=_MAX_SYMBOLS, draft_len=6).save(folder)
    return f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M parameters"


@contextmanager
def _server(model: Path, settings: Settings) -> Iterator[tuple[str, int]]:
    """The server on a free port of this machine."""
    command = [*PROGRAM, "serve", str(model), "--no_page", "--port", "0", "--device", settings.device]
    environment = {**os.environ, "OMP_NUM_THREADS": str(settings.threads)}
    process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert " is served at http://" in line, "internal error: the server did not start"
        host, _, port = line.split()[-1].removeprefix("http://").rpartition(":")
        yield host, int(port)
    finally:
        process.terminate()
        process.communicate()


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    options, rest = parser.parse_known_args(argv)
    run_command("serving", partial(measure, seconds=options.seconds), __doc__, rest)


if __name__ == "__main__":
    main()
