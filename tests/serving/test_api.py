"""The HTTP service: answers, refusals, their description; readers here are no models."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from genner.errors import ConfigError
from genner.evaluation.thresholds import LeastScores
from genner.serving.access import Access
from genner.serving.api import build_api
from genner.serving.limits import Limits
from genner.serving.page import add_page
from genner.serving.schemas import ErrorAnswer, HealthAnswer, PredictAnswer, PredictRequest
from genner.serving.service import Service
from tests.serving.conftest import GatedReader

LIMITS = Limits(max_chars=40, max_texts=3, max_words=30, max_body=4000, max_waiting=3, timeout=20)
JSON = {"Content-Type": "application/json"}


def talk(
    work: Callable[[httpx.AsyncClient, Service], Coroutine[Any, Any, Any]],
    reader: Any = None,
    access: Access | None = None,
    *,
    with_page: bool = False,
    min_score: float | None = None,
) -> Any:
    """Run some requests against a service."""

    async def run() -> Any:
        service = Service(lambda: reader or GatedReader(), "demo/small", LIMITS)
        await service.open()
        app = build_api(service, access)
        if with_page:
            add_page(app, service, min_score=min_score)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await work(client, service)

    return asyncio.run(run())


def post(path: str = "/predict", *, access: Access | None = None, with_page: bool = False, **request: Any) -> Any:
    """The answer to one request."""

    async def work(client: httpx.AsyncClient, service: Service) -> httpx.Response:
        return await client.post(path, **request)

    return talk(work, None, access, with_page=with_page)


def test_one_text_several_texts_and_given_words() -> None:
    found = [{"text": "fig", "start": 2, "end": 5, "words": [1, 2]}]
    entity = {"type": "FRUIT", "text": "fig", "score": 0.5, "segments": found}
    one = {"id": "0", "text": "a fig", "entities": [entity]}
    none = {"id": "1", "text": "", "entities": []}
    assert post(json={"text": "a fig"}).json() == {"results": [one]}
    assert post(json={"texts": ["a fig", ""]}).json() == {"results": [one, none]}
    assert post(json={"words": [["a", "fig"], []]}).json() == {"results": [one, none]}
    assert post(json={"texts": []}).json() == {"results": []}


def test_the_minimal_score_leaves_entities_out() -> None:
    for least, n_found in ((0, 1), (0.5, 1), (0.51, 0), (1, 0)):
        (result,) = post(json={"text": "fig", "min_score": least}).json()["results"]
        assert len(result["entities"]) == n_found


def test_without_a_minimal_score_the_least_scores_of_the_model_hold() -> None:
    for least, request, n_found in (
        (LeastScores(0.51), {}, 0),
        (LeastScores(0.5), {}, 1),
        (LeastScores(0.51, {"FRUIT": 0.2}), {}, 1),
        (LeastScores(0.2, {"FRUIT": 0.51}), {}, 0),
        (LeastScores(0.2, {"FRUIT": 0.51}), {"min_score": None}, 0),
        (LeastScores(0.2, {"FRUIT": 0.51}), {"min_score": 0}, 1),
        (LeastScores(0.2, {"FRUIT": 0.51}), {"min_score": 0.4}, 1),
        (LeastScores(), {"min_score": 0.6}, 0),
    ):
        reader = GatedReader()
        reader.least = least
        for form in ({"text": "fig"}, {"texts": ["fig"]}, {"words": [["fig"]]}):

            async def work(client: httpx.AsyncClient, service: Service, body: Any = form | request) -> Any:
                return (await client.post("/predict", json=body)).json()["results"]

            (result,) = talk(work, reader)
            assert len(result["entities"]) == n_found, (least, request, form)


@pytest.mark.parametrize("min_score", [None, 0.0, 0.3])
def test_the_page_is_told_the_least_scores_unless_another_one_was_set(min_score: float | None) -> None:
    reader = GatedReader()
    reader.least = LeastScores(0.25, {"FRUIT": 0.5}, 70.0, 71.0)

    async def work(client: httpx.AsyncClient, service: Service) -> tuple[dict[str, Any], str]:
        return (await client.get("/page/about")).json(), (await client.get("/")).text

    about, page = talk(work, reader, with_page=True, min_score=min_score)
    if min_score is None:
        assert {key: about["least"][key] for key in ("common", "by_type")} == {
            "common": 0.25,
            "by_type": {"FRUIT": 0.5},
        }
    else:
        assert about["least"] is None
    assert page.count(f'step="0.01" value="{min_score or 0:g}"') == 2


def test_a_text_that_cannot_be_read_has_an_error_and_the_others_are_answered() -> None:
    results = post(json={"texts": ["unreadable", "fig"]}).json()["results"]
    assert results[0] == {"id": "0", "text": "unreadable", "entities": [], "error": "text 0: cannot be read"}
    assert len(results[1]["entities"]) == 1


@pytest.mark.parametrize(
    ("request_", "status", "detail"),
    [
        ({"json": {"text": "a" * 41}}, 413, "41 characters. Expected at most 40. Split the text."),
        ({"json": {"texts": ["a", "b" * 41]}}, 413, "text 1: 41 characters. Expected at most 40. Split the text."),
        ({"json": {"words": [["a"] * 30]}}, 413, "59 characters. Expected at most 40. Split the text."),
        ({"json": {"texts": ["a"] * 4}}, 413, "4 texts. Expected at most 3 in a request. Split the request."),
        ({"json": {"text": "a" * 5000}}, 413, "The request is too large. Expected at most 4,000 bytes."),
        ({"json": {}}, 422, "body: Expected a JSON object with exactly one of text, texts and words, and the header "
         "Content-Type: application/json."),
        ({"json": {"text": "a", "texts": []}}, 422, "body: Expected a JSON object with exactly one of"),
        ({"json": ["a"]}, 422, "body: Expected a JSON object with exactly one of"),
        ({"content": b'{"text": "a"}'}, 422, "body: Expected a JSON object with exactly one of"),
        ({"json": {"text": 3}}, 422, "body.text: Input should be a valid string."),
        ({"json": {"text": None}}, 422, "body.text: Input should be a valid string."),
        ({"json": {"texts": ["a", ["b"]]}}, 422, "body.texts.1: Input should be a valid string."),
        ({"json": {"words": [["a", ""]]}}, 422, "body.words.0.1: String should have at least 1 character."),
        ({"json": {"text": "a", "min_scor": 1}}, 422, "body.min_scor: Extra inputs are not permitted."),
        ({"json": {"text": "a", "min_score": 1.1}}, 422, "body.min_score: Input should be less than or equal to 1."),
        ({"json": {"texts": [1, 2, 3, 4, 5, 6, 7]}}, 422, "body.texts.0: Input should be a valid string.; "),
        ({"content": b'{"text": "a", "min_score": NaN}', "headers": JSON}, 422, "body.min_score: Input should be a"),
        ({"content": b'{"text": "a", "min_score": 1e999}', "headers": JSON}, 422, "body.min_score: Input should be"),
        ({"content": b'{"text": "ab\\ud800"}', "headers": JSON}, 422, "body.text: Lone surrogate at char"),
        ({"content": b'{"text": "a"', "headers": JSON}, 422, "body: not JSON: Expecting ',' delimiter "
         "at character 12."),
        ({"content": b"", "headers": JSON}, 422, "body: Field required."),
        ({"content": b'{"text": "Zo\xeb"}', "headers": JSON}, 400, "The body is not UTF-8: invalid continuation byte "
         "at byte 12. Expected JSON in UTF-8."),
        ({"content": '{"text": "a"}'.encode("utf-16"), "headers": JSON}, 400, "The body is not UTF-8: "),
        ({"content": b"[" * 3900, "headers": JSON}, 422, "body: not JSON: nested too deeply."),
        ({"content": b'{"text": "a", "text": "b"}', "headers": JSON}, 422, "body: not JSON: the key 'text' twice in "
         "one object."),
        ({"content": b'{"text": ' + b"9" * 3900 + b"}", "headers": JSON}, 422, "body.text: Input should be a "),
        ({"json": {"texts": ["a " * 12, "b " * 12, "c " * 12]}}, 413, "36 words. Expected at most 30 in a request. "
         "Split the request."),
        ({"json": {"words": [["a"] * 16, ["b"] * 15, ["c"]]}}, 413, "31 words in the first 2 of 3 texts. Expected at "
         "most 30 in a request."),
        ({"content": gzip.compress(b'{"text": "a"}'), "headers": {**JSON, "Content-Encoding": "gzip"}}, 415,
         "Content-Encoding 'gzip'. Expected a body that is not compressed. Send it as it is."),
        ({"json": {"text": "a"}, "headers": {f"x-{number}": "1" for number in range(101)}}, 431, "10"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_in_one_message(request_: dict[str, Any], status: int, detail: str) -> None:
    answer = post(**request_)
    assert answer.status_code == status
    assert ErrorAnswer(**answer.json()).detail.startswith(detail)
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.content) < 600


def test_a_body_of_unknown_length_is_not_taken_in_beyond_the_limit() -> None:
    n_sent = 0

    async def endless() -> Any:
        nonlocal n_sent
        while n_sent < 10_000_000:
            n_sent += 1000
            yield b"a" * 1000

    answer = post(content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert n_sent < 100_000


@pytest.mark.parametrize("with_page", [False, True])
def test_methods_and_paths_mean_the_same_with_and_without_the_page(with_page: bool) -> None:
    async def work(client: httpx.AsyncClient, service: Service) -> None:
        for path in ("/health", "/metrics", "/openapi.json", *["/", "/page/page.js"] * with_page):
            got, head = await client.get(path), await client.head(f"{path}/")
            assert (got.status_code, head.status_code) == (200, 200), path
            assert head.headers["content-type"] == got.headers["content-type"]
            assert got.content
            assert not head.content
        for path in ("/predict", "/predict/"):
            assert (await client.post(path, json={"text": "fig"})).status_code == 200
            for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "NONSENSE"):
                answer = await client.request(method, path)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
        assert (await client.get("/predict")).json() == {"detail": "Expected POST."}
        wrong = await client.post("/health")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
        missing = await client.get("/gradio_api/upload")
        assert missing.status_code == 404
        assert missing.json()["detail"].startswith("No such path. Expected /predict, /health, /metrics")

    talk(work, with_page=with_page)


def test_a_path_below_which_a_proxy_shows_the_server() -> None:
    async def work(client: httpx.AsyncClient, service: Service) -> None:
        for root in ("", "/ner", "/ner/"):  # proxies remove it, or do not
            path = root.rstrip("/")
            assert (await client.post(f"{path}/predict", json={"text": "fig"})).status_code == 200
            assert (await client.get(f"{path}/page/page.css")).status_code == 200
            page = await client.get(root or "/")
            assert '<base href="/ner/">' in page.text
        assert (await client.get("/nerve/health")).status_code == 404
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/ner"}]

    talk(work, access=Access(root_path="/ner"), with_page=True)


def test_pages_of_other_servers_may_ask_only_if_they_are_named() -> None:
    other = {"Origin": "https://other.example"}
    asking = {**other, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    async def work(client: httpx.AsyncClient, service: Service) -> tuple[list[str | None], int]:
        first = await client.options("/predict", headers=asking)
        then = await client.post("/predict", json={"text": "fig"}, headers=other)
        found = [answer.headers.get("access-control-allow-origin") for answer in (first, then)]
        return found, first.status_code

    assert talk(work) == ([None, None], 405)
    named = "https://other.example"
    assert talk(work, access=Access(origins=(named,))) == ([named, named], 200)
    assert talk(work, access=Access(origins=("*",))) == (["*", "*"], 200)
    assert talk(work, access=Access(origins=("https://third.example",))) == ([None, None], 400)


def test_names_of_the_server() -> None:
    local = Access.of("127.0.0.1")
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:7860", "[::1]:7860", "localhost."):
        assert local.knows(host), host
    for host in ("evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", "", "*"):
        assert not local.knows(host), host
    assert Access.of("0.0.0.0").knows("any.example")
    named = Access.of("0.0.0.0", hosts=["NER.example.org", "*.example.com", "fd00::1"])
    for host in ("ner.example.org:443", "a.example.com", "a.b.example.com", "[fd00::1]:80", "localhost"):
        assert named.knows(host), host
    for host in ("example.com", ".example.com", "notexample.com", "other.example.org"):
        assert not named.knows(host), host
    answer = post(json={"text": "fig"}, access=local, headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        "Host 'evil.example' is not served here. Expected the name of this server. If it has this name, start it with "
        "--allowed_hosts and the name."
    )
    with pytest.raises(ConfigError) as wrong:
        Access.of("::1", root_path="/a b", origins=["other.example"], hosts=["https://x.example", "x:80"])
    lines = str(wrong.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "--root_path /a b", "--cors other.example", "--allowed_hosts https://x.example", "--allowed_hosts x:80"
    ]  # fmt: skip


def test_the_page_gets_pictures_of_what_it_sends() -> None:
    entity = {"type": "FRUIT", "score": 0.5, "segments": [[2, 5]]}
    drawn = post("/page/draw", json={"text": "a fig", "entities": [entity]}, with_page=True)
    assert drawn.status_code == 200
    assert drawn.text.count('class="genner-tag') == 1
    whole = post("/page/draw", json={"text": "a <fig>", "entities": [], "whole": True}, with_page=True)
    assert whole.text.startswith("<!DOCTYPE html>")
    assert "a &lt;fig&gt;" in whole.text
    for segments in ([[2, 9]], [[3, 2]], [[-1, 2]], [[2, 5], [0, 1]], [], [[1]], [["a", "b"]]):
        drawing = {"text": "a fig", "entities": [{**entity, "segments": segments}]}
        wrong = post("/page/draw", json=drawing, with_page=True)
        assert wrong.status_code == 422, segments
        assert ErrorAnswer(**wrong.json()).detail
    plain = post("/page/draw", content=b'{"text": "a", "entities": []}', with_page=True)
    assert plain.status_code == 422


def test_the_page_reads_a_text_and_says_how_long_it_took() -> None:
    answer = post("/page/read", json={"text": "a fig"}, with_page=True).json()
    assert (answer["n_words"], answer["record"]["entities"][0]["text"]) == (2, "fig")
    assert answer["seconds"] >= 0
    assert post("/page/read", json={"text": "a" * 41}, with_page=True).status_code == 413
    assert post("/page/read", json={"texts": []}, with_page=True).status_code == 422


def test_busy_and_stopping_servers_say_when_to_come_back() -> None:
    reader = GatedReader(is_open=False)

    async def work(client: httpx.AsyncClient, service: Service) -> None:
        first = asyncio.ensure_future(client.post("/predict", json={"text": "plum"}))
        while not reader.batches:
            await asyncio.sleep(0.001)
        waiting = asyncio.ensure_future(client.post("/predict", json={"texts": ["a", "b"]}))
        while b"genner_queue_texts 2.0" not in service.metrics.text():
            await asyncio.sleep(0.001)
        busy = await client.post("/predict", json={"texts": ["c", "d"]})
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert "busy: 2 texts are waiting" in busy.json()["detail"]
        closing = asyncio.ensure_future(service.close())
        await asyncio.sleep(0)
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "draining")
        stopping = await client.post("/predict", json={"text": "late"})
        assert (stopping.status_code, stopping.headers["retry-after"]) == (503, "1")
        reader.gate.set()
        assert [(await answer).status_code for answer in (first, waiting)] == [200, 200]
        await closing

    talk(work, reader)


def test_health_tells_the_model() -> None:
    async def run() -> None:
        service = Service(GatedReader, "demo/small", LIMITS)
        transport = httpx.ASGITransport(build_api(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            loading = await client.get("/health")
            assert loading.status_code == 503
            assert HealthAnswer(**loading.json()).status == "loading"
            refused = await client.post("/predict", json={"text": "fig"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            await service.open()
            ready = await client.get("/health")
            assert ready.status_code == 200
            assert ready.json() == {"status": "ready", "model": "demo/small", "kind": "flat", "labels": ["FRUIT"]}

    asyncio.run(run())


def test_a_client_that_goes_away_is_noticed_and_nobody_reads_its_text() -> None:
    reader = GatedReader(is_open=False)
    body = json.dumps({"text": "gone"}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
    scope = {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "root_path": "",
        "query_string": b"", "headers": [(b"content-type", b"application/json")], "http_version": "1.1",
        "scheme": "http", "client": ("127.0.0.1", 1), "server": ("test", 80),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        pass

    async def work(client: httpx.AsyncClient, service: Service) -> None:
        first = asyncio.ensure_future(client.post("/predict", json={"text": "plum"}))
        while not reader.batches:
            await asyncio.sleep(0.001)
        await build_api(service)(scope, receive, send)
        reader.gate.set()
        await first
        await client.post("/predict", json={"text": "next"})
        assert reader.batches == [["plum"], ["next"]]
        assert b'genner_requests_total{source="api",status="499"} 1.0' in service.metrics.text()

    talk(work, reader)


def test_metrics_count_requests_by_how_they_ended() -> None:
    async def work(client: httpx.AsyncClient, service: Service) -> httpx.Response:
        for text in ("fig fig", "plum", "a" * 41, "a" * 5000):
            await client.post("/predict", json={"text": text})
        await client.post("/predict", content=b"\xff")
        await client.post("/predict", json={"texts": ["fig", "unreadable"]})
        return await client.get("/metrics")

    answer = talk(work)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    for status, n in (("200", 3), ("413", 2), ("400", 1)):
        assert float(values[f'genner_requests_total{{source="api",status="{status}"}}']) == n
    assert float(values['genner_request_seconds_count{source="api"}']) == 6
    assert float(values['genner_texts_total{outcome="read"}']) == 3
    assert float(values['genner_texts_total{outcome="failed"}']) == 1
    assert float(values['genner_entities_total{type="FRUIT"}']) == 3
    assert float(values["genner_batch_texts_count"]) == 3
    assert float(values["genner_queue_texts"]) == 0


def test_the_description_says_what_happens() -> None:
    async def work(client: httpx.AsyncClient, service: Service) -> dict[str, Any]:
        assert (await client.get("/docs")).status_code == 404  # it would fetch scripts from elsewhere
        return (await client.get("/openapi.json")).json()

    description = talk(work)
    assert set(description["paths"]) == {"/predict", "/health", "/metrics"}
    posting = description["paths"]["/predict"]["post"]
    assert set(posting["responses"]) == {"200", "400", "408", "413", "415", "422", "431", "503", "504"}
    schemas = description["components"]["schemas"]
    bodies = posting["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    fields = [set(schemas[body["$ref"].rsplit("/", 1)[1]]["properties"]) for body in bodies]
    assert fields == [{"text", "min_score"}, {"texts", "min_score"}, {"words", "min_score"}]
    limits = "at most 3 texts of at most 40 characters each, in at most 4,000 bytes and 30 words"
    assert limits in description["info"]["description"]
    # Every answer is of the described shape, with nothing more.
    for request in ({"text": "a fig"}, {"texts": ["unreadable", "fig"]}, {"words": [["fig"]]}):
        TypeAdapter(PredictRequest).validate_python(request)
        PredictAnswer.model_validate(post(json=request).json())
