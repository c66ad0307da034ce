"""Parts of split sentences, and the file of predictions."""

from __future__ import annotations

import json

import pytest

from genner.data.schema import Entity, Example
from genner.training.predictions import Prediction, merge_parts, write_predictions

PLUM = Entity.from_flat("fruit", [0, 1])
PIE = Entity.from_flat("dish", [0, 1, 3, 5])


def test_parts_are_united_in_the_order_of_the_sentence():
    parts = [
        Prediction(1, [PIE], [-0.5], [("open", (7,))], True, word_offset=6),
        Prediction(0, [PLUM], [-0.1], [("open", (7,))], False),
        Prediction(1, [PLUM], [-0.2], [("open", (7,))], False),
    ]
    first, second, third = merge_parts(parts, 3)
    assert first is parts[1]
    assert second.entities == [PLUM, Entity.from_flat("dish", [6, 7, 9, 11])]
    assert second.scores == [-0.2, -0.5]
    assert len(set(second.rejected)) == 2  # the same symbols in two parts are two mistakes
    assert second.exact is False
    assert third == Prediction(2)


def test_one_part_alone_is_still_shifted():
    (only,) = merge_parts([Prediction(0, [PLUM], [0.0], exact=True, word_offset=2)], 1)
    assert only.entities == [Entity.from_flat("fruit", [2, 3])]
    assert only.exact is True


def test_the_file_has_a_line_per_sentence(tmp_path):
    examples = [Example(("plum", "and", "“fig”", "pie", "now"), (PLUM,)), Example(("nothing",), ())]
    path = tmp_path / "deep" / "predictions.dev.jsonl"
    write_predictions(path, examples, [Prediction(0, [PIE, PLUM], [-0.25, -1e-9]), Prediction(1)])
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert first == {
        "raw_words": ["plum", "and", "“fig”", "pie", "now"],
        "gold": [{"type": "fruit", "spans": [[0, 1]], "text": "plum"}],
        "pred": [
            {"type": "dish", "spans": [[0, 1], [3, 5]], "text": "plum pie now", "score": -0.25},
            {"type": "fruit", "spans": [[0, 1]], "text": "plum", "score": 0.0},
        ],
    }
    assert second == {"raw_words": ["nothing"], "gold": [], "pred": []}
    assert [file.name for file in path.parent.iterdir()] == ["predictions.dev.jsonl"]


def test_a_prediction_too_few_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="zip"):
        write_predictions(tmp_path / "p.jsonl", [Example(("one",), ())], [])
    assert list(tmp_path.iterdir()) == []
