"""The program: a real process with a real model, asked by many, stopped by signals."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from genner.commands import serve
from genner.prediction.recogniser import Recogniser
from genner.serving.api import build_api
from genner.serving.server import bind
from genner.serving.server import serve as serve_all
from genner.serving.service import Service
from tests.serving.conftest import ROOT, GatedReader, Process

SENTENCE = "Nobody at Tarkdale could explain the pain in my left wrist and ankle number {}."


def test_many_clients_at_once_get_their_own_answers(server: Process, recogniser: Recogniser) -> None:
    sentences = [
        SENTENCE.format(number) + " We met Mara Holm in Upper Gonshire." * (number % 3) for number in range(50)
    ]

    async def ask(client: httpx.AsyncClient, sentence: str) -> dict:
        answer = await client.post("/predict", json={"text": sentence})
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["results"]
        return result

    async def ask_all() -> list[dict]:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            return list(await asyncio.gather(*(ask(client, sentence) for sentence in sentences)))

    before = metrics(server)
    answers = asyncio.run(ask_all())
    after = metrics(server)
    for sentence, answer in zip(sentences, answers, strict=True):
        expected = recogniser(sentence).record()
        assert answer["text"] == sentence
        assert [without_score(found) for found in answer["entities"]] == list(map(without_score, expected["entities"]))
        scores = [found["score"] for found in expected["entities"]]
        assert [found["score"] for found in answer["entities"]] == pytest.approx(scores, abs=1e-3)
    assert any(answer["entities"] for answer in answers)
    assert after["genner_texts_total"] - before["genner_texts_total"] == 50
    assert after["genner_batch_texts_count"] - before["genner_batch_texts_count"] < 25


def without_score(entity: dict) -> dict:
    return {key: value for key, value in entity.items() if key != "score"}


def metrics(server: Process) -> dict[str, float]:
    """The numbers without their labels, summed up."""
    found: dict[str, float] = {}
    for line in httpx.get(f"{server.url}/metrics").text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            name = name.split("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found


def test_the_model_tells_what_it_is(server: Process, recogniser: Recogniser) -> None:
    health = httpx.get(f"{server.url}/health").json()
    assert health == {
        "status": "ready", "model": "demo/small", "kind": "discontinuous", "labels": list(recogniser.labels)
    }  # fmt: skip


def test_odd_texts_and_words_are_answered(server: Process) -> None:
    odd = [
        "",
        " \n\t ",
        "\u200b",
        "\u0000",
        "e\u0301" * 300,
        "👩‍👩‍👧 " * 50,
        "مرحبا بالعالم",
        "x" * 1999,
        "\u2028",
        "<b>",
    ]
    answer = httpx.post(f"{server.url}/predict", json={"texts": odd}, timeout=60)
    assert [result["text"] for result in answer.json()["results"]] == odd
    assert not any("error" in result for result in answer.json()["results"])
    words = [[" "], ["\u200b", "pain"], ["a b", "c"], ["👩‍👩‍👧"]]
    answer = httpx.post(f"{server.url}/predict", json={"words": words}, timeout=60)
    assert [result["text"] for result in answer.json()["results"]] == [" ".join(sentence) for sentence in words]


def test_a_large_body_is_refused_in_a_way_that_clients_see(server: Process) -> None:
    """Also those that send all of it before they look for an answer, as httpx does."""
    for content in (b"a" * 3_000_000, (b"a" * 10_000 for _ in range(300))):
        answer = httpx.post(f"{server.url}/predict", content=content, timeout=60)
        assert answer.status_code == 413
        assert "Expected at most 2,097,152 bytes" in answer.json()["detail"]
        assert answer.headers["connection"] == "close"


def test_a_stopped_server_answers_what_it_has(trained_model: Path) -> None:
    process = Process(str(trained_model), "--device", "cpu", "--max_texts", "128")
    try:
        process.wait_until_served()
        lengthy = " ".join(SENTENCE.format(number) for number in range(60))
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(ask(process.url, [lengthy] * 24)))
        asking.start()
        wait_for_batch(process.url)
        # A connection that is open must not keep the server from ending.
        with socket.create_connection(address(process.url)) as page:
            page.sendall(b"GET / HTTP/1.1\r\n")
            process.send(signal.SIGTERM)
            late = None
            while asking.is_alive() and late is None:
                health = httpx.get(f"{process.url}/health").json()
                if health["status"] == "draining":
                    late = ask(process.url, ["late"])
            asking.join()
            assert late is not None, "the server ended before it could be asked"
            assert (late.status_code, late.headers["retry-after"]) == (503, "1")
            code, out, err = process.end()
        said = err.removeprefix("genner serve: starting ...\n")  # which a fast machine does not say
        assert (code, said) == (0, "loading torch and transformers ...\n")
        assert out == "stopped\n"
        assert answers[0].status_code == 200
        assert [result["text"] for result in answers[0].json()["results"]] == [lengthy] * 24
    finally:
        process.kill()


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def ask(url: str, texts: list[str]) -> httpx.Response:
    return httpx.post(f"{url}/predict", json={"texts": texts}, timeout=120)


def wait_for_batch(url: str) -> None:
    """Until the server reads something: there is a request that has been taken from the queue or waits in it."""
    for _ in range(1000):
        if "genner_queue_texts 0.0" not in httpx.get(f"{url}/metrics").text:
            return
    raise AssertionError("nothing ever waited")


def test_an_interrupted_server_ends_with_130(trained_model: Path) -> None:
    process = Process(str(trained_model), "--device", "cpu", "--no_page")
    try:
        process.wait_until_served()
        assert httpx.get(f"{process.url}/").status_code == 404
        process.send(signal.SIGINT)
        code, _, err = process.end()
        assert (code, err.splitlines()[-1]) == (130, "interrupted")
    finally:
        process.kill()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_texts_are_neither_stored_nor_logged(trained_model: Path, tmp_path: Path, end: signal.Signals) -> None:
    """Not in temporary files, nor in those that are open, nor in what is printed; also after a kill."""
    secret = "Ottilie Quarnbeck"
    process = Process(str(trained_model), "--device", "cpu", environment={"TMPDIR": str(tmp_path)})
    try:
        process.wait_until_served()
        for path, body in (
            ("/predict", {"text": f"{secret} fell."}),
            ("/predict", {"text": f"{secret} fell.", "unknown": secret}),
            ("/page/read", {"text": f"{secret} fell."}),
            ("/page/draw", {"text": secret, "entities": [{"type": "PER", "score": 1, "segments": [[0, 7]]}]}),
            ("/page/draw", {"text": secret, "entities": [{"type": "PER", "score": 1, "segments": [[0, 700]]}]}),
        ):
            assert httpx.post(f"{process.url}{path}", json=body, timeout=60).status_code in (200, 422)
        file = {"files": ("secret.txt", secret.encode(), "text/plain")}
        for path in ("/upload", "/gradio_api/upload", "/page/read", "/predict"):  # there is nothing to upload files to
            assert httpx.post(f"{process.url}{path}", files=file, timeout=60).status_code in (404, 422)
        with socket.create_connection(address(process.url)) as broken:
            broken.sendall(f"GET /{secret} HTTP\r\n\r\n".encode())
            assert broken.recv(100).startswith(b"HTTP/1.1 400")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        process.send(end)
        _, out, err = process.end()
    finally:
        process.kill()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert secret not in out + err


def raw(url: str, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that comes back over a connection for some bytes."""
    with socket.create_connection(address(url), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        found = b""
        while data := connection.recv(65536):
            found += data
    return found


def test_awkward_http(server: Process) -> None:
    body = b'{"text": "fig"}'
    head = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n"
    close = b"Connection: close\r\n\r\n"
    post = b"POST /predict HTTP/1.1\r\n" + head
    statuses = {
        "HTTP/1.0 without a host": (b"POST /predict HTTP/1.0\r\n" + head[17:] + b"\r\n" + body, b"200"),
        "chunks": (
            b"POST /predict/ HTTP/1.1\r\nHost: [::1]:1\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n" + close + b"5\r\n{\"tex\r\na\r\nt\": \"fig\"}\r\n0\r\n\r\n", b"200",
        ),
        "another host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + close, b"400"),
        "no host": (b"GET / HTTP/1.1\r\n" + close, b"400"),
        "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n" + close, b"400"),
        "a long header": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n" + close, b"431"),
        "many headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 200 + close, b"431"),
        "two lengths": (post + b"Content-Length: 3\r\n" + close + body, b"400"),
        "length and chunks": (post + b"Transfer-Encoding: chunked\r\n" + close + b"0\r\n\r\n", b"4"),
        "an upgrade": (
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n",
            b"200",
        ),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
    }  # fmt: skip
    for what, (request, status) in statuses.items():
        assert raw(server.url, request).split(b" ")[1].startswith(status), what
    pipelined = raw(server.url, (post + b"\r\n" + body) * 2 + post + close + body)
    assert pipelined.count(b"HTTP/1.1 200 OK") == pipelined.count(b'"id":"0"') == 3
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_connections_that_send_no_whole_request_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With less patience than usual."""
    monkeypatch.setattr("genner.serving.server._HEAD_SECONDS", 0.5)

    async def run() -> None:
        service = Service(GatedReader, "a model")
        listening = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        ready = asyncio.Event()
        serving = asyncio.ensure_future(serve_all(service, build_api(service), listening, on_ready=ready.set))
        await ready.wait()
        line, host = b"GET /health HTTP/1.1\r\n", b"Host: localhost\r\n"
        for sent in ((), (line,), (line, host, b"X: 1\r\n"), (line + host + b"\r\n", line)):
            found = await asyncio.to_thread(raw, url, *sent, pause=0.1)
            assert found.count(b"200 OK") == len([part for part in sent if part.endswith(b"\r\n\r\n")])
        async with httpx.AsyncClient(base_url=url) as client:  # between requests there is time
            assert (await client.get("/health")).status_code == 200
            await asyncio.sleep(1)
            assert (await client.get("/health")).status_code == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    asyncio.run(run())


def test_a_port_in_use_is_one_message(trained_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve.main([str(trained_model), "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: 127.0.0.1:{port}: cannot listen there: Address already in use. Expected a free port")
    assert err.count("\n") == 1


def test_what_cannot_be_served_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("\n\n", encoding="utf-8")
    for arguments, message in (
        ([str(tmp_path / "none"), "--no_page"], "none: no such model folder"),
        ([str(tmp_path), "--no_page"], "not a model folder"),
        ([str(tmp_path), "--no_page", "--lang", "nowhere"], "not a model folder"),
        ([str(tmp_path), "--host", "host.invalid"], "--host host.invalid: "),
        ([str(tmp_path), "--max_chars", "0"], "max_chars is 0. Expected more than 0."),
        ([str(tmp_path), "--max_words", "0"], "max_words is 0. Expected more than 0."),
        ([str(tmp_path), "--root_path", "a?b"], "--root_path /a?b: Expected letters"),
        ([str(tmp_path), "--cors", "x"], "--cors x: Expected scheme"),
        ([str(tmp_path), "--allowed_hosts", "x:1"], "--allowed_hosts x:1: Expected a name"),
        ([str(tmp_path), "--examples", str(lines)], "lines.txt: 0 examples. Expected 1 to 20"),
        ([str(tmp_path), "--examples", str(tmp_path / "no.txt")], "no.txt: cannot be read"),
    ):
        assert serve.main([*arguments, "--port", "0"]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m", "--port", "70000"], "argument --port: 70000: expected a number from 0 to 65535"),
        (["m", "--min_score", "2"], "argument --min_score: 2: expected a number from 0 to 1"),
        (["m", "--no_page", "--examples", "x"], "argument --examples: there is no page with --no_page"),
        ([], "the following arguments are required: MODEL"),
    ],
)
def test_command_lines_that_are_wrong(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        serve.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def shown_requests() -> list[str]:
    """The lines of docs/serving.md that call curl."""
    lines = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("curl ")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_requests_that_the_docs_show_are_answered(server: Process) -> None:
    assert len(shown_requests()) == 6
    for line in shown_requests():
        program, *arguments = shlex.split(line.replace("http://127.0.0.1:7860", server.url))
        ended = subprocess.run([program, "--fail", "--silent", *arguments], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, line
        assert ended.stdout.startswith("# HELP" if "/metrics" in line else "{"), line


def test_the_answer_is_what_is_written_to_files(server: Process, recogniser: Recogniser) -> None:
    """A line of the service's JSON and a line of a file of predictions have one form."""
    text = SENTENCE.format(1)
    (result,) = ask(server.url, [text]).json()["results"]
    assert list(result) == list(recogniser(text).record())
    assert json.dumps(result)
