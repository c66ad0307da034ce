"""The model behind the page and the API: loaded in the background, stopped once all requests are answered.

Requests take turns, text by text. Texts that arrive while one batch is read form the next, which is as large as can be
read in about 0.7 seconds. A text that takes longer is read beside the batches, in a thread of its own. Splitting,
reading and drawing happen in threads, everything else in the event loop, so no locks are needed here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from genner.evaluation.thresholds import LeastScores
from genner.prediction.results import TextInput, TextResult
from genner.serving.limits import Limits, RefusedError
from genner.serving.metrics import Metrics
from genner.serving.turns import Place, Turns, Waiting

__all__ = ["Service", "TextReader"]

_LOADING_RETRY = 5  # seconds
_GATHER_SECONDS = 0.004  # for requests sent at the same time to arrive
_LONG = 2_000  # characters of texts that are not split together with shorter ones
_FIRST_TEXT = "This is read before anything else."

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_Split = Callable[[TextInput], TextInput]


class TextReader(Protocol):
    """What a recogniser must provide, see :class:`genner.prediction.recogniser.Recogniser`."""

    labels: tuple[str, ...]
    kind: str
    least: LeastScores

    def stream(
        self, inputs: Iterable[TextInput | str], *, progress: Callable[[float, int], None] | None = None
    ) -> Iterator[TextResult]:
        """A result for every text, in the same order; several threads may ask. ``progress`` may raise."""

    def splitter(self, pause: Callable[[], None]) -> _Split:
        """What splits texts into words, for one thread; ``pause`` is called in between."""


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
    """

    def __init__(self, open_reader: Callable[[], TextReader], name: str, limits: Limits | None = None) -> None:
        self.name = name
        self.limits, self.metrics = limits or Limits(), Metrics()
        self.state = "loading"
        self.reader: TextReader | None = None
        self._open_reader = open_reader
        self._threads = {name: ThreadPoolExecutor(1, name) for name in ("batches", "large", "short", "long")}
        self._split: dict[str, _Split] = {}
        self._turns = Turns(self.limits)
        self._running: list[asyncio.Task[None]] = []
        self.metrics.watch_queue(self._turns.__len__)

    async def open(self) -> None:
        """Load the model and start reading.

        Raises:
            NerError: it cannot be loaded.
        """
        self.reader = await self._in_thread("batches", self._warm_reader)
        for name in ("short", "long"):
            self._split[name] = await self._in_thread(name, self.reader.splitter, _Yielding())
        self.metrics.know_types(self.reader.labels)
        self._running = [asyncio.create_task(lane()) for lane in (self._read_batches, self._read_large)]
        if self.state == "loading":
            self.state = "ready"

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
        place = self._turns.enter(len(inputs))
        try:
            async with asyncio.timeout(self.limits.timeout):
                answers = self._turns.add(place, await self._with_words(inputs))
                return list(await asyncio.gather(*answers))
        except TimeoutError:
            raise RefusedError(
                504, f"Not processed within {self.limits.timeout:g} seconds. Send less at once, or try again later."
            ) from None
        finally:
            self._turns.leave(place)

    async def aside(self, call: Callable[..., _T], *args: Any) -> _T:
        """Do work that takes long in a thread that does not read, one piece after the other."""
        return await self._in_thread("long", call, *args)

    async def close(self) -> None:
        """Accept no more requests and finish the pending ones."""
        self.state = "draining"
        self._turns.close()
        await asyncio.gather(*self._running)
        for thread in self._threads.values():
            thread.shutdown(wait=False)

    def _warm_reader(self) -> TextReader:
        """Load the model and read one text, as the first one takes much longer."""
        reader = self._open_reader()
        list(reader.stream([TextInput(_FIRST_TEXT, "first")]))
        gc.collect()
        gc.freeze()  # what is loaded stays; scanning it in each collection would delay everyone by 0.25 s
        return reader

    async def _with_words(self, inputs: Sequence[TextInput]) -> list[TextInput]:
        """The texts with their words. Other requests get their turn after each."""
        found: list[TextInput] = []
        for given in inputs:
            if given.words is None:
                name = "long" if len(given.text) > _LONG else "short"
                given = await self._in_thread(name, self._split[name], given)
            found.append(given)
            self.limits.check_words(found, len(inputs))
        return found

    async def _read_batches(self) -> None:
        """Read batch after batch; returns when the service is closed and all is answered."""
        while await self._turns.some(is_large=False):
            if self._turns.n_ready() < self.limits.batch_texts:
                await asyncio.sleep(_GATHER_SECONDS)
            if batch := self._turns.take_batch():
                await self._answer("batches", batch)

    async def _read_large(self) -> None:
        """Read one text after the other that is too long for a batch; returns as the other does."""
        while await self._turns.some(is_large=True):
            if (waiting := self._turns.take_large()) is not None:
                await self._answer("large", [waiting])

    async def _answer(self, thread: str, batch: Sequence[Waiting]) -> None:
        """Read some texts and give the results to those who wait for them."""
        started = time.perf_counter()
        results = await self._results(thread, batch)
        seconds = time.perf_counter() - started
        if results is None:
            return
        self.metrics.batch_read(results, seconds)
        if thread == "batches":
            self._turns.speed.measured(sum(waiting.n_words for waiting in batch), seconds)
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(result)

    async def _results(self, thread: str, batch: Sequence[Waiting]) -> list[TextResult] | None:
        """The results; None if nobody waits for them any more.

        After an error, texts are read one by one, so that one text cannot fail the others.
        """
        reading = asyncio.ensure_future(self._in_thread(thread, self._read, batch))
        await asyncio.wait([reading])
        if (error := reading.exception()) is None:
            return reading.result()
        if isinstance(error, _NobodyWaitsError):
            return None
        _log.error("reading %d texts failed", len(batch), exc_info=error)
        if len(batch) > 1:
            return [found for waiting in batch for found in await self._results(thread, [waiting]) or [_gone(waiting)]]
        given = batch[0].given
        reason = f"text {given.id}: cannot be read: internal error ({type(error).__name__}); see the server log"
        return [TextResult(given.text, given.id, error=reason, gold=given.gold)]

    def _read(self, batch: Sequence[Waiting]) -> list[TextResult]:
        assert self.reader is not None, "internal error: asked before the model was opened"
        places = {id(waiting.place): waiting.place for waiting in batch}
        progress = partial(self._between, list(places.values()))
        return list(self.reader.stream([waiting.given for waiting in batch], progress=progress))

    def _between(self, places: Sequence[Place], n_texts: float, n_words: int) -> None:
        """Called while texts are read: what nobody waits for ends."""
        if all(place.is_left for place in places):
            raise _NobodyWaitsError

    async def _in_thread(self, name: str, call: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads[name], call, *args)


class _Yielding:
    """Called by a thread that splits: sleeps as long as it has worked since, so that it never holds up the others."""

    def __init__(self) -> None:
        self._since = time.thread_time()

    def __call__(self) -> None:
        time.sleep(max(time.thread_time() - self._since, 0.0))
        self._since = time.thread_time()


class _NobodyWaitsError(Exception):
    """All requests whose texts are being read were given up."""


def _gone(waiting: Waiting) -> TextResult:
    return TextResult(waiting.given.text, waiting.given.id, error="nobody waits for it")
