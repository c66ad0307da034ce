"""The page in a real browser: what visitors see and do, with the mouse and without."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from genner.data.demo import demo_corpus
from genner.evaluation.thresholds import LeastScores
from genner.prediction.entities import TextEntity
from genner.prediction.recogniser import Recogniser
from genner.prediction.results import TextResult
from genner.prediction.scores import ModelCalibration
from tests.serving.conftest import Process

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
LOCAL = re.compile(r"(https?://127\.0\.0\.1[:/]|data:|blob:|about:)")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")

#: Contrast of every visible text with what is behind it, by WCAG; those below 4.5 to 1.
FAINT = """() => {
  const part = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 };
  const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const colour = (s) => { const m = s.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    if (!own || !box.width || style.visibility !== "visible" || element.closest("button:disabled")) continue;
    const behind = [];
    for (let e = element; e; e = e.parentElement) behind.unshift(colour(getComputedStyle(e).backgroundColor));
    const ground = behind.reduce((below, above) => over(above, below), [255, 255, 255, 1]);
    const [a, b] = [light(over(colour(style.color), ground)), light(ground)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.tagName} ${element.textContent.slice(0, 40)}`);
  }
  return found;
}"""


#: What is drawn without the labels.
DRAWN_TEXT = """() => {
  const drawn = document.querySelector("#picture .genner-text").cloneNode(true);
  drawn.querySelectorAll(".genner-tag").forEach((tag) => tag.remove());
  return drawn.textContent;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any, server: Process) -> Iterator[Callable[..., Any]]:
    """Open the page; in the end nothing may have gone wrong in it, nor anything been asked of other machines."""
    troubles: list[str] = []
    contexts = []

    def opened(**options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        return _watched(context.new_page(), server.url, troubles)

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def _watched(page: Any, url: str, troubles: list[str]) -> Any:
    page.set_default_timeout(30_000)
    page.on("console", lambda told: troubles.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(f"dialog {dialog.message}"))
    page.on("request", lambda request: None if LOCAL.match(request.url) else troubles.append(request.url))
    page.goto(url)
    page.wait_for_selector("#types label")
    return page


@pytest.fixture(scope="module")
def known(recogniser: Recogniser) -> TextResult:
    """A sentence in which the model finds a nested and a discontinuous entity, some surer than others."""
    for sentence in demo_corpus(sizes={"train": 10})["dev"]:
        found = recogniser(" ".join(sentence.example.words))
        surfaces = [set(entity.words.word_indices()) for entity in found]
        is_nested = any(inner < outer for inner in surfaces for outer in surfaces)
        spread = {round(entity.score, 2) for entity in found}
        types = {entity.type for entity in found}
        if found.n_left_out:  # the slider would show more
            continue
        if is_nested and any(e.is_discontinuous for e in found) and len(spread) > 1 and 1 < len(types) < len(found):
            return found
    raise AssertionError("the small model finds too little")


def ask(page: Any, text: str, keys: str = "Control+Enter") -> None:
    """Type a text and wait for its answer."""
    page.locator("#text textarea").fill(text)
    page.keyboard.press(keys)
    page.wait_for_selector("#status .page-message")


def choose_file(page: Any, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#upload").click()
    chooser.value.set_files(path)


def n_entities(page: Any) -> int:
    return page.locator("#picture .genner-tag").count()


def wait_for(page: Any, condition: Callable[[], bool]) -> None:
    for _ in range(900):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true; the page says {page.locator('#status').inner_text()!r}")


def test_entities_are_drawn_listed_and_told(open_page: Callable[..., Any], known: TextResult) -> None:
    page = open_page()
    ask(page, known.text)
    wait_for(page, lambda: n_entities(page) == len(known))
    told = [tag.get_attribute("aria-label") for tag in page.locator("#picture .genner-tag").all()]
    for entity in known:
        assert sum(entity.type in label and entity.segments[0].text in label for label in told) >= 1
    assert page.locator("#picture .genner-gap").count() >= sum(entity.is_discontinuous for entity in known)
    assert page.locator("#picture .genner-legend").is_visible()
    rows = page.locator("#table tbody tr").all_inner_texts()
    assert len(rows) == len(known)
    assert [row.split("\t")[0] for row in rows] == [entity.type for entity in known]
    assert f"{len(known)} entities" in page.locator("#status").inner_text()
    page.get_by_role("tab", name="JSON").click()
    record = json.loads(page.locator("#json pre").inner_text())
    assert [found["segments"] for found in record["entities"]] == [
        found["segments"] for found in known.record()["entities"]
    ]


def test_the_slider_and_the_types_narrow_down_without_reading_again(
    open_page: Callable[..., Any], known: TextResult, server: Process
) -> None:
    page = open_page()
    ask(page, known.text)
    wait_for(page, lambda: n_entities(page) == len(known))
    n_read = texts_read(server)
    scores = sorted(entity.score for entity in known)
    least = (scores[0] + scores[-1]) / 2
    box = page.locator("#least input[type=number]")
    box.fill(f"{least:.2f}")
    box.press("Enter")
    kept = [entity for entity in known if entity.score >= round(least, 2)]
    assert 0 < len(kept) < len(known)
    wait_for(page, lambda: n_entities(page) == len(kept))
    assert f"{len(known) - len(kept)} hidden by score or type" in page.locator("#status").inner_text()
    slider = page.locator("#least input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    wait_for(page, lambda: n_entities(page) == len(known))
    unwanted = known.entities[0].type
    page.locator("#types").get_by_label(unwanted, exact=True).uncheck()
    wait_for(page, lambda: n_entities(page) == sum(entity.type != unwanted for entity in known))
    assert texts_read(server) == n_read


def _telling_least_scores(known: TextResult) -> tuple[LeastScores, list[TextEntity]]:
    """A common one and one for a type, with which some entities stay, others than with the common one alone."""
    scores = sorted(entity.score for entity in known)
    common = round((scores[0] + scores[-1]) / 2, 2)
    n_above = sum(score >= common for score in scores)
    for label, own in product(sorted({entity.type for entity in known}), (0.0, 1.0)):
        least = LeastScores(common, {label: own})
        kept = [entity for entity in known if least.keeps(entity.type, entity.score)]
        if 0 < len(kept) < len(known) and len(kept) != n_above:
            return least, kept
    raise AssertionError(f"no such scores: {scores}")


def test_the_least_scores_of_the_model_hold_until_the_slider_is_moved(
    browser: Any, trained_model: Path, known: TextResult, tmp_path: Path
) -> None:
    least, kept = _telling_least_scores(known)
    (first,) = least.by_type
    shutil.copytree(trained_model, tmp_path / "model")
    stored = ModelCalibration.read(tmp_path / "model")
    stored.with_scores(replace(stored.scores[0], least=least)).write(tmp_path / "model")
    process, troubles = Process(str(tmp_path / "model"), "--device", "cpu"), []
    try:
        page = _watched((context := browser.new_context()).new_page(), process.wait_until_served().url, troubles)
        told, button = page.locator("#least-own span"), page.locator("#least-own button")
        number, slider = page.locator("#least-number"), page.locator("#least-range")

        def is_own(n_shown: int) -> bool:
            is_told = told.is_visible() and not button.is_visible()
            return is_told and n_entities(page) == n_shown and float(number.input_value()) == least.common

        ask(page, known.text)
        wait_for(page, lambda: is_own(len(kept)))
        assert told.inner_text() == f"The model's own: {first} {least.by_type[first]:.2f}"
        assert 0 < len(kept) < len(known)
        hidden = f"{len(known) - len(kept)} hidden by score or type"
        assert hidden in page.locator("#status").inner_text()
        slider.focus()
        page.keyboard.press("Home")
        wait_for(page, lambda: n_entities(page) == len(known))
        assert (number.input_value(), told.is_visible(), button.is_visible()) == ("0", False, True)
        number.fill(f"{least.common:.2f}")
        above = [entity for entity in known if entity.score >= least.common]
        assert len(above) != len(kept), "a number holds for every type"
        wait_for(page, lambda: n_entities(page) == len(above))
        assert button.inner_text() == "Back to the model's own"
        button.click()
        wait_for(page, lambda: is_own(len(kept)))
        assert float(slider.input_value()) == least.common
        page.reload()
        page.wait_for_selector("#types label")
        ask(page, known.text)
        wait_for(page, lambda: is_own(len(kept)))
        context.close()
    finally:
        process.kill()
    assert troubles == []


def test_a_slider_that_was_set_at_the_start_has_no_least_scores(
    browser: Any, trained_model: Path, known: TextResult
) -> None:
    scores = sorted({round(entity.score, 2) for entity in known})
    process, troubles = Process(str(trained_model), "--device", "cpu", "--min_score", f"{scores[-1]:.2f}"), []
    try:
        page = _watched((context := browser.new_context()).new_page(), process.wait_until_served().url, troubles)
        ask(page, known.text)
        above = [entity for entity in known if entity.score >= scores[-1]]
        wait_for(page, lambda: n_entities(page) == len(above))
        assert page.locator("#least-number").input_value() == f"{scores[-1]:g}"
        assert not page.locator("#least-own").is_visible()
        context.close()
    finally:
        process.kill()
    assert troubles == []


def texts_read(server: Process) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    return float(re.search(r'^genner_texts_total\{outcome="read"\} (.*)$', text, re.MULTILINE)[1])


def test_markup_in_a_text_is_text(open_page: Callable[..., Any]) -> None:
    page = open_page()
    text = "The nurse saw <script>alert(1)</script> & <img src=x onerror=alert(2)> in his left knee."
    ask(page, text)
    wait_for(page, lambda: "words read" in page.locator("#status").inner_text())
    assert page.locator("#answer script, #answer img").count() == 0
    assert "".join(page.evaluate(DRAWN_TEXT).split()) == "".join(text.split())


def test_a_file_goes_in_and_files_come_out(
    open_page: Callable[..., Any], known: TextResult, tmp_path: Path
) -> None:
    page = open_page()
    assert page.locator("#jsonl").is_disabled()
    path = tmp_path / "text.txt"
    path.write_text(known.text, encoding="utf-8")
    choose_file(page, path)
    wait_for(page, lambda: n_entities(page) == len(known))
    assert page.locator("#text textarea").input_value() == known.text
    with page.expect_download() as download:
        page.locator("#jsonl").click()
    assert download.value.suggested_filename == "entities.jsonl"
    record = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert (record["text"], len(record["entities"])) == (known.text, len(known))
    with page.expect_download() as download:
        page.locator("#html").click()
    assert download.value.suggested_filename == "entities.html"
    saved = tmp_path / "entities.html"
    download.value.save_as(saved)
    content = saved.read_text(encoding="utf-8")
    assert content.startswith("<!DOCTYPE html>")
    assert content.count('class="genner-tag') >= len(known)
    for content, told in (
        ("Zoë ran".encode("latin-1"), "not UTF-8"),
        ("ab".encode("utf-16-le"), "contains NUL characters"),
        (b"a" * 9000, "too large: more than 2,000 characters"),
    ):
        path.write_bytes(content)
        choose_file(page, path)
        wait_for(page, lambda told=told: told in page.locator("#status").inner_text())
        assert n_entities(page) == 0
        assert page.locator("#jsonl").is_disabled()
        assert page.locator("#text textarea").input_value() == known.text
    path.write_bytes("\ufeffZoë\r\nran".encode())
    choose_file(page, path)
    wait_for(page, lambda: "2 words read" in page.locator("#status").inner_text())
    assert page.locator("#text textarea").input_value() == "Zoë\nran"


def test_everything_is_reached_with_the_keyboard(open_page: Callable[..., Any], known: TextResult) -> None:
    page = open_page()
    wanted = ["find", "upload", "clear", "examples", "least", "types", "table", "jsonl", "html"]
    focused = f"() => document.activeElement.closest('#{',#'.join(wanted)}')?.id"
    assert page.evaluate("() => document.activeElement.tagName") == "TEXTAREA"
    for keys in ("Control+Enter", "Shift+Enter"):
        page.keyboard.type(known.text)
        page.keyboard.press(keys)
        wait_for(page, lambda: n_entities(page) == len(known))
        assert page.locator("#text textarea").input_value() == known.text
        page.locator("#clear").focus()
        page.keyboard.press("Enter")
        wait_for(page, lambda: n_entities(page) == 0 and not page.locator("#text textarea").input_value())
        page.locator("#text textarea").focus()
    page.keyboard.type(known.text)
    assert page.locator("#status").inner_text() == ""
    order = []
    for _ in range(30):
        page.keyboard.press("Tab")
        if (name := page.evaluate(focused)) not in order:
            order.append(name)
        if name == "find":
            page.keyboard.press("Enter")
            wait_for(page, lambda: n_entities(page) == len(known))
    assert [name for name in order if name] == wanted


def test_examples_are_read_when_they_are_taken(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.locator("#examples button").first.click()
    wait_for(page, lambda: "words read" in page.locator("#status").inner_text())
    assert page.locator("#text textarea").input_value().startswith("A scan at the University of Wimmouth")


def hold(page: Any, path: str) -> list[Any]:
    """Requests to a path wait until they are let go."""
    held: list[Any] = []
    page.route(f"**/{path}", lambda route: held.append(route))  # playwright takes no builtin method
    return held


def test_a_newer_question_ends_an_older_one(open_page: Callable[..., Any], known: TextResult) -> None:
    page = open_page()
    held = hold(page, "page/read")
    page.locator("#text textarea").fill("Nothing at all.")
    page.keyboard.press("Control+Enter")
    wait_for(page, lambda: len(held) == 1)
    page.locator("#text textarea").fill(known.text)
    page.keyboard.press("Control+Enter")
    wait_for(page, lambda: len(held) == 2)
    held[1].continue_()
    wait_for(page, lambda: n_entities(page) == len(known))
    record = {"id": "text", "text": "Nothing at all.", "entities": []}
    with suppress(playwright.Error):  # the page has given it up
        held[0].fulfill(json={"record": record, "n_words": 4, "seconds": 0})
    page.wait_for_timeout(300)
    assert n_entities(page) == len(known)
    assert page.evaluate(DRAWN_TEXT) == known.text


def test_an_answer_is_never_shown_beside_another_text(open_page: Callable[..., Any], known: TextResult) -> None:
    page = open_page()
    box = page.locator("#text textarea")
    ask(page, known.text)
    wait_for(page, lambda: n_entities(page) == len(known))
    box.press("End")
    page.keyboard.type(" x")
    assert n_entities(page) == 0
    assert "The text has changed" in page.locator("#status").inner_text()
    assert page.locator("#jsonl").is_disabled()
    assert page.locator("#table tr").count() == page.locator("#json pre").count() == 0
    page.locator("#least input[type=range]").press("ArrowRight")  # filters do not bring it back
    page.wait_for_timeout(300)
    assert n_entities(page) == 0
    box.fill(known.text)  # the same text again
    wait_for(page, lambda: n_entities(page) > 0)
    # Edited while it is read, and while it is drawn.
    for path in ("page/read", "page/draw"):
        page.locator("#clear").click()
        held = hold(page, path)
        box.fill(known.text)
        page.keyboard.press("Control+Enter")
        wait_for(page, lambda held=held: len(held) == 1)
        box.press("End")
        page.keyboard.type(" y")
        with suppress(playwright.Error):
            held[0].continue_()
        page.unroute_all()
        wait_for(page, lambda: "The text has changed" in page.locator("#status").inner_text())
        page.wait_for_timeout(300)
        assert n_entities(page) == 0, path
    # Cleared while it is read.
    held = hold(page, "page/read")
    page.keyboard.press("Control+Enter")
    wait_for(page, lambda: len(held) == 1)
    page.locator("#clear").click()
    page.unroute_all()
    page.wait_for_timeout(300)
    assert (n_entities(page), page.locator("#status").inner_text(), box.input_value()) == (0, "", "")


def test_examples_and_files_replace_what_is_being_read(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page()
    held = hold(page, "page/read")
    page.locator("#examples button").nth(0).click()
    wait_for(page, lambda: len(held) == 1)
    page.locator("#examples button").nth(1).click()
    wait_for(page, lambda: len(held) == 2)
    path = tmp_path / "text.txt"
    path.write_text("A third text.", encoding="utf-8")
    choose_file(page, path)
    wait_for(page, lambda: len(held) == 3)
    held[2].continue_()
    page.unroute_all()
    wait_for(page, lambda: "4 words read" in page.locator("#status").inner_text())
    assert page.evaluate(DRAWN_TEXT) == page.locator("#text textarea").input_value() == "A third text."


def test_two_tabs_and_going_back(open_page: Callable[..., Any], known: TextResult) -> None:
    page = open_page()
    other = _watched(page.context.new_page(), page.url, [])
    ask(page, known.text)
    ask(other, "Nothing at all.")
    wait_for(page, lambda: n_entities(page) == len(known))
    wait_for(other, lambda: "4 words read" in other.locator("#status").inner_text())
    assert page.evaluate(DRAWN_TEXT) == known.text
    page.goto("data:text/html,elsewhere")
    page.go_back()
    page.wait_for_selector("#types label")
    text = page.locator("#text textarea").input_value()
    assert n_entities(page) == 0 or page.evaluate(DRAWN_TEXT) == text == known.text
    page.reload()
    page.wait_for_selector("#types label")
    assert n_entities(page) == 0
    assert page.locator("#counter").inner_text().startswith(f"{len(page.locator('#text textarea').input_value())} of ")


def test_below_a_path_of_a_proxy(browser: Any, trained_model: Path, known: TextResult) -> None:
    """A proxy that removes the path, as most do, and passes on its own name."""
    process = Process(
        str(trained_model), "--device", "cpu", "--root_path", "/some/ner", "--allowed_hosts", "proxy.example"
    )
    troubles: list[str] = []
    try:
        process.wait_until_served()
        with proxy(process.url, "/some/ner", "proxy.example") as url:
            context = browser.new_context()
            page = _watched(context.new_page(), f"{url}/some/ner", troubles)
            ask(page, known.text)
            wait_for(page, lambda: n_entities(page) == len(known))
            context.close()
            answer = httpx.post(f"{url}/some/ner/predict", json={"text": known.text}, timeout=60)
            assert answer.json()["results"][0]["text"] == known.text
            assert httpx.get(f"{url}/some/ner/openapi.json").json()["servers"] == [{"url": "/some/ner"}]
            assert httpx.get(f"{url}/elsewhere").status_code == 502
    finally:
        process.kill()
    assert troubles == []


@contextmanager
def proxy(target: str, prefix: str, name: str) -> Iterator[str]:
    """A reverse proxy that shows a server below a path."""

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            if not self.path.startswith(prefix):
                self.send_error(502)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = {"Content-Type": self.headers["Content-Type"]} if "Content-Type" in self.headers else {}
            path = self.path.removeprefix(prefix) or "/"
            answer = httpx.request(
                self.command, target + path, content=body, headers={"Host": name, **kind}, timeout=60
            )
            self.send_response(answer.status_code)
            for key in ("content-type", "content-security-policy"):
                if key in answer.headers:
                    self.send_header(key, answer.headers[key])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_HEAD = handle_request  # noqa: N815

        def log_message(self, *about: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_cannot_be_read_is_told(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.locator("#find").click()
    wait_for(page, lambda: "No text yet." in page.locator("#status").inner_text())
    page.locator("#text textarea").fill("word " * 500)
    wait_for(page, lambda: page.locator("#counter").inner_text() == "2,500 of 2,000 characters: too long")
    page.keyboard.press("Control+Enter")
    wait_for(page, lambda: "More than 2,000 characters. Split the text." in page.locator("#status").inner_text())
    page.locator("#text textarea").fill("word " * 500_000)  # more than the server takes in
    assert page.locator("#status").inner_text() == ""
    page.locator("#find").click()
    assert "More than 2,000 characters. Split the text." in page.locator("#status").inner_text()
    assert page.locator("#status").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 800, 360])
def test_all_is_readable_in_wide_and_narrow_light_and_dark_windows(
    open_page: Callable[..., Any], known: TextResult, width: int, scheme: str
) -> None:
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    ask(page, known.text)
    wait_for(page, lambda: n_entities(page) == len(known))
    page.wait_for_timeout(500)  # colours change slowly
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAINT) == []
    legend = page.locator("#picture .genner-legend").bounding_box()
    sheet = page.locator("#picture").bounding_box()
    assert legend["y"] + legend["height"] <= sheet["y"] + sheet["height"]
    assert legend["x"] + legend["width"] <= sheet["x"] + sheet["width"]
