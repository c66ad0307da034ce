"""Who may ask the server, and under which names and paths it is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from itertools import chain

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from genner.errors import ConfigError

__all__ = ["Access", "Doors"]

_MOST_HEADERS, _MOST_HEADER_BYTES = 100, 32_768
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@]+")
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_IPV6 = re.compile(r"[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*")
_PORT = re.compile(r":\d*$")


@dataclass(frozen=True)
class Access:
    """Names and paths of a server.

    Attributes:
        root_path: the path below which a proxy shows the server, such as ``/ner``; empty for none.
        origins: of pages of other servers that may ask from browsers (CORS); ``*`` for any.
        hosts: names in the header ``Host``, lower case, without port; ``*`` for any, ``*.example.org`` for those below.
    """

    root_path: str = ""
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ("*",)

    @classmethod
    def of(
        cls, listening: str, *, root_path: str = "", origins: Iterable[str] = (), hosts: Sequence[str] | None = None
    ) -> Access:
        """From a command line.

        Args:
            listening: the address where the server listens. On a loopback address, requests with the names of other
                hosts are refused unless ``hosts`` says otherwise: a page that a browser got from elsewhere could reach
                the server under a name of its own (DNS rebinding).
            root_path, origins: see :class:`Access`.
            hosts: see :class:`Access`; names of this machine's loopback addresses are always known. None: as
                ``listening`` says.

        Raises:
            ConfigError: a value that is no path, origin or name.
        """
        root_path = "/" + root_path.strip("/") if root_path.strip("/") else ""
        origins = tuple(origin.rstrip("/").lower() for origin in origins)
        given = None if hosts is None else tuple(_bracketed(host.lower()) for host in hosts)
        wrong = []
        if not _PREFIX.fullmatch(root_path):
            wrong.append(f"--root_path {root_path}: Expected letters, digits and -._~ after '/'. Set a path like /ner.")
        wrong += [
            f"--cors {origin}: Expected scheme, name and port. Set one like https://example.org, or '*' for any."
            for origin in origins
            if not _ORIGIN.fullmatch(origin)
        ]
        wrong += [
            f"--allowed_hosts {host}: Expected a name without port. Set one like ner.example.org, or '*' for any."
            for host in given or ()
            if not _HOST.fullmatch(host)
        ]
        if wrong:
            raise ConfigError("\n".join(wrong))
        if given is None:
            given = () if ip_address(listening).is_loopback else ("*",)
        return cls(root_path, origins, (*_LOOPBACK, _bracketed(listening), *given))

    def knows(self, host: str) -> bool:
        """Whether a request with this header ``Host`` is answered."""
        name = _PORT.sub("", host.lower()).removesuffix(".")
        return any(
            pattern == "*" or name == pattern or (pattern.startswith("*.") and fnmatchcase(name, f"?{pattern}"))
            for pattern in self.hosts
        )


class Doors:
    """Lets requests in: refuses unknown hosts, removes the root path, and makes equal what clients take for equal.

    ``HEAD`` is ``GET`` without the body, which the server leaves out; ``/predict/`` is ``/predict``.

    Args:
        app: the application behind.
        access: who may ask.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        hosts = Headers(scope=scope).getlist("host")
        n_headers = len(scope["headers"])
        n_bytes = sum(map(len, chain.from_iterable(scope["headers"])))
        if n_headers > _MOST_HEADERS or n_bytes > _MOST_HEADER_BYTES:
            detail = (
                f"{n_headers} headers of {n_bytes:,} bytes. Expected at most {_MOST_HEADERS} headers of "
                f"{_MOST_HEADER_BYTES:,} bytes. Send fewer or shorter ones."
            )
            await _refusal(431, detail)(scope, receive, send)
        elif len(hosts) > 1 or not all(map(self.access.knows, hosts)):  # browsers always send one
            detail = (
                f"Host {', '.join(hosts)[:100]!r} is not served here. Expected the name of this server. If it has this "
                "name, start it with --allowed_hosts and the name."
            )
            await _refusal(400, detail)(scope, receive, send)
        else:
            await self.app(self._let_in(scope), receive, send)

    def _let_in(self, scope: Scope) -> Scope:
        root, path = self.access.root_path, scope["path"]
        if root and (path == root or path.startswith(f"{root}/")):  # else, the proxy has removed it
            path = path[len(root) :]
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return {**scope, "method": method, "path": path.rstrip("/") or "/", "root_path": root}


def _bracketed(host: str) -> str:
    """An IPv6 address as it stands in a URL."""
    return f"[{host}]" if _IPV6.fullmatch(host) else host


def _refusal(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, {"Connection": "close"})
