"""Every format: what it declares to hold reads back, what it does not hold is counted."""

import io
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings

from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.schema import Entity, Segment
from genner.data.tally import Tally
from genner.data.utf8 import without_edge_signs
from genner.data.writing import DOCSTART
from genner.errors import ConfigError
from genner.prediction.reading import FORMATS as INPUT_FORMATS
from genner.prediction.reading import read_inputs
from genner.prediction.results import TextEntity, TextInput, TextResult, place_entity, words_joined
from genner.prediction.text import SplitText
from genner.prediction.writing import FORMATS, format_of
from genner.prediction.writing.base import FEATURES, disjoint
from tests.prediction.drawn import IDS, sample, several, shape

WORD_FORMATS = ("conll", "nested", "discontinuous")
TEXT_FORMATS = ("brat", "jsonl", "docbin", "doccano", "label-studio")
SCORE, PARTS = "score, left out", "entity of several parts, left out"
OVER, CROSSING = "entity in or over a longer or surer one, left out", "entity over a sentence end, left out"
NOTE, LABEL = "note, left out", "label with characters that do not read back, written with '_'"

#: What is counted of the sample.
COUNTED = {
    "jsonl": {},
    "conll": {PARTS: 1, CROSSING: 1, OVER: 2, SCORE: 3, NOTE: 1, LABEL: 1},
    "nested": {PARTS: 1, CROSSING: 1, SCORE: 5, NOTE: 1, LABEL: 1},
    "discontinuous": {
        CROSSING: 1, SCORE: 6, NOTE: 1, LABEL: 1, "text of several sentences, written as several": 1,
    },
    "brat": {SCORE: 7, NOTE: 1, "white space in a type, written with '_'": 1},
    "docbin": {"text whose entities overlap or have several parts, without doc.ents": 1},
    "doccano": {PARTS: 1, SCORE: 6, NOTE: 1},
    "label-studio": {NOTE: 1},
    "w2ner": {CROSSING: 1, SCORE: 6, NOTE: 1, "text of several sentences, written as several": 1},
    "html": {},
    "terminal": {CROSSING: 1},
}  # fmt: skip


def written(name: str, results: list[TextResult], folder: Path, tally: Tally | None = None) -> Path:
    """A file or folder of a format."""
    path = folder / f"out.{name}"
    writer = FORMATS[name](Tally() if tally is None else tally, ("PAIN", "BODY"))
    if writer.is_folder:
        for result in results:
            for file, content in writer.record(result).items():
                (path / file).parent.mkdir(parents=True, exist_ok=True)
                (path / file).write_bytes(content)
        for file, content in writer.closing().items():
            path.mkdir(exist_ok=True)
            (path / file).write_bytes(content)
        return path
    content = b"".join([writer.head(), *map(writer.record, results), writer.tail()])
    if writer.is_assembled:
        content = b"".join(writer.assembled(io.BytesIO(content)))
    path.write_bytes(content)
    return path


def read_back(name: str, path: Path, results: list[TextResult] = ()) -> list[TextInput]:
    """Inputs without an error; raw text gets the words that it had."""
    known = {result.text: SplitText(result.words, result.sentences) for result in results}
    inputs = list(read_inputs(path, read_as(name), split=lambda text: known[text]))
    assert [given.error for given in inputs if given.error] == []
    return inputs


def read_as(name: str) -> str:
    """The input format that reads an output format."""
    return name if name in INPUT_FORMATS else "jsonl"


def gold_shape(given: TextInput) -> list[tuple[str, list[list[int]]]]:
    return shape(TextResult(given.text, entities=given.gold or ()))


def sentence_rows(results: list[TextResult]) -> list[tuple[list[str], list[Entity]]]:
    return [(list(row.words), sorted_shape(row.entities)) for result in results for row in result.examples()[0]]


def sorted_shape(entities) -> list:
    return sorted((entity.label, entity.flat) for entity in entities)


@pytest.fixture()
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("formats")


def test_every_format_says_what_it_holds() -> None:
    assert COUNTED.keys() == FORMATS.keys()
    for writer in FORMATS.values():
        assert writer.holds <= FEATURES.keys()
        assert len(writer.holds) > 1


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_sample_loses_is_counted(name: str, place: Path) -> None:
    tally = Tally()
    written(name, [sample()], place, tally)
    assert tally.counts == COUNTED[name]
    assert all(places == ["sample"] or "sample, sentence" in places[0] for places in tally.places.values())


@pytest.mark.parametrize("name", FORMATS)
def test_texts_that_failed_are_told_or_counted(name: str, place: Path) -> None:
    tally = Tally()
    lost = TextResult("", "lost", error="lost.txt:3: not UTF-8")
    path = written(name, [sample(), lost, replace(sample(), id="other")], place, tally)
    holds = "failed" in FORMATS[name].holds
    assert tally.counts["text that failed, left out"] == (not holds)
    assert holds == (not path.is_dir() and b"lost.txt:3: not UTF-8" in path.read_bytes())


@pytest.mark.parametrize("name", WORD_FORMATS)
@settings(deadline=None, max_examples=60)
@given(results=several())
def test_formats_of_words_read_back(name: str, results: list[TextResult], tmp_path_factory) -> None:
    tally = Tally()
    path = written(name, results, tmp_path_factory.mktemp("words"), tally)
    inputs = read_back(name, path)
    holds = FORMATS[name].holds
    expected, n_lost = [], 0
    for result in results:
        kept = [one for one in result if "discontinuous" in holds or not one.is_discontinuous]
        crossing = set(replace(result, entities=tuple(kept)).examples()[1])
        kept = [one for one in kept if one not in crossing]
        kept = kept if "overlapping" in holds else disjoint(kept)
        n_lost += len(result) - len(kept)
        expected.append(replace(result, entities=tuple(kept)))
    clean = without_edge_signs if name != "nested" else str  # as the loaders read words
    found = [TextResult(g.text, g.id, g.words, g.sentences, g.gold) for g in inputs]
    changed = {f"sentence of the word {DOCSTART}, which marks documents, written with '_'"}
    assert not changed & tally.counts.keys()
    assert sentence_rows(found) == [([*map(clean, words)], rest) for words, rest in sentence_rows(expected)]
    assert sum(tally.counts[reason] for reason in (PARTS, CROSSING, OVER)) == n_lost
    if "documents" in holds:
        assert [shape(one) for one in found] == [shape(one) for one in expected]
        assert [one.raw_words for one in found] == [[*map(clean, one.raw_words)] for one in expected]
        assert [one.sentences for one in found] == [one.sentences for one in expected]


@pytest.mark.parametrize("name", TEXT_FORMATS)
@settings(deadline=None, max_examples=40)
@given(results=several(IDS))
def test_formats_of_texts_read_back(name: str, results: list[TextResult], tmp_path_factory) -> None:
    """Texts, ids of any kind, and entities, whether they are nested, cross sentences or have several parts."""
    path = written(name, results, tmp_path_factory.mktemp("texts"))
    if name == "brat" and not results:
        return
    inputs = read_back(name, path, results)
    parts = "discontinuous" in FORMATS[name].holds
    kept = [replace(one, entities=tuple(e for e in one if parts or not e.is_discontinuous)) for one in results]
    expected = [(result.id, result.text, sorted(set(map(repr, shape(result))))) for result in kept]
    found = [(given.id, given.text, sorted(map(repr, gold_shape(given)))) for given in inputs]
    assert (sorted(found) if name == "brat" else found) == (sorted(expected) if name == "brat" else expected)


@settings(deadline=None, max_examples=30)
@given(results=several())
def test_json_lines_are_the_records(results: list[TextResult], tmp_path_factory) -> None:
    path = written("jsonl", results, tmp_path_factory.mktemp("jsonl"))
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(line) for line in lines] == [result.record() for result in results]


@settings(deadline=None, max_examples=30)
@given(results=several())
def test_w2ner_reads_back_in_prediction_and_training(results: list[TextResult], tmp_path_factory) -> None:
    path = written("w2ner", results, tmp_path_factory.mktemp("w2ner"))
    inputs = read_back("w2ner", path)
    found = [TextResult(one.text, one.id, one.words, one.sentences, one.gold) for one in inputs]
    examples, _ = LOADERS["json"](path, LoaderOptions())
    assert sentence_rows(found) == unique_rows(results)
    assert [(list(row.words), sorted_shape(row.entities)) for row in examples] == unique_rows(results)


@pytest.mark.parametrize("name", ["jsonl", "doccano", "label-studio"])
@settings(deadline=None, max_examples=20)
@given(results=several())
def test_training_reads_texts_that_are_written(name: str, results: list[TextResult], tmp_path_factory) -> None:
    """Their words are those of training's rules, so that entities may become longer, but nothing of a text is lost."""
    path = written(name, results, tmp_path_factory.mktemp("training"))
    examples, _ = LOADERS["json"](path, LoaderOptions())
    words = [word for row in examples for word in row.words]
    assert "".join(words) == "".join("".join(one.text.split()) for one in results)
    whole = [one for result in results for one in result if name != "doccano" or not one.is_discontinuous]
    labels = Counter(entity.label for row in examples for entity in row.entities)
    assert labels <= Counter(one.type for one in whole)


def unique_rows(results: list[TextResult]) -> list[tuple[list[str], list]]:
    """Sentences with their entities, each once."""
    rows = sentence_rows(results)
    return [(words, [one for n, one in enumerate(found) if one not in found[:n]]) for words, found in rows]


@settings(deadline=None, max_examples=40)
@given(results=several())
def test_spacy_reads_the_documents(results: list[TextResult], tmp_path_factory) -> None:
    import spacy
    from spacy.tokens import DocBin

    path = written("docbin", results, tmp_path_factory.mktemp("spacy"))
    docs = list(DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab))
    assert [(doc.text, doc.user_data["id"]) for doc in docs] == [(result.text, result.id) for result in results]
    for doc, result in zip(docs, results, strict=True):
        group = doc.spans["entities"]
        parts = [(one.type, part.start, part.end, str(n)) for n, one in enumerate(result) for part in one.segments]
        assert [(span.label_, span.start_char, span.end_char, span.id_) for span in group] == parts
        assert group.attrs.get("scores", []) == [one.score for one in result for _ in one.segments]
        words = {(token.idx, token.idx + len(token)) for token in doc}
        assert words >= set(map(tuple, result.words))
        if result.words:
            starts = [next(token.idx for token in sentence if not token.is_space) for sentence in doc.sents]
            assert starts == [result.words[start].start for start, _ in result.sentences]
        plain = not any(one.is_discontinuous for one in result) and len(disjoint(result.entities)) == len(result)
        expected = sorted((one.start, one.end, one.type) for one in result) if plain else []
        assert [(span.start_char, span.end_char, span.label_) for span in doc.ents] == expected


@settings(deadline=None, max_examples=40)
@given(results=several())
def test_imports_of_annotation_tools(results: list[TextResult], tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("tools")
    lines = written("doccano", results, folder).read_text(encoding="utf-8").split("\n")[:-1]
    for line, result in zip(map(json.loads, lines), results, strict=True):
        whole = [[one.start, one.end, one.type] for one in result if not one.is_discontinuous]
        assert line == {"id": result.id, "text": result.text, "label": whole}
    tasks = json.loads(written("label-studio", results, folder).read_text(encoding="utf-8"))
    for task, result in zip(tasks, results, strict=True):
        assert task["data"] == {"id": result.id, "text": result.text}
        (prediction,) = task["predictions"]
        regions = [row for row in prediction["result"] if row["type"] == "labels"]
        units = result.text.encode("utf-16-le")
        parts = [(one.type, part.text, one.score) for one in result for part in one.segments]
        assert parts == [
            (*row["value"]["labels"], units[2 * row["value"]["start"] : 2 * row["value"]["end"]].decode("utf-16-le"),
             row["score"])
            for row in regions
        ]  # fmt: skip
        ties = {(row["from_id"], row["to_id"]) for row in prediction["result"] if row["type"] == "relation"}
        names = iter(row["id"] for row in regions)
        groups = [[next(names) for _ in one.segments] for one in result]
        assert ties == {pair for group in groups for pair in pairwise(group)}
        assert len({row["id"] for row in regions}) == len(regions)


def test_conll_keeps_the_longest_then_the_surest(place: Path) -> None:
    text = written("conll", [sample()], place).read_text(encoding="utf-8")
    assert text == (
        "-DOCSTART- O\n\nSore B-PAIN\nknees I-PAIN\nand O\nelbows B-odd_type\n. O\n\n"
        "Ann B-PER\nMoss I-PER\nran O\nhome O\n\n"
    )


def test_conll_of_sentences_has_no_marks_until_they_are_needed(place: Path) -> None:
    one = TextResult(**{name: getattr(words_joined(["Ann", "ran"]), name) for name in ("text", "words")}, id="a")
    one = replace(one, sentences=(Segment(0, 2),))
    empty = TextResult("", "b")
    text = written("conll", [one, one, empty, one], place).read_text(encoding="utf-8")
    assert text == 2 * "Ann O\nran O\n\n" + "-DOCSTART- O\n\n" + "-DOCSTART- O\n\nAnn O\nran O\n\n"
    assert [given.text for given in read_inputs(place / "out.conll", "conll")] == ["Ann ran", "Ann ran", "", "Ann ran"]


def test_words_that_formats_of_words_cannot_hold(place: Path) -> None:
    given = words_joined(["HIV- 1", DOCSTART, "x"])
    result = TextResult(given.text, "odd", given.words, (Segment(0, 1), Segment(1, 2), Segment(2, 3)))
    for name in WORD_FORMATS:
        tally = Tally()
        found = [word for one in read_back(name, written(name, [result], place, tally)) for word in words_of(one)]
        assert found == {
            "conll": ["HIV-_1", DOCSTART + "_", "x"], "nested": ["HIV- 1", DOCSTART, "x"],
            "discontinuous": ["HIV-_1", DOCSTART, "x"],
        }[name]  # fmt: skip
        assert bool(tally.counts) == (name != "nested")


def words_of(given: TextInput) -> list[str]:
    return [given.text[start:end] for start, end in given.words]


def test_brat_parts_entities_at_line_ends(place: Path) -> None:
    text = "the left\r\n  knee\tcap of\u2028Ann"
    spans = [Segment(*pair) for pair in [(0, 3), (4, 8), (12, 16), (17, 20), (21, 23), (24, 27)]]
    placed = [place_entity(Entity.from_flat(label, flat), text, spans) for label, flat in
              (("BODY", [1, 4]), ("X", [0, 1, 4, 6]))]  # fmt: skip
    path = written("brat", [TextResult(text, "notes/a", tuple(spans), (), tuple(placed))], place)
    assert (path / "notes/a.txt").read_bytes() == text.encode("utf-8")
    assert (path / "notes/a.ann").read_text(encoding="utf-8") == (
        "T1\tBODY 4 8;12 20\tleft knee cap\nT2\tX 0 3;21 23;24 27\tthe of Ann\n"
    )
    for line in (path / "notes/a.ann").read_text(encoding="utf-8").splitlines():
        _, place_, surface = line.split("\t")
        offsets = [tuple(map(int, pair.split())) for pair in place_.split(" ", 1)[1].split(";")]
        assert " ".join(text[start:end] for start, end in offsets).replace("\t", " ") == surface


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/passwd", "__/__/etc/passwd"),
        ("/root", "root"),
        (".hidden", "_hidden"),
        ("a\0b?\n", "a_b__"),
        ("", "_"),
        ("x" * 300, "x" * 120),
        ("letters/Zoë 1:3", "letters/Zoë 1_3"),
    ],
)
def test_ids_become_names_inside_the_folder(name: str, file: str, place: Path) -> None:
    tally = Tally()
    path = written("brat", [replace(sample(), id=name)], place, tally)
    names = {one.relative_to(path).as_posix() for one in path.rglob("*") if one.suffix != ".conf"}
    assert {one for one in names if one.endswith((".txt", ".ann"))} == {f"{file}.txt", f"{file}.ann"}
    reason = "id that is no file name everywhere, or occurs twice, changed (all in ids.conf)"
    assert tally.counts[reason] == (name != file) == (path / "ids.conf").exists()
    assert name == file or tally.places[reason] == [f"{name} -> {file}"]


def test_equal_ids_do_not_overwrite_each_other(place: Path) -> None:
    path = written("brat", [replace(sample(), id=name) for name in ("a", "A", "a", "a-2")], place)
    assert sorted(one.stem for one in path.glob("*.ann")) == ["A-2", "a", "a-2-2", "a-3"]


def test_halves_of_surrogate_pairs(place: Path) -> None:
    text = "cut \ud83d here"
    result = TextResult(text, "half", (Segment(0, 3), Segment(4, 5), Segment(6, 10)), (Segment(0, 3),))
    result = replace(result, entities=(place_entity(Entity.from_flat("X", [1, 3]), text, result.words),))
    for name in FORMATS:
        tally = Tally()
        path = written(name, [result], place, tally)
        lossless = ("jsonl", "doccano", "label-studio", "w2ner", "html", "terminal")  # as an escape
        told = tally.counts["lone surrogate, written as U+FFFD"]
        assert bool(told) == (name not in lossless), name
        if name == "jsonl":
            assert json.loads(path.read_bytes())["text"] == text


def test_disjoint_entities_stay_in_their_order() -> None:
    def entity(label: str, start: int, end: int, score: float) -> TextEntity:
        spans = [Segment(2 * n, 2 * n + 1) for n in range(10)]
        return place_entity(Entity.from_flat(label, [start, end]), "a " * 10, spans, score)

    rows = [entity("A", 0, 3, 0.1), entity("B", 1, 2, 0.9), entity("C", 5, 7, 0.2), entity("D", 6, 8, 0.3)]
    assert [one.type for one in disjoint(rows)] == ["A", "D"]
    assert [one.type for one in disjoint(rows[::-1])] == ["D", "A"]


def test_page_has_every_text_and_its_entities_once(place: Path) -> None:
    results = [replace(sample(), id=f"<{number}>") for number in range(3)]
    page = written("html", results, place).read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    assert Counter(page.count(f"&lt;{number}&gt;</h2>") for number in range(3)) == {1: 3}


def test_endings_of_outputs() -> None:
    names = {format_of(Path(name)) for name in ("a.jsonl", "a", "a.txt")}
    assert names == {"jsonl"}
    for ending in (".csv", ".tsv", ".xml", ".pdf", ".jsonl.gz", ".docx"):
        with pytest.raises(ConfigError, match=r"found\.\S+ would not be what \.\S+ says. Expected .*--to"):
            format_of(Path(f"found{ending}"))
    assert [format_of(Path(f"a{ending}")) for ending in (".HTML", ".spacy", ".jsonlines", ".iob2")] == [
        "html", "docbin", "nested", "conll",
    ]  # fmt: skip
