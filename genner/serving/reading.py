"""How the JSON of requests is read: strictly, and without holding up other requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

__all__ = ["StrictRoute"]

_LONG = 20_000  # bytes that are not read in the event loop
_NOWHERE = -1  # the place of an error that has none


class StrictRoute(APIRoute):
    """A route whose requests are read by :func:`_loads`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return read_strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        return await asyncio.to_thread(_loads, body) if len(body) > _LONG else _loads(body)


def _loads(body: bytes) -> Any:
    """The value of some JSON.

    Raises:
        json.JSONDecodeError: it is not JSON, an object has a key twice, it is nested too deeply, a number is too long.
    """
    try:
        return json.loads(body, object_pairs_hook=_unique)
    except _RepeatedKeyError as error:
        raise json.JSONDecodeError(f"the key {str(error)[:80]!r} twice in one object", "", _NOWHERE) from None
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", _NOWHERE) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # integers of thousands of digits
        raise json.JSONDecodeError(str(error).partition(";")[0], "", _NOWHERE) from None


class _RepeatedKeyError(Exception):
    """A key that an object has twice; readers of JSON differ in which of the values they take."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _RepeatedKeyError(next(key for key, _ in pairs if key in seen or seen.add(key)))
    return found
