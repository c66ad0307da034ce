"""Pictures: the text as it is, every entity once with its label, bars below their words, whatever the text holds."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.errors import ConfigError, DataFormatError
from genner.prediction.pictures import page_end, page_part, page_start, render
from genner.prediction.pictures.layout import lines_of
from genner.prediction.pictures.marks import Mark
from genner.prediction.pictures.style import COLOURS, TEXTURES, looks
from genner.prediction.results import TextEntity, TextResult, TextSegment

LABELS = ("BODY", "LOC", "PER", "SYMPTOM")
PAIN = "Mona woke up with pain in the left knee and shoulder."
NASTY = "<script>alert(1)</script> & \"' \x00\x0b\x1b\x7f\x85\r\n\t \u2028\u202e\u200f\ufffe\ud800 ]]> <!-- "
NASTY += "é e\u0301 日本 שלום 👩‍⚕️"
VOID = {"meta"}


def entity(text: str, label: str, *parts: str, score: float = 0.9) -> TextEntity:
    """The entity of the first places where its parts stand, one behind the other; every sign is a word."""
    starts = [match.start() for match in re.finditer(r"[A-Za-z]+|\S", text)]
    segments, place = [], 0
    for part in parts:
        start = text.index(part, place)
        place = start + len(part)
        segments.append(TextSegment(part, start, place, bisect_left(starts, start), bisect_left(starts, place)))
    return TextEntity(label, tuple(segments), score)


def result(*entities: TextEntity, text: str = PAIN, **about: object) -> TextResult:
    return TextResult(text, entities=entities, **about)


KNEE = entity(PAIN, "SYMPTOM", "pain in the left knee", score=0.98)
SHOULDER = entity(PAIN, "SYMPTOM", "pain in the left", "shoulder", score=0.87)
LEFT_KNEE = entity(PAIN, "BODY", "left knee")
MONA = entity(PAIN, "PER", "Mona")
EXAMPLE = result(MONA, SHOULDER, KNEE, LEFT_KNEE, labels=LABELS)


class Reader(HTMLParser):
    """Reads a picture back: its texts, labels, bars and legend; fails at elements that are not closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.legend: list[str] = []
        self.told: list[str] = []
        self.feed(markup)
        self.close()
        assert not self.open

    def classes(self) -> set[str]:
        return {name for _, attributes in self.open for name in attributes.get("class", "").split()}

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))
            names = dict(attrs).get("class", "").split()
            if "genner-text" in names:
                self.texts.append("")
            if "genner-tag" in names and "genner-legend" not in self.classes():
                self.tags.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        inside = self.classes()
        if "genner-legend" in inside:
            self.legend += [data] if data.strip() else []
        elif "genner-tag" in inside:
            self.tags[-1] += data
        elif "genner-text" in inside:
            self.texts[-1] += data
        elif not any(tag in ("style", "title") for tag, _ in self.open) and data.strip():
            self.told.append(data)


def is_ordinary(char: str) -> bool:
    """Whether a picture shows a character as it is."""
    return char == " " or (char.isprintable() and not 0xD800 <= ord(char) < 0xE000)


def same_text(drawn: str, text: str) -> bool:
    """Whether every ordinary character stands in its place."""
    pairs = list(zip(drawn, text, strict=True))
    return all(one == other or not is_ordinary(other) for one, other in pairs)


@st.composite
def texts_with_entities(draw: st.DrawFn) -> TextResult:
    alphabet = st.sampled_from(NASTY) | st.sampled_from(string.ascii_letters + "  \n")
    text = draw(st.text(alphabet, min_size=1, max_size=60))
    entities = []
    for _ in range(draw(st.integers(0, 6))):
        n_parts = draw(st.integers(1, min(3, (len(text) + 1) // 2)))
        places = sorted(
            draw(st.lists(st.integers(0, len(text)), min_size=2 * n_parts, max_size=2 * n_parts, unique=True))
        )
        parts = [TextSegment(text[a:b], a, b, a, b) for a, b in zip(places[::2], places[1::2], strict=True)]
        label = draw(st.sampled_from([*LABELS, "<b>&\"'\x00"]) | st.text(alphabet, min_size=1, max_size=6))
        entities.append(TextEntity(label, tuple(parts), draw(st.floats(0, 1))))
    return TextResult(text, id=draw(st.text(alphabet, max_size=6)), entities=tuple(entities))


@settings(max_examples=150, deadline=None)
@given(texts_with_entities())
def test_html_keeps_any_text_and_shows_every_entity_once(drawn: TextResult) -> None:
    reader = Reader(render(drawn, labels=LABELS))
    (text,) = reader.texts
    assert same_text(text, drawn.text)
    assert len(reader.tags) == len({entity.words for entity in drawn})
    assert all(re.search(r" [01]\.\d\d$", tag) for tag in reader.tags)
    assert {tag for tag, _ in reader.elements} <= {"div", "style", "span", "h2", "ul", "li"}
    attributes = {name for _, attributes in reader.elements for name in attributes}
    assert attributes <= {"class", "style", "title", "role", "aria-label", "dir", "aria-hidden", "data-label"}
    styles = {attributes["style"] for _, attributes in reader.elements if "style" in attributes}
    assert all(re.fullmatch(r"grid-area:[\d/]+|grid-template-columns:[\w(),]+ minmax\(0,1fr\)", one) for one in styles)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts_with_entities(), min_size=2, max_size=2))
def test_comparisons_mark_every_entity(drawn: list[TextResult]) -> None:
    """The entities of another text of the same length are gold."""
    one, other = drawn
    gold = [e for e in other.entities if e.end <= len(one.text)]
    reader = Reader(render(one, gold=gold))
    assert all(same_text(text, one.text) for text in reader.texts) and len(reader.texts) == 2
    found, true = {entity.words for entity in one}, {entity.words for entity in gold}
    assert len(reader.tags) == len(found) + len(true)
    assert sum(tag.startswith("✓ ") for tag in reader.tags) == 2 * len(found & true)


def test_labels_scores_and_legend() -> None:
    reader = Reader(render(EXAMPLE))
    assert sorted(reader.tags) == ["BODY 0.90", "PER 0.90", "SYMPTOM 0.87", "SYMPTOM 0.98"]
    assert reader.legend == ["BODY", "PER", "SYMPTOM", "gap: words that do not belong to the entity"]
    assert sorted(Reader(render(EXAMPLE, scores=False)).tags) == ["BODY", "PER", "SYMPTOM", "SYMPTOM"]
    spoken = [attributes["aria-label"] for _, attributes in reader.elements if attributes.get("role") == "img"]
    assert "SYMPTOM: pain in the left … shoulder, score 0.87" in spoken


def test_without_entities_there_is_the_text_only() -> None:
    reader = Reader(render(result(text="Nothing here,\n  as it is.")))
    assert reader.texts == ["Nothing here,\n  as it is."]
    assert reader.tags == reader.legend == []


def test_what_one_pays_attention_to_in_a_comparison() -> None:
    """Kinds of mistakes are those of the reports; what is right is not called wrong."""
    gold = (MONA, KNEE, SHOULDER, entity(PAIN, "BODY", "shoulder"))
    predicted = (
        entity(PAIN, "LOC", "Mona"),
        KNEE,
        entity(PAIN, "SYMPTOM", "pain in the left"),
        entity(PAIN, "BODY", "shoulder."),
        entity(PAIN, "LOC", "up"),
    )
    reader = Reader(render(result(*predicted, gold=gold, labels=LABELS)))
    drawn_gold, drawn_predicted = reader.tags[:4], reader.tags[4:]
    assert sorted(drawn_gold) == sorted(["≠ PER", "✓ SYMPTOM", "↔ SYMPTOM", "↔ BODY"])
    assert sorted(drawn_predicted) == sorted(
        ["≠ LOC 0.90", "✓ SYMPTOM 0.98", "↔ SYMPTOM 0.90", "↔ BODY 0.90", "+ LOC 0.90"]
    )
    told = " ".join(reader.told)
    assert "≠ type : gold  PER: Mona , predicted  LOC: Mona" in told
    assert "fragment missing" in told and "+ spurious : predicted  LOC: up" in told
    assert "− missed" in " ".join(Reader(render(result(gold=gold))).told)
    assert Reader(render(result(gold=gold), gold=False)).tags == []
    assert len(Reader(render(EXAMPLE, gold=[])).told) == 2 + 4 * 3  # headings; kind, "predicted", entity


def test_a_page_is_a_document_with_ids_notes_and_errors() -> None:
    broken = TextResult("", id="b.txt", error="b.txt: not UTF-8. Expected UTF-8. Convert it.")
    noted = result(MONA, id="<a&b>.txt", notes=("2 words too long",))
    page = render([noted, broken], page=True, labels=LABELS)
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    reader = Reader(page)
    assert reader.told == ["Entities", "<a&b>.txt", "2 words too long", "b.txt", f"Not read: {broken.error}"]
    assert reader.texts == [PAIN]
    assert not re.search(r"https?:|src=|url\(|@import|<script", page)


def test_a_page_written_text_by_text() -> None:
    parts = [page_start("My texts", labels=LABELS), *(page_part(EXAMPLE, labels=LABELS) for _ in range(3)), page_end()]
    reader = Reader("".join(parts))
    assert len(reader.texts) == 3 and len(reader.tags) == 12
    assert reader.legend[:4] == list(LABELS)


def test_a_label_looks_the_same_in_every_picture() -> None:
    def look(picture: str) -> str:
        return re.search(r'genner-tag (genner-c\d)"[^>]*>BODY', picture)[1]

    pictures = [
        render(EXAMPLE),
        render(result(LEFT_KNEE), labels=LABELS),
        page_part(result(MONA, LEFT_KNEE), labels=LABELS),
    ]
    assert {look(picture) for picture in pictures} == {"genner-c0"}


def test_looks() -> None:
    labels = [f"L{number}" for number in range(40)]
    assert len(set(looks(labels, ()).values())) == 40 == len(COLOURS) * len(TEXTURES)
    assert looks(labels[:10], ()) == {label: (number, 0) for number, label in enumerate(labels[:10])}
    assert looks((), ["B", "A"]) == looks((), ["A", "B"])
    assert len(set(looks(("A",), labels[:30]).values())) == 31
    assert set(looks((), labels * 2 + ["more", "and more"])) == {*labels, "more", "and more"}


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_are_readable(colour: str) -> None:
    """WCAG AA: text upon them 4.5 : 1, bars against light and dark pages 3 : 1."""

    def luminance(code: str) -> float:
        parts = [int(code[idx : idx + 2], 16) / 255 for idx in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert 1.05 / (luminance(colour) + 0.05) >= 4.5
    for page in ("#1e1e1e", "#16181d", "#111827"):
        assert (luminance(colour) + 0.05) / (luminance(page) + 0.05) >= 3


def test_scripts_from_right_to_left_keep_their_order() -> None:
    text = "הילדה דנה לוי גרה ליד Haifa Port בצפון"
    drawn = result(entity(text, "PER", "דנה לוי"), entity(text, "LOC", "Haifa Port"), text=text)
    reader = Reader(render(drawn))
    directions = [attributes["dir"] for _, attributes in reader.elements if "dir" in attributes]
    assert directions == ["rtl", "ltr"]


def test_results_draw_themselves_in_notebooks() -> None:
    assert EXAMPLE._repr_html_() == render(EXAMPLE)


def test_nothing_but_the_result_has_to_be_imported_for_its_picture() -> None:
    code = "from genner.prediction.results import TextResult; print(TextResult('Mona ran.')._repr_html_())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Reader(done.stdout).texts == ["Mona ran."]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: render([EXAMPLE, EXAMPLE], gold=[KNEE]), ConfigError, "gold: entities of one text for 2 results"),
        (
            lambda: render(result(KNEE, text="short", id="7")),
            DataFormatError,
            r"text 7: SYMPTOM at .* \[18, 39\] of 5\.",
        ),
        (lambda: render(result(TextEntity("X", ()))), DataFormatError, r"\(no id\): X at characters \[\]"),
    ],
)
def test_messages(call: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 900])
def test_in_a_browser(browser: object, width: int) -> None:
    """Labels never overlap, nothing is wider than the page, bars are as wide as their words and on lanes alike."""
    text = PAIN + " Otto, Ida, Bo and Al met in A B C of X/Y-" + "Z" * 50 + ". שלום דנה לוי and 東京大学の附属病院."
    parts = ["Otto", "Ida", "Bo", "Al", "A", "B", "C", "X/Y-" + "Z" * 50, "דנה לוי", "東京大学の附属病院", "東京"]
    entities = [MONA, SHOULDER, KNEE, LEFT_KNEE, *(entity(text, "LOCATION", part) for part in parts)]
    page = browser.new_page(viewport={"width": width, "height": 900})
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.set_content(render(result(*entities, text=text), page=True))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = "els => els.map(e => e.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])"
    tags = page.eval_on_selector_all(".genner-text .genner-tag", boxes)
    assert len(tags) == len(entities)
    for one, other in combinations(tags, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    single = page.eval_on_selector_all(
        '.genner-bar.genner-starts.genner-ends[title="PER: Mona"], .genner-bar[title="LOCATION: Otto"]', boxes
    )
    words = page.evaluate(
        "[...document.querySelectorAll('.genner-word')].filter(e => ['Mona', 'Otto'].includes(e.textContent))"
        ".map(e => e.getBoundingClientRect()).map(r => [r.left, r.right])"
    )
    for (left, right), bar in zip(words, single, strict=True):
        assert bar[0] - left == pytest.approx(1, abs=0.6) and right - bar[2] == pytest.approx(1, abs=0.6)
    tops = sorted({round(tag[1]) for tag in tags})
    assert all(after - before >= 10 for before, after in pairwise(tops))
    assert not messages


@pytest.mark.slow
def test_the_styles_of_a_page_do_not_reach_into_a_picture(browser: object) -> None:
    """Such as those of notebooks and of Gradio, which colour everything inside them."""
    page = browser.new_page()
    hostile = ".prose *{color:#222222;margin:9px;font-size:40px} .prose ul li,.prose h2{padding:9px}"
    page.set_content(f'<style>{hostile}</style><div class="prose">{render([EXAMPLE, EXAMPLE], gold=None)}</div>')
    style = "e => [getComputedStyle(e).color, parseFloat(getComputedStyle(e).fontSize)]"
    for tag in page.query_selector_all(".genner-tag, .genner-score"):
        colour, size = tag.evaluate(style)
        assert colour == "rgb(255, 255, 255)" and size < 20
    assert page.eval_on_selector(".genner-word", style)[1] < 20


def test_the_label_is_repeated_where_an_entity_goes_on_in_another_line() -> None:
    def labels(text: str, *places: tuple[str, int, int]) -> list[tuple[str, str]]:
        """The labels with the words that they begin with."""
        entities = tuple(TextEntity(kind, (TextSegment(text[s:e], s, e, 0, 1),), 0.5) for kind, s, e in places)
        lines = lines_of(text, [Mark(entity) for entity in entities], scores=True)
        pieces = [piece for line in lines for group in line.groups for piece in group.pieces]
        return [
            (piece.text.strip(), ("… " if stroke.repeats else "") + stroke.mark.entity.type)
            for piece in pieces
            for stroke in piece.strokes
            if stroke is not None and (stroke.is_labelled or stroke.repeats)
        ]

    assert labels("in Upper Gonshire now", ("LOC", 3, 17)) == [("Upper", "LOC")]
    assert labels("in Upper\nGonshire\n\nnow", ("LOC", 3, 17)) == [("Upper", "LOC"), ("Gonshire", "… LOC")]
    long = "the " + "very " * 20 + "old house"
    found = labels(long, ("LOC", 4, len(long)), ("ORG", len(long) - 9, len(long)))
    assert [label for _, label in found if "LOC" in label] == ["LOC", "… LOC", "… LOC", "… LOC"]
    assert ("old", "ORG") in found
    picture = render(TextResult(long, entities=(TextEntity("A&B", (TextSegment(long, 0, len(long), 0, 23),), 0.5),)))
    assert picture.count('class="genner-tag') == 1
    assert picture.count('class="genner-more') == picture.count('aria-hidden="true" data-label="A&amp;B"') == 3
