"""What is written reads back; what a format cannot hold is an error or is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.schema import Entity, Example, Segment, sort_entities
from genner.data.tally import Tally
from genner.data.writing import FORMATS, write_split
from genner.errors import DataFormatError


def example(words, *entities, document=None):
    made = [Entity(label, tuple(Segment(*pair) for pair in segments)) for label, *segments in entities]
    return Example(tuple(words.split(" ")), sort_entities(made), document)


FLAT = [example("Ann saw Rome", ("PER", (0, 1)), ("LOC", (2, 3)), document=0), example("Rain", document=1)]


@pytest.mark.parametrize("loader", FORMATS)
def test_round_trip(loader, tmp_path):
    path = write_split(tmp_path, "train", loader, FLAT, Tally())
    examples, report = LOADERS[loader](path, LoaderOptions())
    assert [(x.words, x.entities) for x in examples] == [(x.words, x.entities) for x in FLAT]
    assert not report.counts
    if loader != "discontinuous":
        assert [x.document for x in examples] == [0, 1]


@given(st.lists(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=5), min_size=1, max_size=4))
def test_any_words_read_back_or_are_counted(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("words")
    for loader in FORMATS:
        tally = Tally()
        examples = [Example(tuple(words), (Entity("X", (Segment(0, 1),)),)) for words in rows]
        try:
            path = write_split(folder, "train", loader, examples, tally)
        except DataFormatError as error:
            assert "surrogate" in str(error)
            continue
        found, _ = LOADERS[loader](path, LoaderOptions(max_words=None))
        assert [len(x.words) for x in found] == list(map(len, rows))
        if not tally.counts:
            assert [list(x.words) for x in found] == rows


def test_blanks_in_words_and_odd_labels_are_counted(tmp_path):
    tally = Tally()
    row = Example(("HIV- 1", "", "end"), (Entity("Sign or | symptom", (Segment(0, 1),)), Entity("3", (Segment(1, 2),))))
    for loader in ("conll", "discontinuous"):
        found, _ = LOADERS[loader](write_split(tmp_path, loader, loader, [row], tally), LoaderOptions())
        assert found[0].words == ("HIV-_1", "_", "end")
        assert [entity.label for entity in found[0].entities] == ["Sign_or_symptom", "_3"]
    assert tally.counts == {
        "word that is empty or has white space inside, written with '_'": 2,
        "label with characters that do not read back, written with '_'": 2,
    }


@pytest.mark.parametrize(
    ("loader", "row", "what"),
    [
        ("conll", example("a b", ("X", (0, 2)), ("Y", (1, 2))), "nested or overlapping"),
        ("conll", example("a b c", ("X", (0, 1), (2, 3))), "discontinuous"),
        ("nested", example("a b c", ("X", (0, 1), (2, 3))), "discontinuous"),
    ],
)
def test_what_a_format_cannot_hold(loader, row, what, tmp_path):
    with pytest.raises(DataFormatError, match=f"sentence 1 has {what} entities. Expected what this format holds"):
        write_split(tmp_path, "train", loader, [row], Tally())
    assert not list(tmp_path.iterdir())
