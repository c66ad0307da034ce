"""The benchmarks run and write what they promise; how fast anything is, is never asserted here."""

import json
import re

import pytest

from benchmarks import (
    batches,
    compiled_step,
    decoding,
    lighter,
    loading,
    pipe,
    predicting,
    run,
    serving,
    texts,
    training_step,
)
from benchmarks.command import Measure, Settings
from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.timing import Side, compare, interleave

GOALS = {
    "pipe": ("sentences/s", 10_000),
    "cache_opening": ("s", 1.0),
    "cache_memory": ("MB", 8.0),
    "cache_batches": ("sentences/s", None),
    "training_step": ("ratio", 1.08),
    "trainer_step": ("ratio", 1.10),
    "bf16_step": ("ratio", None),
    "sampled_step": ("ratio", None),
    "length_grouped_batches": ("times", 1.4),
    "compiled_step": ("ratio", None),
    "recompilations": ("graphs", 0),
    "decoding_constraint": ("ratio", 1.05),
    "decoding_masked": ("ratio", 1.05),
    "decoding_give_up": ("ratio", 1.05),
    "decoding_constraint_4_beams": ("ratio", 1.05),
    "constraint_and_head": ("ratio", 1.08),
    "decoding_over_network": ("ratio", None),
    "text_latency": ("ratio", 1.3),
    "text_file": ("share", 0.9),
    "text_memory": ("ratio", 1.05),
    "serving_errors": ("errors", 0),
    "serving_p95_over_batch": ("ratio", 3.0),
    "serving_p50": ("s", None),
    "serving_p95": ("s", None),
    "serving_p99": ("s", None),
    "serving_requests": ("requests/s", None),
    "serving_wait": ("s", 2.0),
    "serving_wait_over_idle": ("ratio", None),
}
for form in ("packed", "bf16", "int8"):
    GOALS |= {
        f"lighter_{form}": ("times", None),
        f"lighter_{form}_one_by_one": ("times", None),
        f"lighter_{form}_same_spans": ("share", 1.0),
    }
for split in ("genia_subset", "craft"):
    GOALS |= {
        f"row_steps_{split}": ("ratio", 1.1),
        f"greedy_over_plain_{split}": ("times", 5),
        f"4_beams_over_plain_{split}": ("times", 8),
        f"greedy_over_plain_same_layers_{split}": ("times", None),
        f"over_tagger_{split}": ("ratio", 2),
    }


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (pipe, ["pipe"]),
        (loading, ["cache_opening", "cache_memory", "cache_batches"]),
        (training_step, ["training_step", "trainer_step", "bf16_step", "sampled_step"]),
        (batches, ["length_grouped_batches"]),
        pytest.param(compiled_step, ["compiled_step", "recompilations"], marks=pytest.mark.slow),
        (decoding, [name for name in GOALS if name.startswith(("decoding", "constraint"))]),
        pytest.param(lighter, [name for name in GOALS if name.startswith("lighter")], marks=pytest.mark.slow),
        (predicting, [name for name in GOALS if name.endswith(("genia_subset", "craft"))]),
        pytest.param(texts, [name for name in GOALS if name.startswith("text")], marks=pytest.mark.slow),
        pytest.param(serving, [name for name in GOALS if name.startswith("serving")], marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("without_code_generation")
def test_a_benchmark_prints_a_table_and_writes_its_numbers(module, names, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GENNER_SHARED_DATA", str(tmp_path))  # no corpora there: invented sentences
    path = tmp_path / "found.json"
    module.main(["--quick", "--rounds", "1", "--output", str(path)])
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == names
    for name, entry in content.items():
        assert set(entry) == {"value", "unit", "goal", "holds"}
        assert (entry["unit"], entry["goal"]) == GOALS[name]
        assert entry["value"] > 0 or entry["unit"] in ("graphs", "MB", "errors")
        assert type(entry["holds"]) is bool
    table = capsys.readouterr().out
    for name in names:
        assert re.search(rf"^{name} +[0-9.]+ ", table, re.MULTILINE), table
    assert f"written: {path}" in table


def test_all_benchmarks_together(monkeypatch, tmp_path):
    """Each part is called with the same settings, and their measures become one file."""
    seen = []
    parts = (pipe, loading, training_step, batches, compiled_step, decoding, predicting, texts, serving)
    names = [part.__name__.rpartition(".")[2] for part in parts]
    for part, name in zip(parts, names, strict=True):
        found = [Measure(name, 1, "ratio")]
        monkeypatch.setattr(part, "measure", lambda settings, found=found: seen.append(settings) or found)
    run.main(["--rounds", "3", "--output", str(tmp_path / "all.json")])
    content = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert content == {name: {"value": 1, "unit": "ratio", "goal": None, "holds": True} for name in names}
    assert seen == [Settings(rounds=3)] * len(parts)


@pytest.mark.parametrize(
    ("unit", "value", "holds"),
    [
        ("ratio", 1.04, True),
        ("ratio", 1.06, False),
        ("graphs", 1, True),
        ("graphs", 2, False),
        ("s", 1.04, True),
        ("s", 1.06, False),
        ("MB", 1.04, True),
        ("MB", 1.06, False),
        ("sentences/s", 1.06, True),
        ("sentences/s", 1.04, False),
        ("times", 1.06, True),
        ("times", 1.04, False),
    ],
)
def test_a_goal_bounds_costs_from_above_and_speeds_from_below(unit, value, holds):
    assert Measure("x", value, unit, 1.05).holds is holds


def test_sides_are_timed_in_turns_and_compared_by_medians():
    order = []
    found = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warmup=1)
    assert sorted(order[i : i + 2] for i in range(0, 8, 2)) == [["a", "b"]] * 2 + [["b", "a"]] * 2
    assert [len(side.cpu) for side in found.values()] == [3, 3]
    sides = {"ours": Side([3.0, 30.0, 2.0], [0.0] * 3), "bare": Side([2.0, 2.0, 1.0], [0.0] * 3)}
    value, details = compare(sides, "ours", "bare")
    assert value == 1.5
    assert details["ratio by round"] == {"quartile_1": 1.75, "median": 2.0, "quartile_3": 8.5}
    assert details["ours"]["best_ms"] == 2000.0


def test_the_sentences_are_the_same_again_and_hold_all_structures():
    examples = draw_sentences(200, (25, 8))
    assert examples == draw_sentences(200, (25, 8)) and examples != draw_sentences(200, (25, 8), seed=12)
    assert [len(example.words) for example in examples[:3]] == [25, 8, 25]
    entities = [entity for example in examples for entity in example.entities]
    assert {entity.label for entity in entities} == set(LABELS)
    assert any(entity.is_discontinuous for entity in entities)
    assert any(not example.entities for example in examples)
    assert all(entity.end <= len(example.words) for example in examples for entity in example.entities)
