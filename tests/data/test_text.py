"""Words, sentences, and annotations on characters that become entities on words."""

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner.data.offsets import Mention
from genner.data.schema import Segment
from genner.data.tally import Tally
from genner.data.text import build_examples, sentence_words, words_in


def words(text, **options):
    return [[text[start:end] for start, end in sentence] for sentence in sentence_words(text, **options)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Moss met J. Reed. They left.", [8, 3]),
        ("See Fig. 3 and No. 4. Done", [9, 1]),
        ('"Stop!" she said. (Why?) Nobody knew.', [7, 4, 3]),
        ("no. 5 is it.\nstill the same sentence", [10]),
        ("One\n\nTwo", [1, 1]),
        ("One\r\n\r\nTwo", [1, 1]),
        ("Wait... What?! Yes.", [2, 3, 2]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert list(map(len, words(text))) == expected


def test_lines_end_sentences_where_asked():
    assert words("knee pain\nno rash", lines=True) == [["knee", "pain"], ["no", "rash"]]
    assert words("knee pain\nno rash") == [["knee", "pain", "no", "rash"]]


def test_words():
    text = "He didn't pay $1,000.50 for it's IL-2, 5mg -- U.S. made…"
    assert [text[a:b] for a, b in words_in(text)] == [
        "He", "did", "n't", "pay", "$", "1,000.50", "for", "it", "'s", "IL", "-", "2", ",", "5mg", "--", "U.S.",
        "made", "…",
    ]  # fmt: skip


@given(st.text(alphabet="aB1 .,!'’\"()\n\r\t-_é\u00a0\u2028", max_size=60))
def test_every_sign_is_in_one_word(text):
    for lines in (False, True):
        spans = [span for sentence in sentence_words(text, lines=lines) for span in sentence]
        assert spans == sorted(spans) and all(left[1] <= right[0] for left, right in pairwise(spans))
        assert "".join(text[a:b] for a, b in spans) == "".join(text.split())


def build(text, fragments, *, across="drop", lines=True):
    tally = Tally()
    mentions = [Mention("X", tuple(pairs), f"line {n}") for n, pairs in enumerate(fragments, 1)]
    examples = build_examples(text, sentence_words(text, lines=lines), mentions, 0, tally, across=across)
    return examples, tally


TEXT = "stiff knees and sore elbows\nno rash"  # stiff 0-5, knees 6-11, and 12-15, sore 16-20, elbows 21-27, no 28-30


@pytest.mark.parametrize(
    ("fragments", "segments", "reason"),
    [
        ([(0, 5), (6, 11)], [(0, 2)], "annotation with fragments that touch as words, merged"),
        ([(0, 5), (21, 27)], [(0, 1), (4, 5)], None),
        ([(0, 8)], [(0, 2)], "annotation that starts or ends inside a word, widened to the word"),
        ([(5, 12)], [(1, 2)], None),  # blanks at the ends are nothing
        ([(0, 11), (6, 15)], [(0, 3)], "annotation with overlapping fragments, merged"),
        ([(5, 6)], None, "annotation with a fragment that holds no word, dropped"),
        ([(90, 95)], None, "annotation with a fragment that holds no word, dropped"),
        ([(21, 30)], None, "annotation that crosses a sentence boundary, dropped"),
        ([(21, 27), (31, 35)], None, "annotation that crosses a sentence boundary, dropped"),
    ],
)
def test_annotation_becomes_entity(fragments, segments, reason):
    examples, tally = build(TEXT, [fragments])
    found = [entity.segments for entity in examples[0].entities]
    assert found == ([tuple(Segment(*pair) for pair in segments)] if segments else [])
    if reason:
        assert tally.counts[reason] == 1 and tally.places[reason] == ["line 1"]
    else:
        assert not tally.counts


def test_duplicates_are_counted_once():
    examples, tally = build(TEXT, [[(0, 5)], [(0, 5)], [(28, 30)]])
    assert [len(example.entities) for example in examples] == [1, 1]
    assert tally.lines() == ["1 x duplicate annotation, counted once (line 2)"]


def test_sentences_are_joined_where_asked():
    examples, tally = build(TEXT + "\nend", [[(21, 30)], [(0, 5)]], across="join")
    assert [len(example.words) for example in examples] == [7, 1]
    assert [entity.flat for entity in examples[0].entities] == [[0, 1], [4, 6]]
    assert tally.counts == {"annotation that crosses a sentence boundary, sentences joined": 1}


@given(st.integers(0, 10**6))
def test_every_annotation_is_accounted_for(seed):
    """Entities, drops and duplicates add up, and an entity covers what its annotation covers."""
    rng = random.Random(seed)
    text = "".join(rng.choice("ab .\n") for _ in range(40))
    spans = [sorted(rng.sample(range(41), 2 * rng.randint(1, 3))) for _ in range(5)]
    fragments = [list(zip(offsets[::2], offsets[1::2], strict=True)) for offsets in spans]
    for across in ("drop", "join"):
        examples, tally = build(text, fragments, across=across)
        lost = [reason for reason in tally.counts if reason.endswith(("dropped", "once"))]
        assert sum(len(x.entities) for x in examples) + sum(tally.counts[reason] for reason in lost) == len(fragments)
        assert "".join(word for x in examples for word in x.words) == "".join(text.split())


@pytest.mark.parametrize("unit", ["x", ".", ". ", "' ", "\n ", "a.", "1,", '."', "don't"])
def test_long_texts_take_linear_time(unit):
    text = unit * (60_000 // len(unit))
    start = time.perf_counter()
    sentence_words(text)
    assert time.perf_counter() - start < 4  # seconds; quadratic time took minutes
