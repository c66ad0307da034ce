"""The real application of the HTTP service, asked in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from genner.prediction.recogniser import Recogniser
from genner.serving.api import build_api
from genner.serving.limits import Limits
from genner.serving.service import Service

__all__ = ["FuzzedService"]

_LIMITS = Limits(max_chars=2000, max_texts=8, max_body=100_000, timeout=9)
_CLIENT_GONE = 499  # nobody sees that answer
_BAD_HEADS = (
    "get",
    "FOO",
    "/predict/",
    "/../predict",
    "/%2e%2e",
    "//predict",
    "text/plain",
    "application/json; charset=latin-1",
)


class FuzzedService:
    """Answers requests with a model, as a server does.

    Args:
        ner: the model.
    """

    def __init__(self, ner: Recogniser) -> None:
        self._ner = ner
        self._runner = asyncio.Runner()
        self._app = self._runner.run(self._open())

    def answer(self, folder: Path, _: str, choose: Random) -> Iterator[str]:
        """Send a request; yields nothing, since answers are checked here."""
        head, body = folder / "head", folder / "body"
        scope = _scope(head.read_bytes() if head.is_file() else b"", choose)
        content = body.read_bytes() if body.is_file() else b""
        status, answer = self._runner.run(asyncio.wait_for(self._ask(scope, content, choose), 9.5))
        assert status is not None or not answer, "an answer without a status"
        if status is not None and status >= 500 and status not in (503, 504):
            raise AssertionError(f"status {status}: {answer[:300]!r}")
        if status is not None and status >= 400 and status != _CLIENT_GONE and scope["method"] != "HEAD":
            _check_refusal(status, answer)
        yield from ()

    async def _open(self) -> Any:
        service = Service(lambda: self._ner, "fuzz", _LIMITS)
        await service.open()
        return build_api(service)

    async def _ask(self, scope: dict[str, Any], body: bytes, choose: Random) -> tuple[int | None, bytes]:
        """Status and body of the answer to a request in one or several parts, which may break off."""
        n_parts = choose.choice((1, 1, 1, 3, 20))
        size = max(1, len(body) // n_parts)
        parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages[-1]["more_body"] = False
        if choose.random() < 0.05:
            messages = [*messages[: choose.randrange(len(messages) + 1)], {"type": "http.disconnect"}]
        sent: list[dict[str, Any]] = []
        is_answered = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            await is_answered.wait()  # the client has its answer and leaves
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                is_answered.set()

        await self._app(scope, receive, send)
        status = next((message["status"] for message in sent if message["type"] == "http.response.start"), None)
        return status, b"".join(message.get("body", b"") for message in sent)


def _scope(head: bytes, choose: Random) -> dict[str, Any]:
    """The ASGI scope of a request's head, which may be damaged."""
    try:
        told = json.loads(head)
    except (ValueError, RecursionError):
        told = {}
    told = told if isinstance(told, dict) else {}
    headers = told.get("headers")
    pairs = list(headers.items()) if isinstance(headers, dict) else []
    path = "/" + str(told.get("path", "/predict")).lstrip("/")[:500]
    if choose.random() < 0.03:
        path = choose.choice(_BAD_HEADS)
    raw = path.encode("utf-8", "replace")
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
        "method": str(told.get("method", "POST"))[:20].upper(), "path": raw.decode(), "raw_path": raw,
        "query_string": str(told.get("query", ""))[:200].encode("ascii", "replace"),
        "headers": [(_header(name).lower(), _header(value)) for name, value in pairs],
        "client": ("127.0.0.1", 1), "server": ("localhost", 80),
    }  # fmt: skip


def _header(value: object) -> bytes:
    return str(value)[:500].encode("latin-1", "replace")


def _check_refusal(status: int, answer: bytes) -> None:
    """A refusal is JSON with one text, and not long."""
    detail = json.loads(answer).get("detail")
    assert isinstance(detail, str) and detail and len(answer) < 2000, f"status {status}: {answer[:300]!r}"
