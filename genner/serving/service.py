"""The model behind the page and the API: loaded in the background, with one queue, stopped once all is answered."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from genner.prediction.results import TextInput, TextResult
from genner.serving.batching import BatchQueue
from genner.serving.limits import Limits, RefusedError
from genner.serving.metrics import Metrics

__all__ = ["Service", "TextReader"]

_LOADING_RETRY = 5
_FIRST_TEXT = "This is read before anything else."


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
        self._queue = BatchQueue(self._thread, self.limits, self.metrics)
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
