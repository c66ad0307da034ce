"""The web page: a document, a style sheet and a script, and what the script asks for.

The page keeps its texts and answers itself; the server keeps nothing of them. The script asks for the entities of a
text and, whenever a visitor filters them, for their picture.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from genner.errors import DataFormatError
from genner.prediction.pictures import render
from genner.prediction.pictures.style import COLOURS
from genner.prediction.results import TextInput
from genner.serving.api import unless_gone
from genner.serving.examples import examples_for
from genner.serving.limits import RefusedError
from genner.serving.schemas import Drawing, PageText
from genner.serving.service import Service

__all__ = ["add_page"]

_FOLDER = Path(__file__).parent
_MOST_DRAWN = 5_000  # entities; a browser lays out more only after many seconds
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'self'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add_page(
    app: FastAPI, service: Service, examples: Sequence[str] | None = None, *, min_score: float | None = None
) -> None:
    """Put the page at ``/``.

    Args:
        app: made by :func:`genner.serving.api.build_api`.
        service: reads the texts.
        examples: texts to try; None for those that fit the model, if any.
        min_score: initial value of the slider; None: what was best on dev, which may differ by type.
    """
    page = _Page(service, examples, min_score, app.state.access.root_path)
    for path, call in {"/": page.document, "/page/about": page.about}.items():
        app.get(path, include_in_schema=False)(call)
    for path, call in {"/page/page.css": page.styles, "/page/page.js": page.script}.items():
        app.get(path, include_in_schema=False)(call)
    for path, call in {"/page/read": page.read, "/page/draw": page.draw}.items():
        app.post(path, include_in_schema=False)(call)


class _Page:
    """The handlers of the page."""

    def __init__(
        self, service: Service, examples: Sequence[str] | None, min_score: float | None, root_path: str
    ) -> None:
        self.service, self.examples, self.min_score = service, examples, min_score
        limit = service.limits.max_chars
        self._document = Template(_part("page.html")).substitute(
            name=escape(service.name), base=escape(f"{root_path or '.'}/"), limit=limit, limit_shown=f"{limit:,}",
            min_score=f"{min_score or 0:g}",
        )  # fmt: skip

    async def document(self) -> Response:
        """The page without a text."""
        return HTMLResponse(self._document, headers=_HEADERS)

    async def styles(self) -> Response:
        """Its style sheet, with the colours of the bars."""
        return Response(f"{_part('page.css')}\n{_swatches()}\n", media_type="text/css", headers=_HEADERS)

    async def script(self) -> Response:
        """Its script."""
        return Response(_part("page.js"), media_type="text/javascript", headers=_HEADERS)

    async def about(self) -> Response:
        """What the page shows of the model, once it is loaded."""
        reader = self.service.reader
        if reader is None:
            return JSONResponse({"state": self.service.state}, headers=_HEADERS)
        labels = list(reader.labels)
        about = {
            "state": self.service.state,
            "about": _about(reader.kind, len(labels)),
            "labels": labels,
            "least": asdict(reader.least) if self.min_score is None else None,
            "examples": examples_for(labels) if self.examples is None else list(self.examples),
        }
        return JSONResponse(about, headers=_HEADERS)

    async def read(self, request: Request, body: PageText) -> Response:
        """The entities of a text, its number of words, and the seconds it took."""
        started = time.perf_counter()
        results = await unless_gone(request, [TextInput(body.text, "text")])
        if results is None:
            return Response(status_code=499)
        seconds = round(time.perf_counter() - started, 2)
        content = await self.service.aside(_answer, results[0].record(), len(results[0].words), seconds)
        return Response(content, media_type="application/json")

    async def draw(self, body: Drawing) -> Response:
        """The picture of entities."""
        if len(body.entities) > _MOST_DRAWN:
            raise RefusedError(
                413,
                f"{len(body.entities):,} entities are too many for a picture: at most {_MOST_DRAWN:,} are drawn. Raise "
                "the minimum score, choose fewer types, or download JSONL.",
            )
        labels = self.service.reader.labels if self.service.reader is not None else ()
        try:
            picture = await self.service.aside(lambda: render(body.result(), labels=labels, page=body.whole))
        except DataFormatError as error:
            return JSONResponse({"detail": str(error)}, 422)
        return HTMLResponse(picture, headers=_HEADERS)


def _part(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _answer(record: dict[str, Any], n_words: int, seconds: float) -> bytes:
    answer = {"record": record, "n_words": n_words, "seconds": seconds}
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


def _about(kind: str, n_types: int) -> str:
    """What a model finds, in words."""
    kinds = "nested and discontinuous" if kind == "discontinuous" else kind
    return f"finds {kinds} entities of {n_types} {'type' if n_types == 1 else 'types'}"


def _swatches() -> str:
    """Rules that underline every type with the colour of its bars."""
    every = len(COLOURS)
    rules = (
        f"#types label:nth-of-type({every}n+{number}) span {{ border-bottom: 4px solid {colour}; }}"
        for number, colour in enumerate(COLOURS, start=1)
    )
    return "\n".join(rules)
