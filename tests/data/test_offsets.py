"""Offsets in characters, UTF-16 units and UTF-8 bytes, with several line ends; annotations that fit none of them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.data.offsets import MISPLACED, UNPROVEN, Mention, Reading, count_cuts, find_reading, fit, to_characters
from genner.data.tally import Tally

UNITS = ("characters", "UTF-16 units", "UTF-8 bytes")
LINE_ENDS = ("", "CRLF counted as one", "LF counted as two")
SIGNS = "ab cé界ñ\u0301\u200d🙂👋🏽𝒜\n.,"


def place_in(text, index, unit, line_ends=""):
    """The offset of a character, counted sign by sign."""
    before = text[:index]
    if line_ends == LINE_ENDS[1]:
        before = before.replace("\r\n", "\n")
    elif line_ends == LINE_ENDS[2]:
        before = before.replace("\n", "\r\n")
    codec, width = {"characters": ("utf-32-le", 4), "UTF-16 units": ("utf-16-le", 2), "UTF-8 bytes": ("utf-8", 1)}[unit]
    return len(before.encode(codec)) // width


def annotated(rng, text, unit, line_ends, *, stated=True):
    """Random annotations in characters, and as a tool with another way of counting writes them."""
    truth, written = [], []
    for number in range(rng.randint(1, 6)):
        between = [index for index in range(len(text) + 1) if text[max(index - 1, 0) : index + 1] != "\r\n"]
        cuts = sorted(rng.sample(between, 2 * rng.randint(1, 2)))
        spans = tuple(zip(cuts[::2], cuts[1::2], strict=True))
        covered = " ".join(text[start:end] for start, end in spans) if stated else ""
        truth.append(Mention("X", spans, f"line {number}", covered))
        offsets = tuple((place_in(text, a, unit, line_ends), place_in(text, b, unit, line_ends)) for a, b in spans)
        written.append(truth[-1]._replace(fragments=offsets))
    return truth, written


def texts(rng, line_end="\n"):
    return "🙂" + "".join(rng.choice(SIGNS) for _ in range(40)).replace("\n", line_end) + f"end{line_end}界"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(UNITS), st.sampled_from(LINE_ENDS))
def test_annotations_in_every_unit_come_back_exactly(seed, unit, line_ends):
    rng = random.Random(seed)
    documents, expected = [], []
    for number in range(12):
        text = texts(rng, "\r\n" if line_ends == LINE_ENDS[1] else "\n")
        # Documents without covered texts follow the others.
        truth, written = annotated(rng, text, unit, line_ends, stated=number < 10)
        # Two that tell for sure: the words at both ends.
        for start, end in ((0, 1), (len(text) - 1, len(text))):
            covered = text[start:end] if number < 10 else ""
            truth.append(Mention("Y", ((start, end),), "ends", covered))
            offsets = tuple(place_in(text, index, unit, line_ends) for index in (start, end))
            written.append(truth[-1]._replace(fragments=(offsets,)))
        documents.append((text, written))
        expected.append(truth)
    reading = find_reading(documents)
    assert reading == Reading(unit, line_ends)
    tally = Tally()
    for (text, written), truth in zip(documents, expected, strict=True):
        found = to_characters(text, written, tally, reading=reading)
        assert [mention.fragments for mention in found] == [mention.fragments for mention in truth]
    converted = f"annotation with offsets counted in {unit}, converted"
    assert set(tally.counts) == (set() if unit == "characters" else {converted})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(UNITS))
def test_a_document_alone_gives_entities_on_its_covered_texts(seed, unit):
    """Whatever tie there is: what comes back covers the stated text."""
    rng = random.Random(seed)
    text = texts(rng)
    truth, written = annotated(rng, text, unit, "")
    found = to_characters(text, written, Tally())
    assert len(found) == len(truth)
    for one, other in zip(found, truth, strict=True):
        covered = " ".join(text[start:end] for start, end in one.fragments)
        assert covered.split() == other.text.split()


@pytest.mark.parametrize("unit", UNITS)
def test_plain_text_is_the_same_in_every_unit(unit):
    mentions = [Mention("X", ((0, 5),), "a", "Stiff")]
    assert find_reading([("Stiff neck", mentions)]) is None
    assert to_characters("Stiff neck", mentions, Tally(), reading=Reading(unit)) == mentions


def test_characters_win_where_several_readings_fit():
    mentions = [Mention("X", ((2, 3),), "a", "a")]
    assert to_characters("🙂aaa", mentions, Tally()) == mentions


def test_a_document_that_counts_unlike_its_corpus_is_read_by_its_own_evidence():
    text = "🙂 Orla left"
    tally = Tally()
    found = to_characters(text, [Mention("X", ((2, 6),), "b.ann:1", "Orla")], tally, reading=Reading("UTF-16 units"))
    assert found[0].fragments == ((2, 6),)
    assert tally.counts == {"document with offsets in characters, unlike others, read so": 1}


def test_a_document_that_contradicts_itself_is_read_by_the_covered_texts_and_counted():
    text = "🙂 Orla met Reed in Tellmark"
    places = [(2, 6, "Orla"), (12, 16, "Reed"), (19, 27, "Tellmark")]  # the second one in UTF-16 units
    mentions = [Mention("X", ((start, end),), stated, stated) for start, end, stated in places]
    tally = Tally()
    found = to_characters(text, mentions, tally)
    assert [text[a:b] for mention in found for a, b in mention.fragments] == ["Orla", "Reed", "Tellmark"]
    reason = "annotation with offsets in UTF-16 units, unlike others of its document, read so"
    assert tally.lines() == [f"1 x {reason} (Reed)"]


@pytest.mark.parametrize(
    ("text", "fragments", "stated", "expected", "reason"),
    [
        ("sore knee, knees", ((4, 8),), "knee", ((5, 9),), "annotation whose text is near its offsets, placed there"),
        ("no " * 90 + "Orla", ((3, 7),), "Orla", ((270, 274),), "near its offsets, placed there"),
        ("left hip and knee", ((1, 5), (14, 18)), "left knee", ((0, 4), (13, 17)), "near its offsets, placed there"),
        ("a pain. no. pain", ((8, 12),), "pain", None, MISPLACED),
        ("a pain. pain", ((9, 13),), "pain", ((8, 12),), "near its offsets, placed there"),
        ("stiff nec again", ((0, 9),), "stiff neck", ((0, 9),), "text is not that at its offsets, offsets taken"),
        ("Stiff  Neck", ((0, 11),), "stiff neck", ((0, 11),), None),
        ("Stiff neck", ((0, 5),), "Orla", None, MISPLACED),
        ("Stiff neck", ((80, 85),), "Orla", None, "annotation that ends after its text, dropped"),
        ("Stiff neck", ((10**20, 10**20 + 4),), "Orla", None, "annotation that ends after its text, dropped"),
        ("Stiff neck", ((80, 85),), "", None, "annotation that ends after its text, dropped"),
        ("Stiff neck", ((80, 85),), "Stiff", ((0, 5),), "near its offsets, placed there"),
    ],
)
def test_annotations_that_fit_nowhere(text, fragments, stated, expected, reason):
    tally = Tally()
    found = to_characters(text, [Mention("X", fragments, "line 1", stated)], tally)
    assert [mention.fragments for mention in found] == ([expected] if expected else [])
    assert [name for name in tally.counts if reason and name.endswith(reason)] == list(tally.counts)


def test_published_preprocessing_takes_the_offsets():
    tally = Tally()
    mentions = [Mention("X", ((1, 5),), "a", "knee"), Mention("X", ((6, 9),), "b", "six")]
    assert to_characters("sore knee", mentions, tally, repair=False) == mentions
    assert tally.counts == {"annotation whose text is not that at its offsets, offsets taken": 2}


@pytest.mark.parametrize(("unit", "fragments"), [("UTF-16 units", ((3, 5),)), ("UTF-8 bytes", ((4, 7),))])
def test_offsets_inside_a_character_are_widened(unit, fragments):
    tally = Tally()
    found = to_characters("is🙂so", [Mention("X", fragments, "a")], tally, reading=Reading(unit))
    assert [mention.fragments for mention in found] == [((2, 4),)]
    assert tally.counts["annotation that starts or ends inside a character, widened to the character"] == 1


def test_offsets_that_nothing_proves_are_counted():
    mentions = [Mention("X", ((0, 1),), "a"), Mention("X", ((3, 7),), "b")]
    tally = Tally()
    assert to_characters("🙂. Orla", mentions, tally) == mentions
    assert tally.places == {UNPROVEN: ["b"]}
    other = Reading("UTF-16 units")
    assert to_characters("🙂. Orla", [Mention("X", ((4, 8),), "b")], tally, reading=other)[0].fragments == ((3, 7),)
    proven = [*mentions, Mention("X", ((3, 7),), "c", "Orla")]
    assert to_characters("🙂. Orla", proven, Tally()) == proven


@pytest.mark.parametrize(
    ("text", "fragments", "unit", "expected"),
    [
        ("🙂 Orla left.", (3, 7), "UTF-16 units", (1, 1, 0)),
        ("🙂 Orla left.", (2, 6), "UTF-16 units", (1, 0, 1)),
        ("🙂 Orla left.", (0, 1), "UTF-16 units", (1, 0, 1)),  # half a sign
        ("Orla 🙂.", (0, 4), "UTF-16 units", (0, 0, 0)),
        ("é Orla.", (3, 7), "UTF-8 bytes", (1, 1, 0)),
        ("日本東京へ", (6, 12), "UTF-8 bytes", (1, 1, 0)),  # beyond the text
        ("日本東京へ", (2, 4), "UTF-8 bytes", (1, 0, 1)),
    ],
)
def test_words_that_are_cut(text, fragments, unit, expected):
    assert count_cuts(text, [Mention("X", (fragments,), "a")], Reading(unit)) == expected


def test_the_form_of_a_document_that_fits_best():
    mentions = [Mention("X", ((6, 9),), "a", "two")]
    assert fit("a & b two", mentions) > fit("a &amp; b two", mentions)
