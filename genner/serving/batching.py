"""Batches the texts of many requests: texts that arrive while one batch is read form the next.

Everything except reading happens in the event loop, so no locks are needed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from genner.prediction.results import TextInput, TextResult
from genner.serving.limits import Limits, RefusedError
from genner.serving.metrics import Metrics

__all__ = ["BatchQueue", "Reader"]

#: Reads texts and returns one result for each, in order.
Reader = Callable[[Sequence[TextInput]], list[TextResult]]

_GATHER_SECONDS = 0.004  # for requests sent at the same time to arrive
_RETRY_AFTER = 1

_log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    given: TextInput
    answer: asyncio.Future[TextResult]


class BatchQueue:
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
            raise RefusedError(503, "The server is shutting down. Try again later.", retry_after=_RETRY_AFTER)
        if len(self) + len(inputs) > self._limits.max_waiting:
            raise RefusedError(
                503,
                f"The server is busy: {len(self)} texts are waiting, at most {self._limits.max_waiting} may. "
                "Try again in a moment.",
                retry_after=_RETRY_AFTER,
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

    async def run(self, read: Reader) -> None:
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

    async def _read(self, read: Reader, inputs: Sequence[TextInput]) -> list[TextResult]:
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
