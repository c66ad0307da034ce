"""The tables line up, show every group, and say in words what went wrong."""

from __future__ import annotations

from genner.data.schema import Entity
from genner.data.statistics import SplitStatistics
from genner.evaluation.report import score_table, split_table
from genner.evaluation.span_f1 import SpanF1
from genner.evaluation.terminal import columns_of

STATISTICS = {
    "sentences": 2400,
    "documents": None,
    "words": 35523,
    "entities": 5190,
    "nested": 2389,
    "same_span": 0,
    "discontinuous": 736,
    "crossing": 442,
    "longest_sentence": 18,
    "most_segments": 3,
    "without_entities": 300,
    "repeated": 0,
    "labels": {"BODY": 946, "疾患": 4244},
    "unseen_labels": {},
}


def scores() -> dict:
    metric = SpanF1(seen_surfaces={"knee"})
    knee, hip = Entity.from_flat("BODY", [0, 1]), Entity.from_flat("疾患", [2, 3])
    words = ("knee", "and", "hip")
    metric.update([knee, hip], [knee, knee], words=words, rejected=[("order", 1), ("new reason", 2)])
    return metric.compute().to_dict()


def test_score_table() -> None:
    table = score_table(scores(), "test")
    lines = table.split("\n")
    assert lines[0].split() == ["test", "P", "R", "F1", "strict", "F1", "exact", "gold", "predicted"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:] if line}
    assert rows["all"] == ["entities", "50.00", "50.00", "50.00", "33.33", "0.00", "2", "1"]
    assert rows["BODY"] == ["100.00", "100.00", "100.00", "66.67", "100.00", "1", "1"]
    assert rows["疾患"][-2:] == ["1", "0"]
    assert rows["nested"] == ["-"] * 5 + ["0", "0"]
    assert rows["unseen"][-2:] == ["1", "0"]
    assert lines[-1] == "malformed predictions: 1 repeated, 1 new reason, 1 words out of order"


def test_score_table_lines_up() -> None:
    lines = [line for line in score_table(scores(), "test").split("\n") if line and not line.startswith("malformed")]
    assert {columns_of(line) for line in lines} == {columns_of(lines[0])}
    assert columns_of(lines[0]) <= 100


def test_a_clean_report_has_no_line_about_malformed_predictions() -> None:
    assert "malformed" not in score_table(SpanF1().compute().to_dict())


def test_split_table() -> None:
    changes = ["train.txt: 3 x I- without B- (train.txt:7)", "evil \x1b[2J word"]
    table = split_table("train", STATISTICS, lengths={"source pieces": 48}, oracle_f=99.9, changes=changes)
    rows = dict(line.strip().split("  ", 1) for line in table.split("\n")[2:] if "  " in line.strip())
    assert rows["sentences"].split() == ["2,400", "300", "without", "entities", "(12.50", "%)"]
    assert rows["discontinuous"].split() == ["736", "14.18", "%"]
    assert rows["longest, source pieces"].strip() == "48"
    assert rows["oracle F1"].split(maxsplit=1) == ["99.90", "the targets cannot express every gold entity"]
    assert rows["labels"].strip() == "BODY 946, 疾患 4,244"
    assert "train.txt: 3 x I- without B-" in table
    assert r"evil \x1b[2J word" in table and "\x1b" not in table
    assert max(map(columns_of, table.split("\n"))) <= 88


def test_split_table_wraps() -> None:
    many = {**STATISTICS, "labels": {f"LABEL{number}": number for number in range(40)}, "unseen_labels": {"LABEL7": 7}}
    table = split_table("test", many)
    assert max(map(len, table.split("\n"))) <= 88
    assert "LABEL7 7 (not in train)" in " ".join(table.split())
    assert "LABEL39 39" in " ".join(table.split())


def test_split_table_of_an_empty_split_without_extras() -> None:
    table = split_table("dev", SplitStatistics().to_dict())
    assert "labels                      none" in table
    assert "nothing" in table
    assert "oracle" not in table
