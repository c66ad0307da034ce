"""The model behind the page and the API: loaded in the background, stopped once all requests are answered.

The texts of many requests form batches: texts that arrive while one batch is read form the next. Everything except
reading happens in the event loop, so no locks are needed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

from genner.prediction.results import TextInput, TextResult
from genner.serving.limits import Limits, RefusedError
from genner.serving.metrics import Metrics

__all__ = ["Service", "TextReader"]

_LOADING_RETRY, _BUSY_RETRY = 5, 1  # seconds
_GATHER_SECONDS = 0.004  # for requests sent at the same time to arrive
_FIRST_TEXT = "This is read before anything else."

_log = logging.getLogger(__name__)

_ReadTexts = Callable[[Sequence[TextInput]], list[TextResult]]


class TextReader(Protocol):
    """What a recogniser must provide, see :class:`genner.prediction.recogniser.Recogniser`."""

    labels: tuple[str, ...]
    kind: str

    def stream(self, inputs: Iterable[TextInput | str]) -> Iterator[TextResult]:
        """A result for every text, in the same order."""


class Service:
    """A model for many concurrent clients; must be created in a running event loop.

    Args:
        open_reader: loads the model; called once, in the reading thread.
        name: of the model, as shown to users.
        limits: of requests.

    Attributes:
        state: ``loading``, ``ready`` or ``draining``.
        reader: the model, once it is loaded.
        metrics: of the server.
        at_end: called once all is answered, to release open connections.
    """

    def __init__(self, open_reader: Callable[[], TextReader], name: str, limits: Limits | None = None) -> None:
        self.name = name
        self.limits, self.metrics = limits or Limits(), Metrics()
        self.state = "loading"
        self.reader: TextReader | None = None
        self.at_end: list[Callable[[], None]] = []
        self._open_reader = open_reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._queue = _BatchQueue(self._thread, self.limits, self.metrics)
        self._opened = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load the model and start reading.

        Raises:
            NerError: it cannot be loaded.
        """
        self.reader = await asyncio.get_running_loop().run_in_executor(self._thread, self._warm_reader)
        self.metrics.know_types(self.reader.labels)
        self._running = asyncio.create_task(self._queue.run(self._read))
        if self.state == "loading":
            self.state = "ready"
        self._opened.set()

    async def opened(self) -> TextReader:
        """Wait for the model."""
        await self._opened.wait()
        assert self.reader is not None, "internal error: opened without a model"
        return self.reader

    async def predict(self, inputs: Sequence[TextInput]) -> list[TextResult]:
        """Results in the order of the texts; a text that cannot be read has an ``error``.

        Raises:
            RefusedError: the request is too large, too many texts are waiting, the model is not ready, or time is up.
        """
        self.limits.check(inputs)
        if self.state == "loading":
            raise RefusedError(
                503, f"The model is loading. Try again in {_LOADING_RETRY} seconds.", retry_after=_LOADING_RETRY
            )
        answers = self._queue.submit(inputs)
        try:
            async with asyncio.timeout(self.limits.timeout):
                return list(await asyncio.gather(*answers))
        except TimeoutError:
            raise RefusedError(
                504, f"Not processed within {self.limits.timeout:g} seconds. Send less at once, or try again later."
            ) from None

    async def close(self) -> None:
        """Accept no more requests and finish the pending ones."""
        self.state = "draining"
        self._queue.close()
        if self._running is not None:
            await self._running
        self._thread.shutdown(wait=False)
        for call in self.at_end:
            call()

    def _warm_reader(self) -> TextReader:
        """Load the model and read one text, as the first one takes much longer."""
        reader = self._open_reader()
        list(reader.stream([TextInput(_FIRST_TEXT, "first")]))
        gc.collect()
        gc.freeze()  # what is loaded stays; scanning it in each collection would delay everyone by 0.25 s
        return reader

    def _read(self, inputs: Sequence[TextInput]) -> list[TextResult]:
        assert self.reader is not None, "internal error: asked before the model was opened"
        return list(self.reader.stream(inputs))


class _Waiting(NamedTuple):
    given: TextInput
    answer: asyncio.Future[TextResult]


class _BatchQueue:
    """A bounded queue of texts for a reader that runs in one thread.

    Args:
        thread: an executor with one thread.
        limits: how many texts may wait, and how many are read as one batch.
        metrics: records every batch.
    """

    def __init__(self, thread: ThreadPoolExecutor, limits: Limits, metrics: Metrics) -> None:
        self._thread, self._limits, self._metrics = thread, limits, metrics
        self._waiting: deque[_Waiting] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        metrics.watch_queue(self.__len__)

    def __len__(self) -> int:
        """Number of texts waiting."""
        return sum(not waiting.answer.done() for waiting in self._waiting)

    def submit(self, inputs: Sequence[TextInput]) -> list[asyncio.Future[TextResult]]:
        """Queue texts, all of them or none; cancelling an answer removes its text from the queue.

        Raises:
            RefusedError: too many texts are waiting, or the queue is closed.
        """
        if self._is_closed:
            raise RefusedError(503, "The server is shutting down. Try again later.", retry_after=_BUSY_RETRY)
        if len(self) + len(inputs) > self._limits.max_waiting:
            raise RefusedError(
                503,
                f"The server is busy: {len(self)} texts are waiting, at most {self._limits.max_waiting} may. "
                "Try again in a moment.",
                retry_after=_BUSY_RETRY,
            )
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in inputs]
        self._waiting.extend(map(_Waiting, inputs, answers))
        self._changed.set()
        return answers

    def close(self) -> None:
        """Accept no more texts; those in the queue are still read."""
        self._is_closed = True
        self._changed.set()

    async def run(self, read: _ReadTexts) -> None:
        """Read batch after batch; returns when the queue is closed and empty."""
        while await self._has_work():
            if len(self._waiting) < self._limits.batch_texts:
                await asyncio.sleep(_GATHER_SECONDS)
            batch = self._take()
            if not batch:
                continue
            started = time.perf_counter()
            results = await self._read(read, [waiting.given for waiting in batch])
            self._metrics.batch_read(results, time.perf_counter() - started)
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(result)

    async def _has_work(self) -> bool:
        """Wait for texts; False if no more will come."""
        while not self._waiting:
            if self._is_closed:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def _take(self) -> list[_Waiting]:
        """The next batch, without cancelled texts."""
        batch: list[_Waiting] = []
        n_chars = 0
        while self._waiting and len(batch) < self._limits.batch_texts:
            first = self._waiting[0]
            if not first.answer.done():
                n_chars += len(first.given.text)
                if batch and n_chars > self._limits.batch_chars:
                    break
                batch.append(first)
            self._waiting.popleft()
        return batch

    async def _read(self, read: _ReadTexts, inputs: Sequence[TextInput]) -> list[TextResult]:
        """The results; after an error, texts are read one by one, so that one text cannot fail the others."""
        reading = asyncio.get_running_loop().run_in_executor(self._thread, read, inputs)
        await asyncio.wait([reading])
        if (error := reading.exception()) is None:
            return reading.result()
        _log.error("reading %d texts failed", len(inputs), exc_info=error)
        if len(inputs) > 1:
            return [(await self._read(read, [given]))[0] for given in inputs]
        (given,) = inputs
        reason = f"text {given.id}: cannot be read: internal error ({type(error).__name__}); see the server log"
        return [TextResult(given.text, given.id, error=reason, gold=given.gold)]
