"""ASGI middleware that checks the size, encoding and time of requests before they are handled, and measures them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genner.serving.metrics import Metrics

__all__ = ["BodyGuard", "RequestMeter"]

_BODY_SECONDS = 30.0
_DISCARDED_SECONDS = 5.0
_DISCARDED_TIMES = 16  # the limit


class BodyGuard:
    """Receives whole bodies up to a limit and passes them on.

    Answers 413 to larger ones, immediately if the request states its length; 415 to compressed ones; 400 to a body that
    is not UTF-8; 408 to one that does not arrive.

    Args:
        app: receives the body in one message.
        limit: maximal size in bytes.
        text_paths: paths whose bodies must be UTF-8.
    """

    def __init__(self, app: ASGIApp, limit: int, text_paths: Collection[str]) -> None:
        self.app, self.limit, self.text_paths = app, limit, text_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        coding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip()
        if coding.lower() not in ("", "identity"):
            detail = f"Content-Encoding {coding[:40]!r}. Expected a body that is not compressed. Send it as it is."
            await _answer(415, detail)(scope, receive, _Lingering(send, receive, self.limit * _DISCARDED_TIMES))
            return
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.limit:
            await self._refuse_size(scope, receive, send)
            return
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while (message := await receive())["type"] == "http.request":
                    body += message.get("body", b"")
                    if len(body) > self.limit:
                        break
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            detail = f"The request did not arrive within {_BODY_SECONDS:g} seconds. Send it again."
            await _answer(408, detail)(scope, receive, send)
            return
        if message["type"] != "http.request":  # the client disconnected
            return
        if len(body) > self.limit:
            await self._refuse_size(scope, receive, send)
            return
        if scope["path"] in self.text_paths:
            try:
                body.decode("utf-8")
            except UnicodeDecodeError as error:
                detail = f"The body is not UTF-8: {error.reason} at byte {error.start}. Expected JSON in UTF-8."
                await _answer(400, detail)(scope, receive, send)
                return
        await self.app(scope, _Replay(bytes(body), receive), send)

    async def _refuse_size(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"The request is too large. Expected at most {self.limit:,} bytes. Split the request."
        await _answer(413, detail)(scope, receive, _Lingering(send, receive, self.limit * _DISCARDED_TIMES))


class RequestMeter:
    """Counts the requests to some paths by status and measures their duration.

    Args:
        app: the application to measure.
        sources: by path, the names under which the requests are counted.
        metrics: records them.
    """

    def __init__(self, app: ASGIApp, sources: Mapping[str, str], metrics: Metrics) -> None:
        self.app, self.sources, self.metrics = app, sources, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self.sources:
            await self.app(scope, receive, send)
            return
        started, watched = time.perf_counter(), _Watched(send)
        try:
            await self.app(scope, receive, watched)
        finally:
            self.metrics.request_ended(self.sources[scope["path"]], watched.status, time.perf_counter() - started)


class _Replay:
    """A ``receive`` that returns a body that was already read, and then what follows it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self.body: bytes | None = body
        self.receive = receive

    async def __call__(self) -> Message:
        if self.body is None:
            return await self.receive()
        body, self.body = self.body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Watched:
    """A ``send`` that remembers the status; 499 if no answer was started."""

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 499

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self.send(message)


class _Lingering:
    """A ``send`` that ends an answer only once the rest of the request has arrived, up to a limit of size and time.

    Closing a connection while its client is still sending resets it, and many clients then never see the answer.
    """

    def __init__(self, send: Send, receive: Receive, most: int) -> None:
        self.send, self.receive, self.most = send, receive, most

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self.send(message)
            return
        await self.send({**message, "more_body": True})
        n_bytes, goes_on = 0, True
        try:
            async with asyncio.timeout(_DISCARDED_SECONDS):
                while goes_on and n_bytes < self.most:
                    rest = await self.receive()
                    n_bytes += len(rest.get("body", b""))
                    goes_on = rest.get("more_body", False)
        except TimeoutError:
            pass
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})


def _answer(status: int, detail: str) -> JSONResponse:
    """An error that closes the connection, as the request may not have been read completely."""
    return JSONResponse({"detail": detail}, status, {"Connection": "close"})
