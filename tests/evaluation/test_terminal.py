"""Bars below the words: what they show, how they wrap, and that no word can steer the terminal."""

from __future__ import annotations

import io
import random
import re

import pytest

from genner.data.schema import Entity, Segment
from genner.evaluation.terminal import Style, columns_of, render_sentence, visible

WORDS = ["pain", "in", "the", "left", "knee", "and", "shoulder", "since", "May"]
PAIN_IN_KNEE = Entity("SYMPTOM", (Segment(0, 5),))
PAIN_IN_SHOULDER = Entity("SYMPTOM", (Segment(0, 4), Segment(6, 7)))
KNEE = Entity("BODY", (Segment(3, 5),))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_nested_and_discontinuous_bars() -> None:
    assert render_sentence(WORDS, [KNEE, PAIN_IN_KNEE, PAIN_IN_SHOULDER]).split("\n") == [
        "pain in the left knee and shoulder since May",
        "━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌━━━━━━━━ SYMPTOM",
        "━━━━━━━━━━━━━━━━━━━━━ SYMPTOM",
        "            ━━━━━━━━━ BODY",
    ]


def test_flat_entities_share_a_line() -> None:
    entities = [Entity("PER", (Segment(0, 1),)), Entity("LOC", (Segment(4, 5),))]
    text = render_sentence(["Ada", "flew", "home", "from", "Rome"], entities, Style(unicode=False))
    assert text.split("\n") == ["Ada flew home from Rome", "=== PER            ==== LOC"]


def test_a_sentence_without_entities_and_an_empty_one() -> None:
    assert render_sentence(["Nothing", "here"], []) == "Nothing here"
    assert render_sentence([], []) == ""


def test_errors_carry_signs() -> None:
    lines = render_sentence(WORDS, [KNEE, PAIN_IN_SHOULDER], gold=[KNEE, PAIN_IN_KNEE]).split("\n")
    labels = {line.split()[-1] for line in lines[1:]}
    assert labels == {"+SYMPTOM", "-SYMPTOM", "BODY"}
    assert "+" not in render_sentence(WORDS, [KNEE])


def test_long_sentences_wrap_and_entities_go_on() -> None:
    lines = render_sentence(WORDS, [PAIN_IN_SHOULDER], Style(width=24)).split("\n")
    assert lines == [
        "pain in the left knee",
        "━SYMPTOM→━━━━━━━",
        "and shoulder since May",
        "    ━━━━━━━━ →SYMPTOM",
    ]


@pytest.mark.parametrize("width", [20, 33, 80])
def test_no_line_is_wider_than_told(width: int) -> None:
    rng = random.Random(width)
    for _ in range(60):
        words = ["".join(rng.choices("abc日é", k=rng.randrange(1, 30))) for _ in range(rng.randrange(1, 15))]
        starts = [rng.randrange(len(words)) for _ in range(4)]
        ends = [rng.randrange(start + 1, len(words) + 1) for start in starts]
        entities = [Entity("LABEL", (Segment(*span),)) for span in zip(starts, ends, strict=True)]
        lines = render_sentence(words, entities, Style(width=width)).split("\n")
        assert max(map(columns_of, lines)) <= width, (words, entities)
        assert sum("LABEL" in line or "~" in line or "…" in line for line in lines)


def test_bars_stand_below_their_words_whatever_their_width() -> None:
    entities = [Entity("X", (Segment(1, 2),)), Entity("Y", (Segment(2, 3),))]
    lines = render_sentence(["日本", "e\u0301te\u0301", "👍"], entities).split("\n")
    assert lines[1:] == ["     ━━━ X", "         ━━ Y"]


@pytest.mark.parametrize("colour", [False, True])
def test_no_word_or_label_can_steer_the_terminal(colour: bool) -> None:
    words = ["\x1b[31mred\x07", "tab\there", "new\nline", "\u202eright", "\x9b2J", "\ud800", "zero\u200bwidth", ""]
    entity = Entity("LA\x1b]0;title\x07BEL", (Segment(0, 8),))
    text = render_sentence(words, [entity], Style(200, colour))
    ours = re.sub(r"\x1b\[[0-9;]+m", "", text) if colour else text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\ud800]", ours)
    assert len(text.split("\n")) == 2
    assert r"\x1b[31mred\x07" in ours and r"tab\there" in ours and r"\u202eright" in ours and "''" in ours
    text.encode()


def test_visible_keeps_letters() -> None:
    assert visible("naïve 日本 Ωmega 👍 — ½") == "naïve 日本 Ωmega 👍 — ½"
    assert visible("a\u00a0b") == r"a\xa0b"


def test_colours_differ_by_label_and_errors_are_red() -> None:
    style = Style(colour=True, labels=("BODY", "SYMPTOM"))
    text = render_sentence(WORDS, [KNEE, PAIN_IN_KNEE], style)
    body, symptom = (re.search(rf"\x1b\[(\d+)m━+ {label}", text)[1] for label in ("BODY", "SYMPTOM"))
    assert body != symptom
    assert f"\x1b[{body};1mknee" in text and f"\x1b[{symptom};1mpain" in text
    assert "\x1b[31;1m━━━━━━━━━ +BODY" in render_sentence(WORDS, [KNEE], style, gold=[])
    plain = re.sub(r"\x1b\[[0-9;]+m", "", text)
    assert plain == render_sentence(WORDS, [KNEE, PAIN_IN_KNEE])


def test_a_label_that_is_not_in_the_label_set_has_a_colour_as_well() -> None:
    assert "\x1b[" in render_sentence(WORDS, [KNEE], Style(colour=True))


def test_style_suits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert Style.of(Terminal()).colour
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert Style.of(Terminal(), ["A"]).labels == ("A",)
    assert Style.of(file) == Style(width=100, colour=False, unicode=True)
    assert not Style.of(io.TextIOWrapper(io.BytesIO(), encoding="ascii")).unicode
    monkeypatch.setenv("NO_COLOR", "")
    assert Style.of(Terminal()).colour, "an empty NO_COLOR does not count"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Style.of(Terminal()).colour
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Style.of(Terminal()).colour
