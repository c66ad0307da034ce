"""Requests take turns: which texts are read next, and how many at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from genner.prediction.results import TextInput, TextResult
from genner.serving.limits import Limits, RefusedError

__all__ = ["Place", "Speed", "Turns", "Waiting"]

_BUSY_RETRY = 1  # seconds
_SHARE = 0.3  # of a new measurement in the estimate
_WORD = 8  # characters of a usual word; longer ones have more pieces
_FEWEST_WORDS = 1_000  # of a batch: smaller ones take nearly as long, so a slow machine would answer less
_MOST_WORDS = 20_000  # of a batch, for the sake of memory


class Waiting(NamedTuple):
    """A text with the answer that is due; ``place`` is that of its request."""

    given: TextInput
    answer: asyncio.Future[TextResult]
    place: Place

    @property
    def n_words(self) -> int:
        """What it costs to read, in words of usual length; 1 or more."""
        return max(len(self.given.words or ()), len(self.given.text) // _WORD, 1)


class Speed:
    """How many words a batch may have, by the time that batches took.

    Args:
        seconds: that a batch should take at most.
        n_words: the first estimate.
    """

    def __init__(self, seconds: float, n_words: int = _FEWEST_WORDS) -> None:
        self._seconds, self._rate = seconds, n_words / seconds

    @property
    def n_words(self) -> int:
        """Words that a batch may have."""
        return min(max(int(self._rate * self._seconds), _FEWEST_WORDS), _MOST_WORDS)

    def measured(self, n_words: int, seconds: float) -> None:
        """Take in a batch. A small one only says how slow the model is at most: much of its time is for any batch."""
        rate = n_words / max(seconds, 1e-6)
        if rate > self._rate or seconds > self._seconds / 2:
            self._rate += _SHARE * (rate - self._rate)


class Place:
    """The place of a request among the others.

    Attributes:
        n_coming: its texts that are still to be split into words.
        is_left: nobody waits for its answer any more.
        waiting: its texts that may be read.
    """

    def __init__(self, n_texts: int) -> None:
        self.n_coming, self.is_left = n_texts, False
        self.waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        """Number of its texts waiting."""
        return self.n_coming + sum(not waiting.answer.done() for waiting in self.waiting)

    def next(self) -> Waiting | None:
        """Its first text that somebody waits for."""
        while self.waiting:
            if not self.waiting[0].answer.done():
                return self.waiting[0]
            self.waiting.popleft()
        return None


class Turns:
    """The requests whose texts wait, in the order of their turns. All of it happens in the event loop.

    Args:
        limits: how many texts may wait, and how many are read as one batch.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places: deque[Place] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.speed = Speed(limits.batch_seconds)

    def __len__(self) -> int:
        """Number of texts waiting; those of a request that is being split wait, too."""
        return sum(map(len, self._places))

    def enter(self, n_texts: int) -> Place:
        """A place for a request.

        Raises:
            RefusedError: too many texts are waiting, or the server is shutting down.
        """
        if self._is_closed:
            raise RefusedError(503, "The server is shutting down. Try again later.", retry_after=_BUSY_RETRY)
        if len(self) + n_texts > self._limits.max_waiting:
            raise RefusedError(
                503,
                f"The server is busy: {len(self)} texts are waiting, at most {self._limits.max_waiting} may. "
                "Try again in a moment.",
                retry_after=_BUSY_RETRY,
            )
        place = Place(n_texts)
        self._places.append(place)
        return place

    def add(self, place: Place, inputs: Iterable[TextInput]) -> Sequence[asyncio.Future[TextResult]]:
        """Queue the texts of a request, split into words; cancelling an answer removes its text."""
        loop = asyncio.get_running_loop()
        added = [Waiting(given, loop.create_future(), place) for given in inputs]
        place.waiting.extend(added)
        place.n_coming = 0
        self._changed.set()
        return [waiting.answer for waiting in added]

    def leave(self, place: Place) -> None:
        """The request was answered or given up."""
        place.is_left = True
        for waiting in place.waiting:
            waiting.answer.cancel()
        self._places.remove(place)
        self._changed.set()

    def close(self) -> None:
        """Take no more requests."""
        self._is_closed = True
        self._changed.set()

    async def some(self, *, is_large: bool) -> bool:
        """Wait for a text, or for the end (False)."""
        while self._first(is_large) is None:
            if self._is_closed and not self._places:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def n_ready(self) -> int:
        """Texts that could be read at once."""
        return sum(len(place.waiting) for place in self._places)

    def take_large(self) -> Waiting | None:
        """The next text that is too long for a batch."""
        place = self._first(True)
        return None if place is None else self._take(place)

    def take_batch(self) -> list[Waiting]:
        """One text from each request in turn, then the next ones, until the batch has enough words or texts."""
        batch: list[Waiting] = []
        n_words = 0
        while len(batch) < self._limits.batch_texts and (place := self._first(False)) is not None:
            n_words += place.next().n_words
            if batch and n_words > self.speed.n_words:
                break
            batch.append(self._take(place))
        return batch

    def _first(self, is_large: bool) -> Place | None:
        """The request whose turn it is, among those whose next text is large, or is not."""
        most = self.speed.n_words
        for place in self._places:
            first = place.next()
            if first is not None and (first.n_words > most) == is_large:
                return place
        return None

    def _take(self, place: Place) -> Waiting:
        """The next text of a request, whose next turn comes after those of all the others."""
        self._places.remove(place)
        self._places.append(place)
        return place.waiting.popleft()
