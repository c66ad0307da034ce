"""What is read out of files: every format, ids, places, and that what is broken is told while the others go on."""

import io
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from genner.data.lines import LONGEST, LineReader
from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.tally import Tally
from genner.errors import ConfigError, DataFormatError
from genner.prediction.reading import FORMATS, read_inputs
from genner.prediction.results import TextInput
from tests.data.test_awkward import COUNTS, KINDS


@pytest.fixture()
def write(tmp_path: Path) -> Callable[[str, bytes | str], Path]:
    def write_file(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return write_file


def texts(path: Path, name: str = "auto") -> list[tuple[str, str]]:
    return [(given.id, given.text) for given in read_inputs(path, name)]


def errors(path: Path, name: str = "auto") -> list[str]:
    return [given.error or "" for given in read_inputs(path, name)]


def gold(given: TextInput) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in given.gold]


def test_lines_are_documents_empty_ones_too(write) -> None:
    path = write("notes.txt", b"\xef\xbb\xbfSore knees.\r\n\n  Ann\tran \nthe\x0bend\xc2\x85")
    expected = [("notes:1", "Sore knees."), ("notes:2", ""), ("notes:3", "  Ann\tran "), ("notes:4", "the\x0bend\x85")]
    assert texts(path) == texts(path, "lines") == expected
    assert texts(write("empty.txt", "")) == []


def test_a_file_is_a_document_with_its_line_ends(write) -> None:
    path = write("note.txt", b"\xef\xbb\xbfSore\r\nknees.\n")
    assert texts(path, "text") == [("note", "Sore\r\nknees.\n")]
    assert next(read_inputs(path, "text")).words is None


def test_objects_with_text_or_words(write) -> None:
    rows = [
        {"id": 7, "text": "Sore\nknees"},
        {"text": "", "other": [1]},
        {"words": ["Sore", "knees."], "id": "x"},
        {"raw_words": ["R- 1", "x"], "id": None},
        {"tokens": ["Sore", "knees", "."], "text": "Sore  knees."},
    ]
    path = write("a.jsonl", "\n\n".join(map(json.dumps, rows)) + "\n")
    inputs = list(read_inputs(path))
    assert [given.error for given in inputs] == [None] * 5
    assert [given.id for given in inputs] == ["7", "a:3", "x", "a:7", "a:9"]
    assert inputs[0].text == "Sore\nknees" and inputs[0].words is None
    assert [[given.text[start:end] for start, end in given.words] for given in inputs[2:]] == [
        ["Sore", "knees."], ["R- 1", "x"], ["Sore", "knees", "."],
    ]  # fmt: skip
    assert inputs[4].words[1] == (6, 11)
    assert all(given.gold is None for given in inputs)


def test_objects_with_entities_are_gold(write) -> None:
    entity = {"type": "PAIN", "segments": [{"start": 0, "end": 4}, {"start": 15, "end": 21}]}
    rows = [
        {"text": "Sore knees and elbows.", "entities": [entity, entity]},
        {"text": "Sore", "entities": []},
        {"text": "Sore", "entities": [entity]},
    ]
    tally = Tally()
    inputs = list(read_inputs(write("a.jsonl", "\n".join(map(json.dumps, rows))), tally=tally))
    assert gold(inputs[0]) == [("PAIN", "Sore elbows")] and inputs[0].gold[0].words.flat == [0, 1, 3, 4]
    assert inputs[1].gold == () and inputs[2].gold == ()
    assert tally.counts == {
        "duplicate annotation, counted once": 1, "annotation that ends after its text, dropped": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"a.jsonl:2: not JSON \(.*\) in '\{'. Expected JSON objects: one per line, .*Correct it there"),
        ("[1]", r"a.jsonl:2: JSON, but not an object: \[1\]. Expected one of"),
        ('{"txt": "a"}', r"a.jsonl:2: no shape that is known in the keys \['txt'\]. Expected one of: .*Rename"),
        ('{"text": null}', r"a.jsonl:2: 'text' is None. Expected a text"),
        ('{"sentences": ["a b"]}', r"a.jsonl:2: sentence 'a b'. Expected a list of words. Split it"),
        ('{"words": "a b"}', r"a.jsonl:2: 'words' is 'a b'. Expected a list of words"),
        ('{"words": ["a", ""]}', r"a.jsonl:2: word 1 of a sentence is ''. Expected text that is not empty"),
        ('{"text": "a b", "words": ["b", "a"]}', r"a.jsonl:2: the word 'a' is not in 'text' after the words before"),
        ('{"text": "a", "id": [1]}', r"a.jsonl:2: the id \[1\]. Expected a string or an integer"),
        ('{"text": "a", "id": true}', r"a.jsonl:2: the id True. Expected a string or an integer"),
        (r'{"text": "\ud83d"}', r"a.jsonl:2: '\\ud83d' contains a lone surrogate"),
        ('{"text": "a", "entities": 3}', r"a.jsonl:2: 'entities' is 3. Expected a list"),
        ('{"text": "a", "entities": [{"type": "X"}]}', r"a.jsonl:2: the entity .*. Expected \[start, end, \"TYPE"),
        ('{"text": "a", "entities": [{"type": "X", "segments": [{"start": -1, "end": 1}]}]}', r"a.jsonl:2: the entity"),
        ('{"text": "a", "text": "b"}', r"a.jsonl:2: the key 'text' is twice in an object.* Expected every key once"),
        ("[" * 100_000, r"a.jsonl:2: not JSON"),
        ("caf\xe9", r"a.jsonl:2: byte 0xe9 at offset 19 is not UTF-8; .* ISO-8859-1. Expected UTF-8. Run: iconv"),
        ("a\0b", r"a.jsonl:2: a NUL character; .* Expected UTF-8. Run: tr "),
    ],
)
def test_a_broken_line_is_told_and_the_others_go_on(write, line: str, message: str) -> None:
    path = write("a.jsonl", b'{"text": "one"}\n' + line.encode("latin1") + b'\n{"text": "two"}\n')
    one, broken, two = read_inputs(path)
    assert (one.text, two.text) == ("one", "two") and one.error is None and two.error is None
    assert broken.id == "a:2" and broken.text == ""
    assert re.search(message, broken.error), broken.error
    assert str(path) in broken.error


def test_lines_that_are_not_utf8_leave_the_others(write) -> None:
    path = write("a.txt", b"one\nM\xfcnchen\nthree\n\xff\n")
    assert [given.text for given in read_inputs(path)] == ["one", "", "three", ""]
    command = f"iconv -f ISO-8859-1 -t UTF-8 < {path} > {path}.new && mv {path}.new {path}"
    advice = f"the file seems to be ISO-8859-1. Expected UTF-8. Run: {command}"
    assert errors(path) == [
        "",
        f"{path}:2: byte 0xfc at offset 5 is not UTF-8; {advice}",
        "",
        f"{path}:4: byte 0xff at offset 18 is not UTF-8; {advice}",
    ]
    (message,) = errors(path, "text")
    assert message.startswith(f"{path}:2: byte 0xfc at offset 5 is not UTF-8")


@pytest.mark.parametrize("name", ["lines", "jsonl", "conll", "nested", "discontinuous"])
def test_a_file_in_another_encoding_is_one_error(write, name: str) -> None:
    path = write("a.txt", "one\ntwo\nthree\n".encode("utf-16"))
    (message,) = errors(path, name)
    assert "a.txt:1: byte 0xff at offset 0 is not UTF-8; the file seems to be UTF-16. Expected UTF-8. Run" in message


def test_offsets_count_the_byte_order_mark(write) -> None:
    path = write("a.txt", b"\xef\xbb\xbfab\xff\nc\xff\n")
    assert [message.split(" is ")[0].split(": ")[1] for message in errors(path)] == [
        "byte 0xff at offset 5", "byte 0xff at offset 8",
    ]  # fmt: skip


def test_columns(write) -> None:
    path = write("a.conll", "Ann B-PER\nran O\n\nSore B-PAIN\nknees I-PAIN\n")
    one, two = read_inputs(path)
    assert (one.id, one.text, gold(one)) == ("a:1", "Ann ran", [("PER", "Ann")])
    assert (two.id, two.text, gold(two)) == ("a:4", "Sore knees", [("PAIN", "Sore knees")])


def test_words_without_tags_have_no_known_entities(write) -> None:
    path = write("a.conll", "Ann\nran\n\n# id 4\nSore\nknees\n")
    tally = Tally()
    assert [(given.text, given.gold) for given in read_inputs(path, tally=tally)] == [
        ("Ann ran", None),
        ("Sore knees", None),
    ]
    assert tally.counts == {"line that starts with '#', skipped": 1}
    path = write("b.conll", "-DOCSTART-\n\nAnn\n\nran\n\n-DOCSTART-\n\nSore\nknees\n")
    assert [(given.text, given.gold) for given in read_inputs(path)] == [("Ann ran", None), ("Sore knees", None)]


def test_columns_of_other_schemes_and_of_csv(write) -> None:
    path = write("a.conll", "Ann B-PER\nPoe E-PER\nran O\n\nOslo S-LOC\n")
    tally = Tally()
    assert [gold(given) for given in read_inputs(path, tally=tally)] == [[("PER", "Ann Poe")], [("LOC", "Oslo")]]
    assert tally.counts == {"entity tagged in the scheme BIOES": 2}
    path = write("a.csv", "Sentence #,Word,Tag\n1,Ann,B-PER\n,ran,O\n2,Oslo,B-LOC\n")
    assert [gold(given) for given in read_inputs(path, "conll")] == [[("PER", "Ann")], [("LOC", "Oslo")]]


def test_documents_of_columns(write) -> None:
    first = "before O\n\n"
    path = write("a.conll", first + "-DOCSTART- O\n\nAnn B-PER\n\nran O\n\n-DOCSTART- O\n\n-DOCSTART- O\n\nSore B-X\n")
    inputs = list(read_inputs(path))
    assert [given.text for given in inputs] == ["before", "Ann ran", "", "Sore"]
    assert [given.id for given in inputs] == ["a:1", "a:3", "a:9", "a:11"]
    assert inputs[1].sentences == ((0, 1), (1, 2)) and gold(inputs[1]) == [("PER", "Ann")]


def test_a_broken_sentence_of_columns_leaves_the_others(write) -> None:
    path = write("a.conll", b"Ann B-PER\nran O\n\nM\xfcnchen O\nx O\n\nx\n\nSore B-X\n")
    one, two, three, four = read_inputs(path)
    assert (one.error, four.error, four.text) == (None, None, "Sore")
    assert "a.conll:4: byte 0xfc at offset 18 is not UTF-8" in two.error and two.id == "a:4"
    assert "a.conll:7: 1 column in 'x'. Expected a word and a tag" in three.error
    broken = write("b.conll", "-DOCSTART- O\n\nAnn B-PER\n\nx\n\n-DOCSTART- O\n\nSore B-X\n")
    first, second = read_inputs(broken)
    assert "b.conll:5: 1 column" in first.error and (first.id, second.text) == ("b:1", "Sore")


def test_nested_documents(write) -> None:
    good = json.dumps({"sentences": [["Ann", "ran"], ["Sore"]], "ners": [[[0, 0, "PER"], [0, 1, "X"]], []]})
    path = write("a.jsonlines", f"{good}\n\n{{}}\n{good}\n")
    one, broken, two = read_inputs(path)
    assert one.text == two.text == "Ann ran Sore" and one.sentences == ((0, 2), (2, 3))
    assert gold(one) == [("PER", "Ann"), ("X", "Ann ran")]
    assert "a.jsonlines:3: no shape that is known in the keys []. Expected one of" in broken.error
    assert broken.id == "a:3"
    only_words = write("b.jsonlines", '{"sentences": [["Ann", "ran"]]}\n{"id": "x", "ners": [[]]}\n')
    words, broken = read_inputs(only_words)
    assert (words.text, words.gold) == ("Ann ran", None)
    assert "b.jsonlines:2: the key 'sentences' is missing" in broken.error and broken.id == "x"


def test_discontinuous_records(write) -> None:
    path = write("a.txt", "Sore knees and elbows\n0,0,3,3 PAIN\n\nx  y\n\n\nfine\n\n\n")
    one, broken, two = read_inputs(path, "discontinuous")
    assert gold(one) == [("PAIN", "Sore elbows")] and one.id == "a:1"
    assert "a.txt:4: two blanks in a row" in broken.error
    assert (two.text, two.gold, two.id) == ("fine", (), "a:7")
    shifted = write("b.txt", "one\n\n\ntwo\n\nx\nthree\n\n\n")
    assert [given.text for given in read_inputs(shifted, "discontinuous")] == ["one", ""]
    assert "b.txt:6: 'x' in the third line of a record" in errors(shifted, "discontinuous")[1]


@pytest.mark.parametrize("name", ["conll", "nested", "discontinuous"])
def test_files_of_another_format_are_one_error(write, name: str) -> None:
    contents = {
        "nested": "Ann B-PER\nran O\n",
        "conll": '{"sentences": [["a"]], "ners": [[]]}\n' * 3,
        "discontinuous": "Ann B-PER\nran O\n\n" * 3,
    }
    (message,) = errors(write("a.txt", contents[name]), name)
    assert "a.txt: the file looks like" in message and "Give --format " in message


def test_brat(write, tmp_path: Path) -> None:
    text = "Sore knees\r\nand elbows. Ann\u2028ran.\n"
    write("b/one.txt", text)
    terms = ["T1\tPAIN 0 4;16 22\tSore elbows", "T2\tPER 24 31\tAnn\u2028ran", "T3\tPAIN 1 4\tore", "T4\tX 90 95\tzz"]
    write("b/one.ann", "\n".join([*terms, "#1\tNote T1\tx\n"]))
    write("b/sub/two.txt", "Ann ran.")
    write("b/three.ann", "")
    tally = Tally()
    one, two = read_inputs(tmp_path / "b", tally=tally)
    assert (one.id, one.text, two.id, two.gold) == ("one", text, "sub/two", None)
    assert sorted(gold(one)) == [("PAIN", "Sore"), ("PAIN", "Sore elbows"), ("PER", "Ann\u2028ran")]
    assert tally.counts == {
        "note, no entity, left out": 1,
        "annotation that ends after its text, dropped": 1,
        "annotation that starts or ends inside a word, widened to the word": 1,
        "annotation file without a text, left out": 1,
    }
    write("b/one.ann", "T1 PAIN 0 4 Sore\n")
    broken, _ = read_inputs(tmp_path / "b")
    assert "one.ann:1: 'T1 PAIN 0 4 Sore'. Expected 'T1<tab>LABEL start end" in broken.error
    assert texts(tmp_path / "b" / "one.txt", "text") == [("one", text)]


def test_brat_counts_line_ends_as_its_offsets_do(write) -> None:
    path = write("one.txt", "Sore\r\nknees")
    for offsets in ("6 11", "5 10"):
        write("one.ann", f"T1\tX {offsets}\tknees\n")
        (given,) = read_inputs(path)
        assert gold(given) == [("X", "knees")]


def test_a_folder_is_read_in_order_with_ids_of_its_own(write, tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/a.jsonl", "a/a.txt", "a-1.text", ".hidden.txt", "x.pdf", "a/.git/c.txt"):
        write(f"in/{name}", '{"text": "t"}')
    tally = Tally()
    ids = [given.id for given in read_inputs(tmp_path / "in", tally=tally)]
    assert ids == ["a-1", "b", "a/a.jsonl:1", "a/a.txt", "a/z"]
    assert tally.counts == {
        "hidden file, left out": 1, "hidden folder, left out": 1, "file with an unknown ending, left out": 1,
    }  # fmt: skip
    assert [given.id for given in read_inputs(tmp_path / "in", "jsonl")] == ["a/a:1"]
    (tmp_path / "in" / "a" / "a.jsonl").unlink()
    with pytest.raises(DataFormatError, match=r"in: no file to read. Expected files that end in .jsonlines .jsonl"):
        list(read_inputs(tmp_path / "in", "nested"))


def test_files_that_cannot_be_read_are_told(write, tmp_path: Path) -> None:
    write("in/a.txt", "one")
    (tmp_path / "in" / "b.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "c.txt").mkdir()
    os.mkfifo(tmp_path / "in" / "d.txt")
    write("in/e.txt", "two")
    tally = Tally()
    inputs = list(read_inputs(tmp_path / "in", tally=tally))
    assert [given.text for given in inputs] == ["one", "", "two"]
    assert "b.txt: cannot be read (No such file or directory). Expected a readable file" in inputs[1].error
    assert tally.counts == {"neither file nor folder, left out": 1}


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def stdin(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    stdin(b"one\ntwo\xff\n")
    one, two = read_inputs("-")
    assert (one.id, one.text, two.id) == ("stdin:1", "one", "stdin:2")
    assert two.error.startswith("standard input:2: byte 0xff at offset 7 is not UTF-8")
    stdin(b"one\ntwo")
    assert [(given.id, given.text) for given in read_inputs("-", "text")] == [("stdin", "one\ntwo")]
    stdin(b"one\ntw\xff")
    assert [given.error[:44] for given in read_inputs("-", "text")] == ["standard input:2: byte 0xff at offset 6 is n"]
    stdin(b"Ann B-PER\n")
    assert [gold(given) for given in read_inputs("-", "conll")] == [[("PER", "Ann")]]
    with pytest.raises(ConfigError, match=r"format: brat is several files. Expected a folder or a .txt file"):
        read_inputs("-", "brat")


def test_wrong_sources_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=r"nowhere: no such file or folder. Expected one, or - for standard"):
        read_inputs(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"format: unknown 'xml'. Expected one of auto, lines, text, csv, jsonl"):
        read_inputs(tmp_path, "xml")


@pytest.mark.parametrize("name", ["lines", "jsonl", "conll", "nested", "discontinuous"])
def test_memory_does_not_grow_with_the_file(write, name: str) -> None:
    record = {
        "lines": "Sore knees and elbows since Monday.\n",
        "jsonl": '{"text": "Sore knees and elbows since Monday."}\n',
        "conll": "Sore B-PAIN\nknees I-PAIN\n\n",
        "nested": '{"sentences": [["Sore", "knees"]], "ners": [[[0, 1, "PAIN"]]]}\n',
        "discontinuous": "Sore knees\n0,1 PAIN\n\n",
    }[name]
    path = write("a.txt", record * 40_000)
    tracemalloc.start()
    inputs = read_inputs(path, name)
    assert sum(1 for _ in islice(inputs, 5_000)) == 5_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000 < path.stat().st_size


def test_a_long_line_is_a_text(write) -> None:
    path = write("a.txt", "word " * 2_000_000 + "\nnext\n")
    one, two = read_inputs(path)
    assert (len(one.text), two.text) == (10_000_000, "next")


def test_a_line_that_is_too_long_is_told_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST > 100_000_000
    monkeypatch.setattr("genner.data.lines.LONGEST", 10)
    lines = LineReader(io.BytesIO(b"short\n" + b"x" * 35 + b"\n\xff\n0123456789\nlast"), "s")
    assert [(line, lines.problem(number)) for number, line in enumerate(lines, 1)] == [
        ("short", None),
        ("?", "s:2: a line of more than 10 bytes. Expected shorter ones. Split it."),
        ("\ufffd", "s:3: byte 0xff at offset 42 is not UTF-8; the file seems to be ISO-8859-1. Expected UTF-8. Run: "
         "iconv -f ISO-8859-1 -t UTF-8 < s > s.new && mv s.new s"),
        ("0123456789", None),
        ("last", None),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_awkward_files_go_through(kind: str, shared_data: Path) -> None:
    """What the loaders read comes out as inputs with the same words and entities; what they refuse, as errors."""
    paths = sorted((shared_data / "awkward").glob(f"{kind}_*"))
    assert len(paths) == COUNTS[kind]
    for path in paths:
        inputs = list(read_inputs(path, KINDS[kind]))
        assert len({given.id for given in inputs}) == len(inputs)
        try:
            examples, report = LOADERS[KINDS[kind]](path, LoaderOptions(max_words=None, is_training=False))
        except DataFormatError as error:
            is_read = path.stem in ("nested_missing_ners", "nested_key_ner")  # words alone; the shape of DyGIE++
            assert is_read or str(error) in [given.error for given in inputs]
            continue
        assert [given.error for given in inputs if given.error] == []
        words = [given.text[start:end] for given in inputs for start, end in given.words]
        assert words == [word for example in examples for word in example.words]
        assert sum(len(given.gold) for given in inputs) == sum(len(example.entities) for example in examples)
        tally = Tally()
        list(read_inputs(path, KINDS[kind], tally=tally))
        assert tally.counts == report.counts


def test_awkward_files_are_plain_text_as_well(shared_data: Path) -> None:
    paths = sorted((shared_data / "awkward").glob("*.txt"))
    for path in paths:
        lines = [given.error or given.text for given in read_inputs(path)]
        assert len(lines) == path.read_bytes().count(b"\n") + (not path.read_bytes().endswith(b"\n") and len(lines) > 0)
    assert len(paths) > 70


def test_every_format_has_a_line_of_help() -> None:
    assert all(one.help and one.endings for one in FORMATS.values())


def test_a_carriage_return_in_the_header_of_a_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,text\rmore,x\n1,a\n")
    (found,) = read_inputs(tmp_path / "a.csv", "csv")
    assert "a.csv:1: no column 'text'" in found.error
