"""The cells of a row: what each kind of column may hold, and what the others are told to be."""

import pytest

from genner.data.prepare.cells import Cells
from genner.data.tally import Tally
from genner.errors import DataFormatError

NAMES = ("O", "B-PER", "I-PER")


def cells(**changes):
    return Cells(**{"names": NAMES, "inclusive": False, "tally": Tally()} | changes)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["Ida", "ran"], ("Ida", "ran")),
        (("Ida", 7, 2.5), ("Ida", "7", "2.5")),
        ('["Ida", "ran"]', ("Ida", "ran")),
        ("['Ida', 'ran']", ("Ida", "ran")),
        ([], ()),
        (None, None),
        (float("nan"), None),
    ],
)
def test_words(value, expected):
    assert cells().words(value, "w", "row 1") == expected


def test_missing_words_and_tags_are_counted():
    tally = Tally()
    made = cells(tally=tally)
    assert made.words(["Ida", None, float("nan"), ""], "w", "row 1") == ("Ida", "_", "_", "_")
    assert made.tags(["B-PER", None, float("nan"), " "], 4, "t", "row 1") == ["B-PER", "O", "O", "O"]
    assert tally.counts == {"missing word, written as '_'": 3, "missing tag, read as O": 3}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["B-PER", "I-PER"], ["B-PER", "I-PER"]),
        ([1, 2], ["B-PER", "I-PER"]),
        ("B-PER O", ["B-PER", "O"]),
        ([-1, -1], None),
        ([-100, -100], None),
        (None, None),
    ],
)
def test_tags(value, expected):
    assert cells().tags(value, 2, "t", "row 1") == expected


SPAN = [("PER", ((0, 3),), "")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"start": 0, "end": 3, "label": "PER"}], SPAN),
        ([{"start_offset": "0", "end_offset": "3", "labels": ["PER"]}], SPAN),
        ([{"begin": 0.0, "end": 3.0, "entity_type": "PER", "text": "Ida"}], [("PER", ((0, 3),), "Ida")]),
        ([[0, 3, "PER"]], SPAN),
        ([["PER", 0, 3]], SPAN),
        ([["0", "3", "PER"]], SPAN),
        ({"start": [0], "end": [3], "label": ["PER"]}, SPAN),
        ({"start": [], "end": [], "label": []}, []),
        ({"start": 0, "end": 3, "label": "PER"}, SPAN),
        ('[{"start": 0, "end": 3, "label": "PER"}]', SPAN),
        ("[{'start': 0, 'end': 3, 'label': 'PER'}]", SPAN),
        ([{"start": 0, "end": 3, "label": 1}], [("B-PER", ((0, 3),), "")]),
        ([{"start": 0, "end": 3, "labels": ["PER", "ORG"]}], [("PER", ((0, 3),), ""), ("ORG", ((0, 3),), "")]),
        (
            [{"offsets": [[0, 3], [8, 9]], "type": "PER", "text": ["Ida", "X"]}],
            [("PER", ((0, 3), (8, 9)), "Ida X")],
        ),
        ([{"offsets": [0, 3], "type": "PER"}], SPAN),
        ([], []),
        ("", []),
        (None, None),
    ],
)
def test_spans(value, expected):
    found = cells().spans(value, "s", "row 1")
    assert expected == (None if found is None else [(one.label, one.fragments, one.text) for one in found])


def test_inclusive_ends():
    assert cells(inclusive=True).spans([[0, 2, "PER"]], "s", "row 1")[0].fragments == ((0, 3),)


WORDS, TAGS, TEXT, SPANS = ["Ida", "ran"], ["B-PER", "O"], "Ida ran", [{"start": 0, "end": 3, "label": "PER"}]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("words", TEXT, "column 'c' holds text ('Ida ran'). Expected a list of words in every row. Name it with --t"),
        ("words", TAGS, "column 'c' holds a list of tags (['B-PER', 'O']). Expected a list of words in every row. N"),
        ("words", SPANS, "holds a list of objects ([{'start': 0, 'end': 3, 'label': 'PER'}]). Expected a list of wo"),
        ("words", 3, "column 'c' holds 3. Expected a list of words in every row. Choose another column with --words."),
        ("words", [{"text": "Ida"}], "has {'text': 'Ida'} among its words. Expected text. Choose another column with"),
        ("words", [101, 7], "holds a list of numbers ([101, 7]). Expected a list of words in every row. Choose anot"),
        ("text", WORDS, "holds a list of words (['Ida', 'ran']). Expected text in every row. Name it with --words."),
        ("text", 3, "column 'c' holds 3. Expected text in every row. Choose another column with --text."),
        ("tags", TEXT, "column 'c' holds text ('Ida ran'). Expected a list of tags in every row. Name it with --tex"),
        ("tags", SPANS, "Expected a list of tags in every row. Name it with --spans."),
        ("tags", [1], "row 1: 1 tags for 2 words. Expected one tag per word. Correct the row, or choose other colum"),
        ("tags", [1, 9], "row 1: tag 9. Expected O, B-type or I-type, or numbers whose names are known. Give the na"),
        ("spans", TAGS, "Expected a list of spans (start, end, label) in every row. Name it with --tags."),
        ("spans", WORDS, "Expected a list of spans (start, end, label) in every row. Name it with --words."),
        ("spans", [{"start": 0, "end": 3}], "span {'start': 0, 'end': 3}. Expected start, end and label, as an obje"),
        ("spans", [[0, 3, 9]], "Give the names of the labels' numbers with --names, from 0 on."),
        ("spans", [[-1, 3, "PER"]], "span [-1, 3, 'PER']. Expected start, end and label"),
        ("spans", [[True, 3, "PER"]], "span [True, 3, 'PER']. Expected start, end and label"),
        ("spans", {"start": [0], "end": [], "label": ["X"]}, "has lists of several lengths (start 1, end 0, label 1)"),
    ],
)  # fmt: skip
def test_another_kind_of_column(kind, value, message):
    extra = (2,) if kind == "tags" else ()
    with pytest.raises(DataFormatError) as error:
        getattr(cells(), kind)(value, *extra, "c", "train, row 1")
    assert message in str(error.value)
