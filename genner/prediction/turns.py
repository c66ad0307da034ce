"""A lock that threads take turns with."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

__all__ = ["TurnLock"]


class TurnLock:
    """A lock whose holders come in the order in which they asked, and may let the others go first.

    ``threading.Lock`` gives no such promise: who releases it and takes it again mostly gets it at once.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_held = False
        self._holder: int | None = None  # a thread

    def __enter__(self) -> TurnLock:
        with self._guard:
            turn = threading.Lock() if self._is_held else None
            self._is_held = True
            if turn is not None:
                turn.acquire()
                self._waiting.append(turn)
        if turn is not None:
            turn.acquire()  # until it is handed over
        self._holder = threading.get_ident()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._holder = None
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_held = False

    def give_way(self) -> None:
        """If this thread holds it: let each thread that waits have a turn, then hold it again."""
        if self._waiting and self._holder == threading.get_ident():
            self.__exit__(None, None, None)
            self.__enter__()
