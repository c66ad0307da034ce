"""JSON, tables and spaCy files as inputs; files that are no text are refused; gold is known where a key is there."""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from spacy.tokens import DocBin, Span

from genner.data.schema import Entity, Segment
from genner.data.tally import Tally
from genner.errors import DataFormatError
from genner.prediction.reading import read_inputs
from genner.prediction.reading.guess import seems_json
from genner.prediction.results import TextInput, TextResult, place_entity
from genner.prediction.summary import Summary
from tests.prediction.test_reading import errors, gold, texts, write  # noqa: F401  a fixture

Write = Callable[[str, bytes | str], Path]
ROWS = [{"id": "one", "text": "Stiff neck."}, {"id": 2, "text": "Cold hands."}]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonlines", "a.unknown", "a"])
def test_lists_and_pretty_objects(indent, name: str, write: Write) -> None:  # noqa: F811
    expected = [("one", "Stiff neck."), ("2", "Cold hands.")]
    assert texts(write(name, json.dumps(ROWS, indent=indent))) == expected
    assert texts(write(name, "\n".join(json.dumps(row, indent=indent) for row in ROWS))) == expected


def test_ids_of_records_without_one_and_of_broken_ones(write: Write) -> None:  # noqa: F811
    path = write("a.jsonl", '[{"text": "a"}, {"text": "b"}]\n{"id": "k", "text": 3}\n{"id": "m", "text": }\n{"text"\n')
    inputs = list(read_inputs(path))
    assert [given.id for given in inputs] == ["a:1", "a:1.2", "k", "m", "a:4"]
    assert [bool(given.error) for given in inputs] == [False, False, True, True, True]


def test_tokens_with_places_are_words(write: Write) -> None:  # noqa: F811
    tokens = [
        {"text": "Stiff", "start": 0, "end": 5},
        {"text": " ", "start": 5, "end": 6},
        {"text": "neck.", "start": 6, "end": 11},
    ]
    span = {"start": 0, "end": 10, "label": "PAIN"}
    tally = Tally()
    rows = [{"text": "Stiff neck.", "tokens": tokens, "spans": [span]}, {"text": "Stiff  neck.", "tokens": tokens}]
    rows += [{"text": "Stiff neck.", "tokens": 2}, {"text": "Stiff neck.", "tokens": [17, 4]}]
    one, two, three, four = read_inputs(write("a.jsonl", "\n".join(map(json.dumps, rows))), tally=tally)
    assert one.words == ((0, 5), (6, 11)) and gold(one) == [("PAIN", "Stiff neck.")]
    assert two.words is three.words is four.words is None
    assert tally.counts == {
        "text whose tokens are not at their places, split into words anew": 1,
        "tokens that are no words, not used": 1,
        "annotation that starts or ends inside a word, widened to the word": 1,
    }


def scores(inputs: list[TextInput]) -> str:
    """What is said of a recogniser that finds PER in the first word of every text of one sentence."""
    summary = Summary(Tally())
    for given in inputs:
        entity = place_entity(Entity.from_flat("PER", [0, 1]), given.text, given.words)
        whole = (Segment(0, len(given.words)),)
        summary.add(TextResult(given.text, given.id, given.words, whole, (entity,), gold=given.gold))
    return next(line for line in summary.lines(Tally(), "jsonl") if line.startswith("against"))


def test_empty_gold_counts_in_every_format(write: Write, tmp_path: Path) -> None:  # noqa: F811
    """The same gold gives the same F1: a text without entities is known to have none."""
    jsonl = [
        {"words": ["Ann", "ran"], "entities": [{"type": "PER", "segments": [{"start": 0, "end": 3}]}]},
        {"words": ["Rain", "fell"], "entities": []},
    ]
    write("a.jsonl", "\n".join(map(json.dumps, jsonl)))
    write("a.conll", "Ann B-PER\nran O\n\nRain O\nfell O\n")
    write(
        "a.jsonlines",
        '{"sentences": [["Ann", "ran"]], "ners": [[[0, 0, "PER"]]]}\n{"sentences": [["Rain", "fell"]], "ners": [[]]}',
    )
    write(
        "a.json",
        json.dumps(
            [
                {"sentence": ["Ann", "ran"], "ner": [{"index": [0], "type": "PER"}]},
                {"sentence": ["Rain", "fell"], "ner": []},
            ]
        ),
    )
    for name, text, terms in (("1", "Ann ran", "T1\tPER 0 3\tAnn\n"), ("2", "Rain fell", "")):
        write(f"brat/{name}.txt", text)
        write(f"brat/{name}.ann", terms)
    found = {
        name: scores(list(read_inputs(tmp_path / name))) for name in ("a.jsonl", "a.conll", "a.jsonlines", "a.json")
    }
    found["brat"] = scores(list(read_inputs(tmp_path / "brat")))
    assert set(found.values()) == {"against the entities of the input (1): P 50.00  R 100.00  F1 66.67"}


def test_results_that_failed_are_no_gold(write: Write) -> None:  # noqa: F811
    row = {"id": "x", "text": "", "entities": [], "error": "x.txt:1: not UTF-8"}
    (given,) = read_inputs(write("a.jsonl", json.dumps(row)))
    assert given.gold is None


def test_texts_that_are_too_long_are_not_split_for_their_gold(write: Write) -> None:  # noqa: F811
    def split(text: str):
        raise AssertionError("split")

    row = {"text": "a " * 100, "entities": [{"type": "X", "segments": [{"start": 0, "end": 1}]}]}
    (given,) = read_inputs(write("a.jsonl", json.dumps(row)), split=split, max_chars=100)
    assert given.gold is None and given.error is None


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_tables(separator: str, write: Write) -> None:  # noqa: F811
    rows = [["ID", " Text ", "n"], ["1", '"Stiff neck, and;\r\ncold ""hands"""', "3"], [], ["", "Sore arms", ""]]
    path = write("a.csv", "\ufeff" + "\r\n".join(separator.join(row) for row in rows))
    assert texts(path) == [("1", 'Stiff neck, and;\ncold "hands"'), ("a:5", "Sore arms")]
    assert texts(path, "csv") == texts(path)


def test_rows_that_are_broken_leave_the_others(write: Write) -> None:  # noqa: F811
    path = write("a.csv", b'id,text\n1,a,b\n2,"x"y\n3,M\xfc\n4,"one\ntwo"\n5,fine\n6,"open\n7,lost\n')
    inputs = list(read_inputs(path))
    assert [(given.id, given.text) for given in inputs if not given.error] == [("4", "one\ntwo"), ("5", "fine")]
    expected = [
        ":2: 3 cells in ['1', 'a', 'b'], but 2 in the header",
        ":3: ',' expected after '\"'",
        ":4: byte 0xfc",
        ":8: unexpected end of data",
    ]
    found = [one.removeprefix(str(path)) for one in errors(path) if one]
    assert [one[: len(known)] for one, known in zip(found, expected, strict=True)] == expected


def test_tables_without_a_text(write: Write) -> None:  # noqa: F811
    for name, content in (("a.tsv", "Stiff\tO\nneck\tB-BODY\n"), ("a.csv", "1,2\n3,4\n"), ("b.csv", "")):
        (message,) = errors(write(name, content))
        assert f"{name}:1: no column 'text' in [" in message and "say with --format what the file is" in message
    assert texts(write("a.tsv", "Stiff\tO\nneck\tB-BODY\n"), "conll") == [("a:1", "Stiff neck")]
    (message,) = errors(write("a.csv", "id,text\n1,a\n".encode("utf-16")))
    assert "UTF-16" in message


@pytest.mark.parametrize("ending", ["xml", "html", "pdf", "docx", "gz", "bz2", "zip", "parquet", "rtf", "png"])
def test_what_is_no_text_is_refused(ending: str, write: Write) -> None:  # noqa: F811
    path = write(f"notes.{ending}", "<a>Sore knees.</a>\n")
    with pytest.raises(
        DataFormatError, match=rf"notes.{ending}: .*(no plain text|compressed).* Expected .*(--format lines|--input -)"
    ):
        read_inputs(path)
    assert texts(path, "lines") == [("notes:1", "<a>Sore knees.</a>")]


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.7\nSore",
        b"PK\x03\x04",
        gzip.compress(b"Sore knees", mtime=0),  # the same name of the test in every process
        b"{\\rtf1 Sore",
        b"<?xml version='1.0'?><a>Sore</a>",
        b"\xef\xbb\xbf\n <!DOCTYPE html><p>Sore",
        b"<html>",
    ],
)
@pytest.mark.parametrize("name", ["notes", "notes.txt", "notes.md"])
def test_what_begins_like_no_text_is_refused(content: bytes, name: str, write: Write) -> None:  # noqa: F811
    (message,) = errors(write(name, content))
    assert "no plain text. Expected text, JSON or columns. Export its text" in message


def test_other_endings_are_told(write: Write) -> None:  # noqa: F811
    tally = Tally()
    list(read_inputs(write("notes.md", "Sore knees.\n"), tally=tally))
    list(read_inputs(write("notes.txt", "Sore knees.\n"), tally=tally))
    assert tally.counts == {"file with an unknown ending, read by line": 1}


def test_standard_input_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(content: str) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        return [given.text or given.error or "" for given in read_inputs("-")]

    assert read(json.dumps(ROWS, indent=1)) == read("\n".join(map(json.dumps, ROWS))) == ["Stiff neck.", "Cold hands."]
    assert read("{sic} a line\n[1] Lee\n") == ["{sic} a line", "[1] Lee"]
    assert "no plain text" in read("<html><p>Sore")[0]


def test_what_seems_json() -> None:
    yes = [
        '{"a": 1}',
        '{\n "a": 1',
        "[\n {",
        '[{"a": 1}, {"b"' + " " * 2000,
        '["t", {"entities": []}]',
        "{",
        '{"a": "' + "x" * 5000,
    ]
    no = ["{sic}", "[1] Lee", "[sic]", '"a"', "3", "", "[", '{"a" is a key', "{}{"]
    assert [text for text in yes if not seems_json(text.encode())] == []
    assert [text for text in no if seems_json(text.encode())] == ["["]


def test_spacy_files(tmp_path: Path) -> None:
    import spacy

    made = spacy.blank("en")
    docs = [made("Ann Moss ran.  Home\n"), made("Sore knees."), made("")]
    docs[0].ents = [Span(docs[0], 0, 2, "PER")]
    docs[0][4].is_sent_start = True
    docs[1].spans["sc"] = [Span(docs[1], 0, 2, "PAIN"), Span(docs[1], 1, 2, "BODY")]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    one, two, three = read_inputs(tmp_path / "train.spacy")
    assert (one.id, one.text, gold(one)) == ("train:1", docs[0].text, [("PER", "Ann Moss")])
    assert [one.text[slice(*span)] for span in one.words] == ["Ann", "Moss", "ran", ".", "Home"]
    assert one.sentences == ((0, 4), (4, 5)) and two.sentences is None
    assert gold(two) == [("PAIN", "Sore knees"), ("BODY", "knees")] and three.gold == ()


@pytest.mark.parametrize(
    "content", [b"", b"junk", zlib.compress(b"junk"), zlib.compress(b"\x80"), zlib.compress(b"\x81\xa5attrs\x90")]
)
def test_broken_spacy_files(content: bytes, write: Write) -> None:  # noqa: F811
    (message,) = errors(write("a.spacy", content))
    assert "a.spacy: not a file of spaCy documents (" in message and "Write it anew with your version" in message
