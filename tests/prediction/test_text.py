"""Words and sentences of raw text lie where the text says."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.errors import ConfigError
from genner.prediction.text import RULES, SplitText, TextSplitter

ODD = ["\r\n", "\n\n", "\t", " ", "\u00a0", "e\u0301", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u200b", "\ufeff"]
ODD += [
    "Dr.",
    "e.g.",
    "...",
    "?!",
    "(",
    ")",
    "'s",
    "n't",
    "3.5mg",
    "知识。",
    "שלום",
    "\ud800",
    "x" * 1200,
    "." * 1200,
    "\u2028",
]
TEXTS = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(ODD)), max_size=30).map("".join)


@pytest.fixture(scope="module")
def splitters() -> dict[str, TextSplitter]:
    return {rules: TextSplitter(rules=rules) for rules in RULES}


def check(text: str, found: SplitText) -> None:
    """Words ascend without white space at their ends; sentences cover them, in order, none empty."""
    last = 0
    for start, end in found.words:
        assert last <= start < end <= len(text)
        surface = text[start:end]
        assert surface == surface.strip()
        last = end
    assert [word for start, end in found.sentences for word in range(start, end)] == list(range(len(found.words)))
    assert all(start < end for start, end in found.sentences)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_words_are_where_the_text_says(splitters: dict[str, TextSplitter], text: str) -> None:
    for splitter in splitters.values():
        check(text, splitter.split(text))


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_the_library_loses_no_character(splitters: dict[str, TextSplitter], text: str) -> None:
    """But for what has no shape, of which words alone are made that nobody could see."""
    for rules in ("spacy", "blanks"):
        covered = "".join(text[start:end] for start, end in splitters[rules].split(text).words)
        assert shapes(covered) == shapes(text)


def shapes(text: str) -> list[str]:
    return [char for char in text if (char.isprintable() or char == "\ud800") and not char.isspace()]


@settings(max_examples=200, deadline=None)
@given(paragraphs=st.lists(st.text(max_size=20), max_size=5))
def test_empty_lines_end_sentences(splitters: dict[str, TextSplitter], paragraphs: list[str]) -> None:
    """Each paragraph is split as if it stood alone."""
    paragraphs = [re.sub(r"[\n\r\x0b\x0c\x1c-\x1f\x85\u2028\u2029]", " ", one) for one in paragraphs]
    splitter = splitters["spacy"]
    whole = splitter.split("\r\n\r\n".join(paragraphs))
    alone = [splitter.split(paragraph) for paragraph in paragraphs]
    assert len(whole.words) == sum(len(one.words) for one in alone)
    assert len(whole.sentences) == sum(len(one.sentences) for one in alone)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Lee fell. Then she got up.", 2),
        ('It hurts, e.g. at night... Why?! "Stop!" he said.', 4),
        ("one line\nthe same sentence", 1),
        ("A title\n \nA text", 2),
        ("", 0),
        (" \t\r\n", 0),
    ],
)
def test_sentences_of_english(splitters: dict[str, TextSplitter], text: str, sentences: int) -> None:
    assert len(splitters["spacy"].split(text).sentences) == sentences


@pytest.mark.parametrize(
    "text",
    ["word " * 30_000, "w" * 100_000, "(" * 100_000, " " * 100_000, "a.b" * 30_000, "知识" * 50_000, "Ab. " * 30_000],
)
def test_long_texts_are_read_in_stretches(splitters: dict[str, TextSplitter], text: str) -> None:
    found = splitters["spacy"].split(text)
    check(text, found)
    if text.startswith("word"):
        assert (len(found.words), len(found.sentences)) == (30_000, 1)  # a stretch's end ends no sentence


def test_a_sentence_ends_at_the_end_of_a_stretch_and_of_a_long_run(splitters: dict[str, TextSplitter]) -> None:
    for text in (f"{'ab ' * 6665}cd. It goes on.", f"See {'xyz/' * 400}end. It goes on.", f"Ah{'!' * 200} It goes on."):
        found = splitters["spacy"].split(text)
        starts = [found.words[sentence.start].start for sentence in found.sentences]
        assert starts == [0, text.index("It")]


def test_languages() -> None:
    german = TextSplitter("de").split("Das kostet z.B. 3,5 Euro. Gut.")
    assert len(german.sentences) == 2
    chinese = TextSplitter("zh").split("我头痛。膝盖也疼。")
    assert len(chinese.sentences) == 2
    with pytest.raises(ConfigError, match=r"language: 'klingon' cannot be used.*Expected a code"):
        TextSplitter("klingon")
    with pytest.raises(ConfigError, match=r"words: unknown rules 'nltk'. Expected one of spacy, plain, blanks"):
        TextSplitter(rules="nltk")


def test_the_librarys_memory_does_not_grow_with_new_words() -> None:
    splitter = TextSplitter()
    splitter.split("The first text.")
    before = len(splitter._library.vocab.strings)
    for number in range(500):
        splitter.split(f"Word{number} and other{number}.")
    assert len(splitter._library.vocab.strings) - before < 50


def test_a_text_is_split_in_stretches_with_pauses_in_between() -> None:
    """So that whoever splits a long text may let other threads go on."""
    text = "Dr. Lee fell, and got up again. " * 500
    pauses: list[None] = []
    found = TextSplitter(pause=lambda: pauses.append(None)).split(text)
    assert 7 < len(pauses) < 20
    assert len(found.words) == 9 * 500
    assert len(found.sentences) == 500
