"""The HTTP service: ``POST /predict``, ``GET /health``, ``GET /metrics`` and their description, ``/openapi.json``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from genner.evaluation.thresholds import LeastScores
from genner.prediction.results import TextInput, TextResult
from genner.serving.access import Access, Doors
from genner.serving.guard import BodyGuard, RequestMeter
from genner.serving.limits import RefusedError
from genner.serving.metrics import METRICS_TYPE
from genner.serving.reading import StrictRoute
from genner.serving.schemas import ErrorAnswer, HealthAnswer, PredictAnswer, PredictRequest
from genner.serving.service import Service

__all__ = ["build_api", "unless_gone"]

_MOST_ERRORS = 5
_LONGEST_NAME = 40  # characters of a key that is shown
_CLIENT_GONE = 499  # in the metrics only
_SOURCES = {"/predict": "api", "/page/read": "page"}
_REFUSALS = {
    400: "The body is not UTF-8, or the host is not served.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, texts, characters or words.",
    415: "The body is compressed.",
    422: "Not JSON, or not such a request.",
    431: "Too many headers.",
    503: "Too many texts are waiting, the model is loading, or the server is shutting down; see Retry-After.",
    504: "Not processed in time.",
}


def build_api(service: Service, access: Access | None = None) -> FastAPI:
    """The application that answers with ``service``; a page may be added to it.

    Args:
        service: reads the texts.
        access: who may ask; by default everyone under every name, but no page of another server.
    """
    limits, access = service.limits, access or Access()
    app = FastAPI(
        title="GenNER",
        description="Entities of texts: flat, nested and discontinuous. "
        f"A request has at most {limits.max_texts:,} texts of at most {limits.max_chars:,} characters each, in at most "
        f"{limits.max_body:,} bytes and {limits.max_words:,} words.",
        version="1",
        docs_url=None,  # these pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service, app.state.access = service, access
    app.router.route_class = StrictRoute
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(RefusedError, _on_refused)
    app.add_exception_handler(HTTPException, _on_misdirected)
    app.add_exception_handler(HTTPStatus.INTERNAL_SERVER_ERROR, _on_broken)
    app.add_middleware(BodyGuard, limit=limits.max_body, text_paths=_SOURCES)
    app.add_middleware(RequestMeter, sources=_SOURCES, metrics=service.metrics)
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=access.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(Doors, access=access)
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": what} for status, what in _REFUSALS.items()
    }
    app.post("/predict", response_model=PredictAnswer, responses=refusals, summary="Find entities")(predict)
    loading = {503: {"model": HealthAnswer, "description": "Loading or draining."}}
    app.get("/health", response_model=HealthAnswer, responses=loading, summary="State of the server")(health)
    app.get("/metrics", response_class=_MetricsResponse, summary="Counts, in the text format of Prometheus")(metrics)
    return app


class _MetricsResponse(Response):
    media_type = METRICS_TYPE


async def predict(request: Request, body: Annotated[PredictRequest, Body()]) -> Response:
    """The entities of one text, of several texts, or of sentences given as words.

    A text that cannot be processed has an `error` in its result; the others are not affected.
    """
    results = await unless_gone(request, body.inputs())
    if results is None:
        return Response(status_code=_CLIENT_GONE)
    least = request.app.state.service.reader.least if body.min_score is None else LeastScores(body.min_score)
    return await asyncio.to_thread(_answer, results, least)  # it may be very long


async def health(request: Request) -> Response:
    """200 if requests are accepted, else 503: the model is loading, or the server is finishing its requests to stop."""
    service: Service = request.app.state.service
    reader = service.reader
    labels, kind = (list(reader.labels), reader.kind) if reader else ([], "")
    answer = {"status": service.state, "model": service.name, "kind": kind, "labels": labels}
    return JSONResponse(answer, 200 if service.state == "ready" else 503)


async def metrics(request: Request) -> Response:
    """Requests by status, texts, entities, times, batch sizes and the length of the queue."""
    return _MetricsResponse(request.app.state.service.metrics.text())


async def unless_gone(request: Request, inputs: Sequence[TextInput]) -> list[TextResult] | None:
    """The results; None if the client disconnects first, in which case its texts are not read."""
    reading = asyncio.ensure_future(request.app.state.service.predict(inputs))
    going = asyncio.ensure_future(request.receive())  # after the body, only a disconnect can come
    await asyncio.wait([reading, going], return_when=asyncio.FIRST_COMPLETED)
    going.cancel()
    if reading.done():
        return reading.result()
    reading.cancel()
    return None


def _answer(results: Sequence[TextResult], least: LeastScores) -> Response:
    return JSONResponse({"results": [result.at_least(least).record() for result in results]})


async def _on_refused(request: Request, error: RefusedError) -> Response:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse({"detail": str(error)}, error.status, headers)


async def _on_misdirected(request: Request, error: HTTPException) -> Response:
    """A path or method that is not known."""
    allowed = (error.headers or {}).get("Allow", "")
    detail = error.detail
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        names = sorted({*allowed.split(", "), *(["HEAD"] if "GET" in allowed else [])})
        allowed = ", ".join(names)
        detail = f"Expected {' or '.join(names)}."
    elif error.status_code == HTTPStatus.NOT_FOUND:
        detail = "No such path. Expected /predict, /health, /metrics or /openapi.json."
    return JSONResponse({"detail": detail}, error.status_code, {"Allow": allowed} if allowed else {})


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    """What is wrong and where, without the input, which may be large or not text at all."""
    found = list(map(_described, error.errors()))
    more = [f"{len(found) - _MOST_ERRORS} more"] if len(found) > _MOST_ERRORS else []
    return JSONResponse({"detail": "; ".join(found[:_MOST_ERRORS] + more)}, 422)


async def _on_broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": "Internal error; see the server log."}, 500)


def _described(error: dict[str, Any]) -> str:
    """One validation error; its location is given without the name of the model chosen for the body."""
    if error["type"] == "json_invalid":
        place = error["loc"][-1]
        where = f" at character {place}" if place >= 0 else ""
        return f"body: not JSON: {error['ctx']['error']}{where}."
    where = [
        str(part)[:_LONGEST_NAME] for number, part in enumerate(error["loc"]) if number != 1 or len(error["loc"]) <= 2
    ]
    return f"{'.'.join(where)}: {error['msg']}."
