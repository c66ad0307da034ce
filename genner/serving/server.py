"""The server process: its socket, event loop and signals, and a shutdown that answers all pending requests."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from genner.errors import ConfigError
from genner.serving.service import Service

__all__ = ["bind", "serve"]

_KEEP_ALIVE = 75  # seconds; longer than clients and proxies keep connections in their pools
_HEAD_SECONDS = 15.0  # for the head of a request to arrive
_HEAD_BYTES = 32_768
_CONNECTIONS = 800  # at once; fewer than the files that a process may usually open
_LAST_SECONDS = 3  # for connections still open after all requests are answered
_BACKLOG = 512


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Args:
        host: name or address.
        port: 0 for any free port.

    Raises:
        ConfigError: it cannot be opened.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(
            f"--host {host}: {error.strerror}. Expected a name or address of this machine. Set --host 127.0.0.1."
        ) from None
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise ConfigError(
            f"{host}:{port}: cannot listen there: {error.strerror}. Expected a free port of an address of this "
            "machine. Set another --port (0 for any free port), or stop the program that uses it."
        ) from None
    return found


async def serve(service: Service, app: FastAPI, listening: socket.socket, *, on_ready: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; then accept no more and finish the pending ones.

    A second signal ends the process at once.

    Args:
        service: the model.
        app: the application that serves it.
        listening: the socket; closed at the end.
        on_ready: called when the model is loaded.

    Raises:
        NerError: the model cannot be loaded.
        KeyboardInterrupt: after SIGINT, once all requests are answered.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    server = _Server(config)
    with _signals() as stopped:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        opening = asyncio.create_task(service.open())
        asking = asyncio.create_task(stopped.wait())
        await asyncio.wait([serving, opening, asking], return_when=asyncio.FIRST_COMPLETED)
        if opening.done() and opening.exception() is None:
            on_ready()
            await asyncio.wait([serving, asking], return_when=asyncio.FIRST_COMPLETED)
        await service.close()
        server.should_exit = True
        await serving
        asking.cancel()
        await opening  # its error, if it has one
    if stopped.by_keyboard:
        raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """Leaves signals to :func:`serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """Closes a connection on which the head of a request does not arrive in time, from its first byte to its last."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(_HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._be_patient()
        elif self._patience is None:
            self._patience = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class _Stopped(asyncio.Event):
    """Set by the first signal, after which the default handlers are restored."""

    by_keyboard = False

    def on_signal(self, number: int) -> None:
        self.by_keyboard = number == signal.SIGINT
        self.set()
        for handled in _HANDLED:
            asyncio.get_running_loop().remove_signal_handler(handled)
            signal.signal(handled, signal.SIG_DFL)


_HANDLED = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def _signals() -> Iterator[_Stopped]:
    stopped, loop = _Stopped(), asyncio.get_running_loop()
    for number in _HANDLED:
        loop.add_signal_handler(number, stopped.on_signal, number)
    try:
        yield stopped
    finally:
        for number in _HANDLED:
            loop.remove_signal_handler(number)
