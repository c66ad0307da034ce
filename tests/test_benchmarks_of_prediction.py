"""The sides of the benchmarks of prediction do what is said of them; laws of cost are found again."""

import json

import pytest

from benchmarks import curves, decoding, predicting
from benchmarks.corpus import draw_sentences
from benchmarks.laws import LAWS
from benchmarks.models import LENGTHS, Shape
from benchmarks.splits import invented_split
from benchmarks.tagger import flat_entities
from genner.data.schema import Entity


@pytest.fixture(scope="module")
def split():
    return invented_split(draw_sentences(80, LENGTHS, seed=12), Shape.quick())


@pytest.mark.parametrize("n_beams", [1, 2])
def test_both_sides_write_the_gold_targets_and_would_say_if_not(split, n_beams):
    sides = predicting.Sides(split, batch_size=16)
    for side in (sides.ours(n_beams), sides.plain(n_beams), sides.tag):
        side()
    with_entities = next(idx for idx, entities in enumerate(sides.gold) if entities)
    sides.gold[with_entities] = sides.tagged[with_entities] = []
    for side, name in ((sides.ours(n_beams), "ours"), (sides.plain(n_beams), "the plain side"), (sides.tag, "tagger")):
        with pytest.raises(AssertionError, match=f"{name} left the gold"):
            side()


def test_the_bare_decoder_is_fed_what_the_search_feeds(split):
    both = decoding._Decoding(split, "cpu")
    script = both._script()
    assert sum(len(args[0]) for name, args in script if name == "step") == both.guided.n_row_steps
    assert {name for name, _ in script} == {"step", "reserve", "refill", "select"}  # 80 sentences, 64 slots
    both.bare()()


def test_bio_tags_hold_the_longest_of_entities_that_overlap():
    entities = [Entity.from_flat("a", [0, 2]), Entity.from_flat("b", [1, 2, 4, 5]), Entity.from_flat("a", [6, 7])]
    assert flat_entities(entities) == [Entity.from_flat("b", [1, 5]), Entity.from_flat("a", [6, 7])]


@pytest.mark.parametrize(
    ("name", "y", "text"),
    [
        ("flat", [3.0, 3.0, 3.0], "3"),
        ("linear", [5.0, 8.0, 14.0], "2 + 3 x"),
        ("quadratic", [5.5, 10.0, 22.0], "2 + 3 x + 0.5 x²"),
        ("falling to a floor", [6.0, 4.0, 3.0], "2 + 4 / x"),
    ],
)
def test_a_law_is_found_again(name, y, text):
    x = [1.0, 2.0, 4.0]
    factors = LAWS[name].fit(x, y)
    assert LAWS[name].text(factors) == text
    assert LAWS[name].values(factors, x) == pytest.approx(y)


def test_the_cost_curves_are_printed_drawn_and_written(tmp_path, capsys):
    path = tmp_path / "found.png"
    curves.main(["--quick", "--rounds", "1", "--output", str(path)])
    assert path.read_bytes().startswith(b"\x89PNG")
    content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert list(content) == ["Sentences", "Source length", "Target length", "Beams", "Labels", "Batch"]
    for curve in content.values():
        for series in curve["series"].values():
            assert len(series["x"]) == len(series["y"]) == len(series["law"]) > 1 and min(series["y"]) > 0
    table = capsys.readouterr().out
    assert "expected: falling to a floor" in table and f"written: {path}" in table
