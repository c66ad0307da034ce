"""Every shape of JSON gives its text or words and its entities; what is left out is counted, the unknown is told."""

import json
from pathlib import Path

import pytest

from genner.data.bundle import load_bundle
from genner.data.loaders import LOADERS, LoaderOptions, LoadReport
from genner.data.records import JsonRecord
from genner.data.shapes import Document, examples_of, loader_for, read_shape
from genner.errors import DataFormatError

WORDS = ["Orla", "had", "stiff", "neck", "and", "back"]
TEXT = "Orla had stiff neck and back"
FLAT = [("PER", [0, 1]), ("ADR", [2, 4])]
ALL = [*FLAT, ("ADR", [2, 3, 5, 6])]
SPANS = [{"start": 0, "end": 4, "label": "PER"}, {"start": 9, "end": 19, "label": "ADR"}]
TRIPLES = [[0, 4, "PER"], [9, 19, "ADR"]]
SEGMENTS = [
    {"type": "PER", "segments": [{"start": 0, "end": 4}]},
    {"type": "ADR", "segments": [{"start": 9, "end": 19}]},
    {"type": "ADR", "text": "stiff back", "segments": [{"start": 9, "end": 14}, {"start": 24, "end": 28}]},
]


def region(start: int, end: int, label: str, **more) -> dict:
    return {"type": "labels", "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]}, **more}


REGIONS = [
    region(0, 4, "PER", id="e1"),
    region(9, 19, "ADR", id="e2"),
    region(9, 14, "ADR", id="e3"),
    region(24, 28, "ADR", id="e3.2"),
    {"type": "relation", "from_id": "e3", "to_id": "e3.2", "direction": "right"},
    {"type": "relation", "from_id": "e1", "to_id": "e2", "labels": ["has"]},
]

#: Shape -> a record, and the entities that it has.
SHAPES = {
    "ours, text": ({"text": TEXT, "entities": SEGMENTS}, ALL),
    "ours, words": ({"words": WORDS, "entities": SEGMENTS}, ALL),
    "ours, nested": ({"sentences": [WORDS], "ners": [[[0, 0, "PER"], [2, 3, "ADR"]]]}, FLAT),
    "predictions": (
        {
            "raw_words": WORDS,
            "gold": [{"type": n, "spans": [f[i : i + 2] for i in range(0, len(f), 2)]} for n, f in ALL],
            "pred": [{"type": "X", "spans": [[0, 1]]}],
        },
        ALL,
    ),
    "spaCy, pair": ([TEXT, {"entities": TRIPLES}], FLAT),
    "spaCy, short pair": ([TEXT, TRIPLES], FLAT),
    "spaCy, ents": ({"text": TEXT, "ents": SPANS, "tokens": [{"id": 0, "start": 0, "end": 4}]}, [("PER", [0, 1])]),
    "spaCy, groups": ({"text": TEXT, "ents": [], "spans": {"sc": SPANS}}, FLAT),
    "Prodigy": ({"text": TEXT, "spans": [{**one, "token_start": 0} for one in SPANS], "answer": "accept"}, FLAT),
    "doccano, label": ({"id": 3, "text": TEXT, "label": TRIPLES}, FLAT),
    "doccano, labels": ({"text": TEXT, "labels": TRIPLES, "meta": {}}, FLAT),
    "doccano, entities": (
        {
            "text": TEXT,
            "entities": [{"id": 1, "label": n, "start_offset": a, "end_offset": b} for a, b, n in TRIPLES],
            "relations": [],
        },
        FLAT,
    ),
    "Label Studio": ({"id": 5, "data": {"text": TEXT}, "annotations": [{"result": REGIONS}]}, ALL),
    "Label Studio, old": ({"data": {"body": TEXT}, "completions": [{"result": REGIONS[:2]}]}, FLAT),
    "Label Studio, short": (
        {"text": TEXT, "label": [{"start": a, "end": b, "labels": [n]} for a, b, n in TRIPLES], "annotator": 1},
        FLAT,
    ),
    "W2NER": (
        {
            "sentence": WORDS,
            "ner": [{"index": [0], "type": "PER"}, {"index": [3, 2], "type": "ADR"}, {"index": [2, 5], "type": "ADR"}],
        },
        ALL,
    ),
    "GLiNER": ({"tokenized_text": WORDS, "ner": [[0, 0, "PER"], [2, 3, "ADR"]]}, FLAT),
    "DyGIE++": ({"doc_key": "d", "sentences": [WORDS], "ner": [[[0, 0, "PER"], [2, 3, "ADR"]]]}, FLAT),
    "SpERT": (
        {
            "tokens": WORDS,
            "entities": [{"type": "PER", "start": 0, "end": 1}, {"type": "ADR", "start": 2, "end": 4}],
            "relations": [],
        },
        FLAT,
    ),
    "Hugging Face": ({"tokens": WORDS, "ner_tags": ["B-PER", "O", "B-ADR", "I-ADR", "O", "O"]}, FLAT),
    "Hugging Face, BIOES": ({"tokens": WORDS, "tags": ["S-PER", "O", "B-ADR", "E-ADR", "O", "O"]}, FLAT),
}


def read(value: object, report: LoadReport | None = None) -> Document | None:
    return read_shape(JsonRecord(7, value=value), LoadReport(Path("in/x.jsonl")) if report is None else report)


def entities(value: object, report: LoadReport | None = None) -> list[list]:
    report = LoadReport(Path("in/x.jsonl")) if report is None else report
    rows = examples_of(read(value, report), 0, report)
    return [[(entity.label, entity.flat) for entity in row.entities] for row in rows]


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    value, expected = SHAPES[name]
    document = read(value)
    assert document.is_known and document.shape
    assert (document.text is None) == (
        name in ("ours, nested", "predictions", "W2NER", "GLiNER", "DyGIE++", "SpERT") or name.startswith("Hugging")
    )
    assert sorted(entities(value)[0]) == sorted(expected)


def test_known_is_what_has_a_key() -> None:
    known = [
        {"text": "a", "entities": []},
        {"text": "a", "label": []},
        ["a", {"entities": []}],
        {"text": "a", "spans": {}},
        {"words": ["a"], "entities": []},
        {"tokenized_text": ["a"], "ner": []},
        {"sentence": ["a"], "ner": []},
        {"tokens": ["a"], "ner_tags": ["O"]},
        {"sentences": [["a"]], "ners": [[]]},
        {"text": "a", "answer": "accept"},
        {"data": {"text": "a"}, "annotations": [{"result": []}]},
    ]
    unknown = [
        {"text": "a"},
        {"text": "a", "entities": None},
        ["a", {"cats": {}}],
        {"words": ["a"]},
        {"tokens": ["a"]},
        {"sentences": [["a"]]},
        {"tokenized_text": ["a"]},
        {"data": {"text": "a"}, "annotations": []},
        {"text": "a", "label": "positive"},
        {"text": "a", "labels": ["sport"]},
        {"text": "a", "label": 3},
        {"text": "", "entities": [], "error": "x.txt: not UTF-8"},
    ]
    assert [read(value).is_known for value in known] == [True] * len(known)
    assert [read(value).is_known for value in unknown] == [False] * len(unknown)


def test_ids() -> None:
    values = [
        {"text": "a", "id": 7},
        {"text": "a", "id": "x"},
        {"text": "a", "id": None},
        {"text": "a"},
        {"doc_key": "d", "sentences": [["a"]], "ner": [[]]},
        {"id": 1, "data": {"id": "t", "text": "a"}},
        {"id": 1, "data": {"text": "a"}},
        {"words": ["a"], "id": 0},
    ]
    assert [read(value).id for value in values] == ["7", "x", "", "", "d", "t", "1", "0"]


def test_what_annotators_refused_is_left_out_and_counted() -> None:
    report = LoadReport(Path("x.jsonl"))
    data = {"data": {"text": TEXT}}
    assert read({"text": "a", "answer": "reject"}, report) is None
    assert read({"text": "a", "answer": "ignore"}, report) is None
    assert read({**data, "annotations": [{"was_cancelled": True, "result": []}]}, report) is None
    several = [{"was_cancelled": True, "result": []}, {"result": REGIONS[:1]}, {"result": REGIONS[:2]}]
    assert entities({**data, "annotations": several}, report) == [[("PER", [0, 1])]]
    guessed = {**data, "annotations": [], "predictions": [{"result": REGIONS[:2]}]}
    assert entities(guessed, report) == [FLAT]
    assert report.counts == {
        "record with the answer 'reject', left out": 1,
        "record with the answer 'ignore', left out": 1,
        "task that was cancelled, left out": 1,
        "task with several annotations, the first taken": 1,
        "task without annotations, its predictions taken as known entities": 1,
    }
    assert report.places["task that was cancelled, left out"] == ["x.jsonl:7"]


def test_offsets_in_other_units_are_converted() -> None:
    text = "\N{FACE WITH TEARS OF JOY}\N{FACE WITH TEARS OF JOY} Orla had stiff neck"
    utf16 = [{"start": 5, "end": 9, "text": "Orla", "labels": ["PER"]}]
    report = LoadReport(Path("x.jsonl"))
    task = {"data": {"text": text}, "annotations": [{"result": [{"type": "labels", "value": utf16[0]}]}]}
    for value in (task, {"text": text, "entities": utf16}):
        (row,) = examples_of(read(value, report), 0, report)
        assert [(one.label, one.surface(row.words)) for one in row.entities] == [("PER", ["Orla"])]
    assert report.counts == {"annotation with offsets counted in UTF-16 units, converted": 2}


def test_repairs_are_counted() -> None:
    report = LoadReport(Path("x.jsonl"))
    odd = [[0.0, 4.0, "PER"], [9, 9, "X"], [9, 19, " ADR ", "more"]]
    assert entities({"text": TEXT, "entities": odd}, report) == [FLAT]
    assert entities({"sentence": WORDS, "ner": [{"index": [0], "type": "PER"}] * 2}, report) == [[("PER", [0, 1])]]
    assert entities({"sentences": [["a"], ["b"]], "ner": [[], [[0, 0, "X"]]]}, report) == [[], [("X", [0, 1])]]
    assert report.counts == {
        "offset written as a float, read as an integer": 2,
        "annotation with a fragment that ends before it starts, dropped": 1,
        "mention with more than start, end and type, the rest ignored": 1,
        "duplicate mention, counted once": 1,
        "offsets that count from the start of the sentence, read so": 1,
    }


def test_documents_of_several_sentences() -> None:
    value = {"sentences": [["Orla", "slept"], ["stiff", "neck"]], "ner": [[[0, 0, "PER"]], [[2, 3, "ADR"]]]}
    assert entities(value) == [[("PER", [0, 1])], [("ADR", [0, 2])]]
    text = "Orla slept. Stiff neck all day."
    assert entities([text, {"entities": [[0, 4, "PER"], [12, 22, "ADR"]]}]) == [[("PER", [0, 1])], [("ADR", [0, 2])]]
    tokens = [
        {"text": word, "start": text.index(word), "end": text.index(word) + len(word)}
        for word in ("Orla", "slept", ".", "Stiff neck", "all", "day.")
    ]
    rows = examples_of(read({"text": text, "tokens": tokens, "spans": []}), 0, LoadReport(Path("x")))
    assert [row.words for row in rows] == [("Orla", "slept", "."), ("Stiff neck", "all", "day.")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"txt": "a", "spans": []},
            r"in/x.jsonl:7: no shape that is known in the keys \['txt', 'spans'\]. Expected one",
        ),
        ({"classes": [], "annotations": [["a", {"entities": []}]]}, r"The list 'annotations' has records: .* jq '"),
        (3, r"JSON, but not an object: 3. Expected one of"),
        ({"text": 3}, r"'text' is 3. Expected a text"),
        ({"text": TEXT, "entities": {"a": 1}}, r"'entities' is \{'a': 1\}. Expected a list"),
        ({"text": TEXT, "entities": [[0, 4]]}, r"the entity \[0, 4\]. Expected \[start, end, \"TYPE\"\]"),
        ({"text": TEXT, "entities": [["0", "4", "X"]]}, r"the entity \['0', '4', 'X'\]. Expected"),
        ({"text": TEXT, "entities": [[-1, 4, "X"]]}, r"the entity .*whole numbers from 0. Correct"),
        ({"text": TEXT, "entities": [[0, 4, ""]]}, r"the entity .* Expected"),
        ({"text": TEXT, "entities": [{"start": 0, "end": 4}]}, r"the entity .* Expected"),
        ({"text": TEXT, "entities": [{"start": 0, "end": 4, "label": "\ud83d"}]}, "lone surrogate"),
        ({"text": TEXT, "spans": {"a": [], "b": []}}, r"'spans' has the groups \['a', 'b'\]. Expected one"),
        ({"text": TEXT, "words": ["neck", "Orla"]}, r"the word 'Orla' is not in 'text' after the words before it"),
        ({"data": {"a": "x", "b": "y"}}, r"'data' has \['a', 'b'\]. Expected the text under the key 'text'"),
        (
            {
                "data": {"text": "x"},
                "annotations": [
                    {"result": [{"type": "labels", "value": {"start": "/p[1]", "end": 4, "labels": ["X"]}}]}
                ],
            },
            r"the entity .* Expected",
        ),
        ({"data": {"text": "x"}, "annotations": 3}, r"'annotations' is 3. Expected a list"),
        ({"data": {"text": "x"}, "predictions": "x"}, r"'predictions' is 'x'. Expected a list"),
        ({"sentence": WORDS, "ner": [{"index": [], "type": "X"}]}, r"the entity .*Expected \{\"index\""),
        ({"sentence": WORDS, "ner": [{"index": [6], "type": "X"}]}, r"mention 6..6 in a sentence of 6 words"),
        ({"tokenized_text": WORDS, "ner": [[0, 6, "X"]]}, r"mention 0..6 in a sentence of 6 words"),
        ({"tokenized_text": WORDS, "ner": 0}, r"'ner' is 0\. Expected a list"),
        ({"sentences": [WORDS], "ner": []}, r"'ner' is \[\] for 1 sentences. Expected a list of mentions for each"),
        ({"raw_words": WORDS, "gold": [{"type": "X", "spans": []}]}, r"the entity .* Expected"),
        ({"tokens": WORDS, "ner_tags": ["O"]}, r"1 tags for 6 words. Expected one tag per word"),
        ({"tokens": ["a"], "ner_tags": [3]}, r"the tag 3. Expected tags as text.* genner prepare hf"),
        ({"tokens": ["a"], "ner_tags": ["Q-X"]}, r"tag 'Q-X' is not a BIO tag"),
        ({"tokens": ["a", None]}, r"word 1 of a sentence is None. Expected text"),
        ({"text": "a", "id": [1]}, r"the id \[1\]. Expected a string or an integer"),
    ],
)
def test_wrong_records(value: object, message: str) -> None:
    with pytest.raises(DataFormatError, match=message):
        read(value)


def test_training_reads_any_shape_by_what_is_in_the_files(tmp_path: Path) -> None:
    rows = {
        name: json.dumps(value) for name, (value, _) in SHAPES.items() if name not in ("ours, nested", "spaCy, ents")
    }
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.json").write_text("\n".join(rows.values()))
    for kind in ("conll", "nested", "discontinuous"):
        corpus = load_bundle(tmp_path, kind)
        labels = [{entity.label for entity in row.entities} for row in corpus.examples["train"]]
        assert labels == [{"PER", "ADR"}] * len(rows)
        assert corpus.notes[0] == "train: train.json is JSON of another tool or shape, read by the loader 'json'."


def test_files_of_our_own_keep_their_loaders(tmp_path: Path, fixtures_dir: Path) -> None:
    for loader, name in {
        "conll": "conll.txt",
        "nested": "nested.jsonlines",
        "discontinuous": "discontinuous.txt",
    }.items():
        assert loader_for(fixtures_dir / "loaders" / name, loader) == loader
    assert loader_for(fixtures_dir / "loaders" / "nested.jsonlines", "conll") == "conll"  # which refuses it
    for text, expected in {"": "conll", "{ O\n} O\n": "conll", "[1] O\n": "conll", '{"text": "a"}': "json"}.items():
        (tmp_path / "x").write_text(text)
        assert loader_for(tmp_path / "x", "conll") == expected
    (tmp_path / "x").write_text('{"a": 1}')
    with pytest.raises(DataFormatError, match=r"x:1: no shape that is known in the keys \['a'\]"):
        loader_for(tmp_path / "x", "conll")


def test_records_without_known_entities_train_nothing(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "entities": []}\n')
    examples, report = LOADERS["json"](path, LoaderOptions())
    assert [row.words for row in examples] == [("b",)]
    assert report.counts == {"record whose entities are not known, left out": 1}
    path.write_text('{"text": "a"}\n' * 2)
    examples, report = LOADERS["json"](path, LoaderOptions())
    assert len(examples) == 2 and not report.is_labelled and not report.counts
    with pytest.raises(DataFormatError, match=r"train.jsonl:1: words without tags. Expected .* or records with their"):
        load_bundle(None, "json", files={"train": path})
    path.write_text('{"text": "a", "entities": []}\n{"text":')
    with pytest.raises(DataFormatError, match=r"train.jsonl:2: not JSON"):
        LOADERS["json"](path, LoaderOptions())
