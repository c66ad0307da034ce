"""Nested and discontinuous files: mentions, their repairs and errors, and the cutting of long sentences."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner.data.loaders import LOADERS, LoaderOptions, LoadReport
from genner.data.loaders.nested_jsonl import cut
from genner.data.schema import Entity, Example, Segment
from genner.errors import DataFormatError


@pytest.fixture
def load_nested(tmp_path):
    """Load one document of one sentence, or the given text."""

    def load(mentions=(), words=("a", "b", "c", "d"), text=None, **options):
        path = tmp_path / "broken.jsonlines"
        line = json.dumps({"ners": [list(mentions)], "sentences": [list(words)]})
        path.write_text(line if text is None else text, encoding="utf-8")
        return LOADERS["nested"](path, LoaderOptions(**options))

    return load


@pytest.fixture
def load_disc(tmp_path):
    def load(text, **options):
        path = tmp_path / "broken.txt"
        path.write_text(text, encoding="utf-8", newline="")
        return LOADERS["discontinuous"](path, LoaderOptions(**options))

    return load


def spans(examples):
    return [[(entity.label, *entity.flat) for entity in example.entities] for example in examples]


def test_nested_fixture(fixtures_dir):
    examples, _ = LOADERS["nested"](fixtures_dir / "loaders" / "nested.jsonlines", LoaderOptions())
    assert spans(examples) == [
        [("ORG", 0, 3), ("LOC", 2, 3)],
        [],
        [("DNA", 0, 2), ("protein", 1, 2), ("DNA", 1, 4)],
    ]
    assert [x.document for x in examples] == [0, 0, 1]


def test_nested_repairs_are_counted(load_nested):
    examples, report = load_nested([[2, 1, "X"], [1.0, 2.0, "X"], [0, 9, "X"], [0, 0, " X "], [0, 0, "X", "a"]])
    assert spans(examples) == [[("X", 0, 1), ("X", 1, 3)]]
    assert report.counts == {
        "mention whose end is before its start, dropped": 1,
        "offset written as a float, read as an integer": 2,
        "mention that ends after its sentence, dropped": 1,
        "blank around a type, ignored": 1,
        "mention with more than start, end and type, the rest ignored": 1,
        "duplicate mention, counted once": 1,
    }


def test_nested_order_does_not_depend_on_the_file(load_nested):
    mentions = [[1, 1, "Y"], [1, 1, "X"], [0, 3, "X"], [1, 2, "Z"]]
    first, _ = load_nested(mentions)
    second, _ = load_nested(mentions[::-1])
    assert spans(first) == spans(second) == [[("X", 0, 4), ("X", 1, 2), ("Y", 1, 2), ("Z", 1, 3)]]


def test_nested_compat_keeps_duplicates_and_the_order_of_equals(load_nested):
    examples, _ = load_nested([[1, 1, "Y"], [1, 1, "X"], [1, 1, "Y"], [2, 1, "X"]], compat=True)
    assert spans(examples) == [[("y", 1, 2), ("x", 1, 2), ("y", 1, 2)]]


def test_nested_empty_sentences_and_documents(load_nested):
    text = '{"ners": [], "sentences": []}\n{"ners": [[], [[0, 0, "X"]]], "sentences": [[], ["a"]]}\n'
    examples, report = load_nested(text=text)
    assert spans(examples) == [[("X", 0, 1)]] and examples[0].document == 1
    assert report.places == {"sentence without words, skipped": ["broken.jsonlines:2"]}


@pytest.mark.parametrize(
    ("mentions", "message"),
    [
        ([[0, 4, "X"]], r"broken.jsonlines:1: mention 0..4 in a sentence of 4 words.*Subtract 1 .*exclusive"),
        ([[5, 6, "X"]], r"mention 5..6 starts after the end of a sentence of 4 words.*document"),
        ([[-2, -1, "X"]], r"offset -2 in mention"),
        ([["1", "2", "X"]], r"offset '1' in mention"),
        ([[1.5, 2, "X"]], "offset 1.5"),
        ([[True, 2, "X"]], "offset True"),
        ([[None, 2, "X"]], "offset None"),
        ([[float("nan"), 2, "X"]], "offset None"),
        ([[1, 2, None]], "type None in mention"),
        ([[1, 2, " "]], "type ' ' in mention"),
        ([[1, 2, 3]], "type 3 in mention"),
        ([[1, 2]], r"mention \[1, 2\]. Expected \[start, end, \"TYPE\"\]"),
        ([{"start": 1}], "mention {'start': 1}. Expected"),
        ([[1, 2, "\ud83d"]], "lone surrogate"),
    ],
)
def test_broken_mentions(mentions, message, load_nested):
    with pytest.raises(DataFormatError, match=message):
        load_nested(mentions)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "", "b"], "word 1 of a sentence is ''.*placeholder"),
        (["a", None], "word 1 of a sentence is None"),
        (["a", 7], "word 1 of a sentence is 7"),
        (["\ud83d", "x"], "broken.jsonlines:1: .*lone surrogate"),
    ],
)
def test_broken_words(words, message, load_nested):
    with pytest.raises(DataFormatError, match=message):
        load_nested([], words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sentences": [["a"]]}', "the key 'ners' is missing, found .'sentences'."),
        ('{"ners": [[]]}', "the key 'sentences' is missing"),
        ('{"ner": [[]], "sentences": [["a"]]}', "the key 'ners' is missing, found .'ner', 'sentences'."),
        ('{"ners": [[]], "sentences": [["a"], ["b"]]}', "2 sentences but 1 lists in 'ners'"),
        ('{"ners": null, "sentences": []}', "'ners' is None, not a list"),
        ('{"ners": [3], "sentences": [["a"]]}', "3 in 'ners'"),
        ('{"ners": [[]], "sentences": ["a b"]}', "sentence 'a b'. Expected a list of words"),
        ('["a", 1]', "JSON, but not an object.*Expected one JSON object per line"),
        ("[\n {", "broken.jsonlines:2: not JSON .*Expected JSON objects: one per line"),
        ('{"ners": [], "sentences": []}\n{"ners": [[[0', "broken.jsonlines:2: not JSON"),
        ("[" * 100_000, "broken.jsonlines:1: not JSON"),
        ('{"ners": [[[' + "9" * 5000 + ', 1, "X"]]], "sentences": [["a"]]}', "broken.jsonlines:1: not JSON"),
    ],
)
def test_broken_documents(text, message, load_nested):
    with pytest.raises(DataFormatError, match=message):
        load_nested(text=text)


def test_discontinuous_fixture(fixtures_dir):
    examples, _ = LOADERS["discontinuous"](fixtures_dir / "loaders" / "discontinuous.txt", LoaderOptions())
    assert spans(examples) == [
        [("ADR", 0, 1, 3, 5), ("ADR", 0, 2, 4, 5), ("Time", 6, 7)],
        [],
        [("ADR", 1, 2, 4, 5)],
    ]
    assert examples[2].words == ("a", "dull", "|", "sharp", "ache")


def test_discontinuous_repairs_are_counted(load_disc):
    text = "a b c d e \n3,3,0,1 X| 0,2,2,3 Y|0,1,2,2\tZ||1,0,3,3 X|0,0,3,9 X|0,0,8,9 X|"
    text += "4,4 Adverse Event|4,4 Adverse Event\n"
    examples, report = load_disc(text)
    assert spans(examples) == [[("Z", 0, 3), ("X", 0, 2, 3, 4), ("Y", 0, 4), ("Adverse Event", 4, 5)]]
    assert report.counts == {
        "blank after the last word, ignored": 1,
        "mention with parts out of order, sorted": 1,
        "blank around a mention, ignored": 1,
        "mention with parts that overlap or touch, merged": 2,
        "tab or several blanks before a type, read as one blank": 1,
        "empty field between bars, ignored": 1,
        "mention whose end is before its start, dropped": 1,
        "mention that ends after its sentence, dropped": 2,
        "blank in the type 'Adverse Event', kept": 2,
        "duplicate mention, counted once": 1,
    }


def test_discontinuous_compat(load_disc):
    examples, _ = load_disc("a  b c\n2,2,0,0 X|0,0,1,1 X|0,0,2,2 Y\n", compat=True)
    assert examples[0].words == ("a", "", "b", "c")
    assert spans(examples) == [[("x", 0, 1, 1, 2), ("x", 0, 1, 2, 3), ("y", 0, 1, 2, 3)]]


def test_discontinuous_empty_lines_between_records(load_disc):
    examples, report = load_disc("a\n\n\n\n\nb\n0,0 X\n\n\n")
    assert [x.words for x in examples] == [("a",), ("b",)]
    assert report.places == {"empty line where a sentence should start, skipped": ["broken.txt:4", "broken.txt:5"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b\n\nc d\n0,0 X\n", "broken.txt:3: 'c d' in the third line of a record. Expected three lines"),
        ("a b\n0,0 X\nc\n", "broken.txt:3: 'c' in the third line"),
        ("id-17\na b\n0,0 X\n\n", "broken.txt:3: '0,0 X' in the third line"),
        ("a  b\n0,0 X\n", "broken.txt:1: two blanks in a row .* word indices are not certain"),
        (" a b\n0,0 X\n", "broken.txt:1: two blanks in a row or one at the start"),
        ("a\tb\n0,0 X\n", "broken.txt:1: a tab in"),
        ("a b\n0,0,1 X\n", "broken.txt:2: mention '0,0,1 X'. Expected 'start,end Type'"),
        ("a b\n0,0\n", "broken.txt:2: mention '0,0'"),
        ("a b\n0,0 \n", "broken.txt:2: mention '0,0'"),
        ("a b\n0, 0 X\n", "broken.txt:2: mention '0, 0 X'"),
        ("a b\n0 0 X\n", "broken.txt:2: mention '0 0 X'"),
        ("a b\n0,0 1,1 X\n", "broken.txt:2: mention '0,0 1,1 X'"),
        ("a b\n0,0;1,1 X\n", "broken.txt:2: mention '0,0;1,1 X'"),
        ("a b\n-1,0 X\n", "broken.txt:2: mention '-1,0 X'"),
        ("a b\n0.0,1.0 X\n", "broken.txt:2: mention '0.0,1.0 X'"),
        ("a b\n0," + "9" * 5000 + " X\n", "broken.txt:2: mention"),
        ("a b\nX 0,0\n", "broken.txt:2: mention 'X 0,0'"),
        ("a b\n0,2 X\n", "broken.txt:2: mention 0..2 in a sentence of 2 words"),
        ("a b\n2,3 X\n", "broken.txt:2: mention 2..3 starts after the end of a sentence of 2 words"),
    ],
)
def test_broken_records(text, message, load_disc):
    with pytest.raises(DataFormatError, match=message):
        load_disc(text)


def long_example(n_words, ends, entities=()):
    words = tuple(f"w{i}." if i in ends else f"w{i}" for i in range(n_words))
    return Example(words, tuple(Entity("X", (Segment(*span),)) for span in entities), 3)


def pieces(example, tmp_path, **options):
    report = LoadReport(tmp_path / "f")
    return cut(example, 1, report, LoaderOptions(**options)), report


def test_cut_at_the_last_sentence_end_that_no_entity_crosses(tmp_path):
    # Ends after words 3, 7 and 9; the limit is 10 words; an entity lies across the end at 9.
    example = long_example(14, {3, 7, 9}, [(2, 4), (8, 12)])
    parts, report = pieces(example, tmp_path, max_words=10)
    assert [len(part.words) for part in parts] == [8, 6]
    assert [[e.flat for e in part.entities] for part in parts] == [[[2, 4]], [[0, 4]]]
    assert {part.document for part in parts} == {3}
    assert list(report.counts) == ["sentence of more than 10 words, cut at sentence ends"]


def test_cut_just_within_the_limit_and_again(tmp_path):
    parts, _ = pieces(long_example(31, {9, 19, 29}), tmp_path, max_words=10)
    assert [len(part.words) for part in parts] == [10, 10, 10, 1]
    parts, _ = pieces(long_example(10, {4}), tmp_path, max_words=10)
    assert [len(part.words) for part in parts] == [10]


def test_cut_after_the_limit_if_there_is_no_earlier_end(tmp_path):
    parts, report = pieces(long_example(30, {14, 24}), tmp_path, max_words=10)
    assert [len(part.words) for part in parts] == [15, 10, 5]
    assert report.counts["sentence of more than 10 words without a place to cut, left longer"] == 1
    parts, _ = pieces(long_example(30, set()), tmp_path, max_words=10)
    assert [len(part.words) for part in parts] == [30]
    parts, _ = pieces(long_example(30, {5}), tmp_path, max_words=None)
    assert [len(part.words) for part in parts] == [30]


def test_reference_cuts_only_behind_150_words_and_never_on_an_entity(tmp_path):
    # 150 words are before word 150, 151 before word 151.
    for end, expected in ((150, [320]), (151, [152, 168])):
        parts, _ = pieces(long_example(320, {20, end}), tmp_path, compat=True)
        assert [len(part.words) for part in parts] == expected
    parts, _ = pieces(long_example(400, {200, 380}, [(199, 201)]), tmp_path, compat=True)
    assert [len(part.words) for part in parts] == [381, 19]


@given(st.data())
def test_cutting_loses_no_word_and_no_entity(tmp_path_factory, data):
    n_words = data.draw(st.integers(1, 60))
    ends = data.draw(st.sets(st.integers(0, n_words - 1)))
    starts = data.draw(st.lists(st.tuples(st.integers(0, n_words - 1), st.integers(1, 9)), max_size=8))
    example = long_example(n_words, ends, {(start, min(start + size, n_words)) for start, size in starts})
    report = LoadReport(tmp_path_factory.getbasetemp() / "f")
    parts = cut(example, 1, report, LoaderOptions(max_words=data.draw(st.integers(1, 20))))
    assert tuple(word for part in parts for word in part.words) == example.words
    assert all(part.words for part in parts)
    surfaces = sorted(e.surface(part.words) for part in parts for e in part.entities)
    assert surfaces == sorted(e.surface(example.words) for e in example.entities)
