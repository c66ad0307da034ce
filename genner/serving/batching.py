"""Texts of many requests -> batches: what has come in while one batch was read is the next one.

Everything but the reading itself happens in the event loop, so nothing needs a lock.
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

#: Reads some texts; gives as many results, in their order.
Reader = Callable[[Sequence[TextInput]], list[TextResult]]

_GATHER_SECONDS = 0.004  # in which requests that were sent together arrive
_RETRY_AFTER = 1

_log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    given: TextInput
    answer: asyncio.Future[TextResult]


class BatchQueue:
    """A bounded queue of texts in front of a reader that is called from one thread.

    Args:
        thread: an executor of one thread.
        limits: how many texts may wait and how many are read together.
        metrics: get every batch.
    """

    def __init__(self, thread: ThreadPoolExecutor, limits: Limits, metrics: Metrics) -> None:
        self._thread, self._limits, self._metrics = thread, limits, metrics
        self._waiting: deque[_Waiting] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        metrics.watch_queue(self.__len__)

    def __len__(self) -> int:
        """Texts that wait."""
        return sum(not waiting.answer.done() for waiting in self._waiting)

    def submit(self, inputs: Sequence[TextInput]) -> list[asyncio.Future[TextResult]]:
        """Let texts wait to be read: all of them or none. Whoever cancels an answer takes its text out again.

        Raises:
            RefusedError: too many are waiting, or the queue is closed.
        """
        if self._is_closed:
            raise RefusedError(503, "The server is stopping. Try another one, or later.", retry_after=_RETRY_AFTER)
        if len(self) + len(inputs) > self._limits.max_waiting:
            raise RefusedError(
                503,
                f"The server is busy: {len(self)} texts are waiting, of at most {self._limits.max_waiting}. "
                "Try again in a moment.",
                retry_after=_RETRY_AFTER,
            )
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in inputs]
        self._waiting.extend(map(_Waiting, inputs, answers))
        self._changed.set()
        return answers

    def close(self) -> None:
        """Take no more; what waits is read."""
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
        """Wait for texts; False: there will be none."""
        while not self._waiting:
            if self._is_closed:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def _take(self) -> list[_Waiting]:
        """The next batch, without those whose answer nobody waits for any more."""
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
        """The results; if reading breaks, one by one, so that a text cannot take others with it."""
        reading = asyncio.get_running_loop().run_in_executor(self._thread, read, inputs)
        await asyncio.wait([reading])
        if (error := reading.exception()) is None:
            return reading.result()
        _log.error("reading %d texts failed", len(inputs), exc_info=error)
        if len(inputs) > 1:
            return [(await self._read(read, [given]))[0] for given in inputs]
        (given,) = inputs
        reason = f"text {given.id}: cannot be read: internal error ({type(error).__name__}), told in the server's log"
        return [TextResult(given.text, given.id, error=reason, gold=given.gold)]
