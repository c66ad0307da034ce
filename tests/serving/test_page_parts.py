"""The parts of the page: what users or models wrote stays text; and what the page does when it has no answer."""

from __future__ import annotations

import asyncio
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genner.data.schema import Entity
from genner.errors import ConfigError, DataFormatError
from genner.prediction.results import TextResult, place_entity, words_joined
from genner.serving.limits import Limits
from genner.serving.page import _Page
from genner.serving.page_parts import (
    decode_upload,
    examples_for,
    file_of,
    filtered,
    json_view,
    message,
    read_examples,
    summary,
    table,
)
from genner.serving.service import Service
from tests.serving.conftest import GatedReader

NASTY = "<script>alert(1)</script>"


def result(*entities: tuple[str, list[int], float], text: str = f"stiff {NASTY} and elbows") -> TextResult:
    words = words_joined(text.split()).words or ()
    found = [place_entity(Entity.from_flat(label, spans), text, words, score) for label, spans, score in entities]
    return TextResult(text, "text", words, (), tuple(found))


class Reader(HTMLParser):
    """Elements and text of some HTML."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("label", ["PAIN", NASTY])
def test_everything_is_escaped(label: str) -> None:
    found = result((label, [0, 1, 3, 4], 0.9), (label, [1, 2], 0.2))
    for content in (table(found), json_view(found), summary(found, found, 0.1), message(NASTY, "error")):
        assert "script" not in Reader(content).elements
    assert NASTY in Reader(table(found)).text
    assert json.loads(Reader(json_view(found)).text) == found.record()
    assert "script" not in Reader(file_of("html", found, [label])["content"]).elements


def test_what_is_filtered_down_is_told() -> None:
    found = result(("A", [0, 1], 0.9), ("B", [1, 2], 0.2), ("A", [2, 3], 0.5))
    assert [entity.score for entity in filtered(found, 0.5, ["A", "B"])] == [0.9, 0.5]
    assert [entity.score for entity in filtered(found, 0.0, ["B"])] == [0.2]
    assert len(filtered(found, 0.0, [])) == 0
    assert "3 entities: 2 A, 1 B. 4 words read in 0.12 s." in summary(found, found, 0.123)
    assert "1 entity: 1 B; 2 hidden by score or type. " in summary(found, filtered(found, 0.0, ["B"]), 0.1)
    assert "No entities; 3 hidden by score or type. " in summary(found, filtered(found, 0.0, []), 0.1)
    failed = TextResult("a", "text", error="text: cannot be read")
    assert summary(failed, failed, 0.1) == message("text: cannot be read", "error")


def test_long_results_are_cut_where_they_are_shown_and_whole_in_files() -> None:
    text = "fig " * 600
    found = result(*[("FRUIT", [idx, idx + 1], 0.5) for idx in range(600)], text=text.strip())
    assert table(found).count("<tr>") == 501
    assert "and 100 more: download the result" in table(found)
    assert len(json_view(found)) < 200_000
    file = file_of("jsonl", found, ["FRUIT"])
    assert file["name"] == "entities.jsonl"
    assert json.loads(file["content"]) == found.record()


def test_files_that_are_no_text() -> None:
    assert decode_upload("\ufeffZoë\r\n".encode()) == "Zoë\r\n"
    with pytest.raises(DataFormatError, match=r"not UTF-8: invalid continuation byte at byte 2\. Expected a text file"):
        decode_upload("Zoë ran".encode("latin-1"))
    with pytest.raises(DataFormatError, match="contains NUL characters"):
        decode_upload("ab".encode("utf-16-le"))


def test_examples_fit_the_model(tmp_path: Path) -> None:
    assert len(examples_for(["BODY", "LOC", "ORG", "PER", "SYMPTOM"])) > 2
    assert examples_for(["PER", "LOC"]) == []
    path = tmp_path / "examples.txt"
    path.write_text("one\n\n  two  \n", encoding="utf-8")
    assert read_examples(path, 10) == ["one", "two"]
    with pytest.raises(ConfigError, match=r"examples\.txt:3: 3 characters\. Expected at most 2\. "):
        path.write_text("a\nb\nccc\n", encoding="utf-8")
        read_examples(path, 2)
    with pytest.raises(ConfigError, match=r"21 examples\. Expected 1 to 20"):
        path.write_text("a\n" * 21, encoding="utf-8")
        read_examples(path, 2)


def test_what_the_page_says_when_there_is_nothing_to_read_or_nobody_to_read_it() -> None:
    async def run() -> None:
        service = Service(GatedReader, "a model", Limits(max_chars=5))
        page = _Page(service, None)
        assert "loading" in page._heading()
        loading = await page.find("fig", 0.0, [])
        assert "The model is loading. Try again in 5 seconds." in loading[1]
        await service.open()
        assert "flat entities, types: 1" in page._heading()
        assert "No text yet." in (await page.find(" \n", 0.0, []))[1]
        assert "More than 5 characters. Split the text." in (await page.find("figs figs", 0.0, []))[1]
        assert "not UTF-8" in (await page.upload(b"\xff", 0.0, []))[2]
        assert "1 entity: 1 FRUIT." in (await page.upload(b"fig", 0.0, ["FRUIT"]))[2]
        text = service.metrics.text()
        for status, n in ((503, 1), (200, 1), (413, 1)):
            assert f'genner_requests_total{{source="page",status="{status}"}} {n}.0'.encode() in text

    asyncio.run(run())
