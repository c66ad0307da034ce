"""JSON records in every layout; what is broken is told at its line, and what can be told apart from it is read."""

import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.data.records import JsonRecord, read_json, shown
from genner.data.tally import Tally

ROWS = [{"text": 'a "b" {[,', "id": 1}, {"text": "\u2028é", "e": [[1, 2, "X"], []]}, ["a text", {"entities": []}], {}]


def records(text: str | bytes, tally: Tally | None = None) -> list[JsonRecord]:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return list(read_json(io.BytesIO(raw), "f", Tally() if tally is None else tally))


def values(text: str | bytes) -> list:
    found = records(text)
    assert [one.problem for one in found if one.problem] == []
    return [one.value for one in found]


@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_layouts(indent, ascii_only: bool) -> None:
    def dumped(value: object) -> str:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    rows = list(map(dumped, ROWS))
    lines = "\n".join(rows)
    layouts = [lines, "\n\n".join(rows) + "\n \n", " ".join(rows), ",\n".join(rows), lines.replace("\n", "\r\n")]
    layouts += [dumped(ROWS), "[\n" + ",\n".join(rows) + "\n]", "\ufeff" + "\n\ufeff".join(rows)]
    for layout in layouts:
        assert values(layout) == ROWS


plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text()
json_values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)
objects = st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=5)


@settings(deadline=None, max_examples=80)
@given(rows=objects, indent=st.sampled_from([None, 0, 1, 3]), as_list=st.booleans(), extra=st.booleans())
def test_any_objects_in_any_layout(rows, indent, as_list: bool, extra: bool) -> None:
    text = json.dumps(rows, indent=indent) if as_list else "\n".join(json.dumps(row, indent=indent) for row in rows)
    assert values(text + "\n" * extra) == rows


@settings(deadline=None, max_examples=100)
@given(objects, st.integers(0, 10_000), st.integers(0, 4), st.sampled_from(["", '"', "{", "]", "\n", "\\"]))
def test_damage_is_told_and_nothing_else_happens(rows, at: int, cut: int, junk: str) -> None:
    text = "\n".join(map(json.dumps, rows))
    at %= len(text) + 1
    found = records(text[:at] + junk + text[at + cut :])
    lines = [json.loads(line) for line in text.split("\n")] if text else []
    whole = [one.value for one in found if one.problem is None]
    # A line end that was cut, or one more, touches two lines.
    assert sum(line in whole for line in lines) >= len(lines) - 2
    assert all(one.problem is None or one.problem.startswith("f:") for one in found)


def test_lines_and_numbers() -> None:
    assert [one.place for one in records('\n{"a": 1} {"b": 2}\n[{"c": 3},\n{"d":\n4}]')] == ["2", "2.2", "3", "4"]


NOT_CLOSED = "not JSON (a bracket or quotation mark is not closed) in"
NO_JSON = "not JSON objects: "
LATIN1 = "byte 0xfc at offset"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}\n{\n{"b": 2}', [{"a": 1}, f"2: {NOT_CLOSED}", {"b": 2}]),
        ('{"t": "x:\n{"b": 2}', [f"1: {NOT_CLOSED}", {"b": 2}]),
        ('{"e": [{"s": 1},\n{"b": 2}\n{"c": 3}', [f"1: {NOT_CLOSED}", {"b": 2}, {"c": 3}]),
        ('[\n {\n  "t": "x\n },\n {\n  "b": 2\n }\n]', ["2: not JSON (Invalid control character", {"b": 2}]),
        ('[{"a": [1, 2}, {"b": 3}]', ["1: not JSON (Expecting ',' delimiter at line 1, column 13)", {"b": 3}]),
        ('{"a": 1} // x\n{"b": 2}', [{"a": 1}, f"1: {NO_JSON}'// x'", {"b": 2}]),
        ('[{"a": 1}, x, {"b": 2}]', [{"a": 1}, f"1: {NO_JSON}'x, '", {"b": 2}]),
        ("{'a': 1}\n{}", ["1: not JSON (Expecting property name enclosed in double quotes at line 1, column 2)", {}]),
        ('{"a": 1}\n{"b": [', [{"a": 1}, "2: not JSON (it has no end; the file seems to be cut off)"]),
        ('[{"a": 1},\n', [{"a": 1}, "1: the file ends inside the list that begins in line 1"]),
        ('{"a": 1}]', [{"a": 1}, f"1: {NO_JSON}']'"]),
        ("x\n{}", [f"1: {NO_JSON}'x'", {}]),
        (b'{"a": "M\xfc"}\n{}', [f"1: {LATIN1} 8 is not UTF-8", {}]),
        (b'[{"a": "M\xfc"}, {"b": 1}]', [f"1: {LATIN1} 9 is not UTF-8", {"b": 1}]),
        (b'{"a":\n"M\xfc"}\n{}', [f"2: {LATIN1} 8 is not UTF-8", {}]),
        (b"{}\n\0\0\n{}", [{}, "2: a NUL character", {}]),
    ],
)
def test_a_broken_record_leaves_the_others(text, expected) -> None:
    found = records(text)
    assert len(found) == len(expected)
    for record, known in zip(found, expected, strict=True):
        if isinstance(known, str):
            assert record.problem.startswith(f"f:{known}"), record.problem
        else:
            assert record.problem is None and record.value == known


def test_a_file_that_is_no_json_is_one_problem() -> None:
    (found,) = records("id,text\n" + "1,Sore knees\n" * 1000)
    assert found.problem.startswith("f:1: not JSON objects: 'id,text'. Expected JSON objects")
    (utf16,) = records('{"a": 1}\n{"b": 2}\n'.encode("utf-16"))
    assert "UTF-16" in utf16.problem


def test_broken_records_keep_their_ids() -> None:
    texts = [
        '{"id": "k7", "text": }',
        '{"text": "a" "id": 7',
        '{"meta": {"id": 1}, "id": 12, x}',
        '{"id": 1.5, x}',
        '{"x": {"id": 3}',
        '{"id": "a\\u00e9", }',
        '{"id": "\\ud83d", }',
        '{"a": 1, "a": 2, "id": 4}',
    ]
    assert [records(text)[0].id for text in texts] == ["k7", "7", "12", "", "", "aé", "", "4"]


def test_what_json_does_not_have() -> None:
    tally = Tally()
    (found,) = records('{"a": NaN, "b": [-Infinity]}', tally)
    assert found.value == {"a": None, "b": [None]}
    assert tally.counts == {"NaN or Infinity, which JSON does not have, read as null": 2}
    (twice,) = records('{"a": 1, "b": {"c": 1, "c": 2}}')
    assert "the key 'c' is twice in an object, with different values" in twice.problem
    assert values('{"a": 1, "a": 1}') == [{"a": 1}]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 300_000,
        '{"a":' * 100_000,
        '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"a": [\n' * 20_000,
        "{\n" * 5_000,
        '{"a":' + "[" * 500 + "}]" * 100_000,
        '"' * 200_000,
        '{"' + "\\" * 200_001 + '"}',
        '{"a": ' + "9" * 100_000 + "}",
    ],
    ids=["lists", "objects", "deep", "open-lines", "braces", "mismatched", "quotes", "backslashes", "digits"],
)
def test_hostile_files_do_no_harm(text: str) -> None:
    found = records(text + '\n{"id": "last"}')
    assert any(one.problem for one in found) and all(len(one.problem or "") < 400 for one in found)


def test_memory_holds_one_record() -> None:
    row = json.dumps({"text": "Sore knees and elbows since Monday."})
    layouts = {"lines": f"{row}\n" * 20_000, "list": "[" + f"{row},\n" * 20_000 + "{}]"}
    for layout in layouts.values():
        stream = io.BytesIO(layout.encode())
        tracemalloc.start()
        n_records = sum(1 for _ in read_json(stream, "f", Tally()))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert n_records >= 20_000 and peak < 100_000


def test_too_long_records_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genner.data.records.LONGEST", 40)
    found = records('{"id": 1, "text": "' + "a" * 60 + '"}\n{"id": 2}\n{"a": [\n' + "1,\n" * 30 + '2]}\n{"id": 3}')
    assert [one.value for one in found if one.problem is None] == [{"id": 2}, {"id": 3}]
    assert found[0].problem.startswith("f:1: not JSON (more than") and found[0].id == "1"


def test_values_in_messages_are_short() -> None:
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    assert len(shown(deep)) <= 60 and len(shown({"k" * 100: ["v" * 100] * 100} | {str(n): n for n in range(99)})) <= 60
