"""Hugging Face datasets from local folders: BIO tags, spans of words, spans of characters; what cannot be read."""

import json
import sys

import pytest

WORDS = [["Ida", "met", "Reed", "Labs"], ["Rain", "fell"]]
NAMES = ["O", "B-PER", "B-ORG", "I-ORG"]


@pytest.fixture
def saved(tmp_path):
    """Save columns as a dataset with three splits; returns the folder."""
    datasets = pytest.importorskip("datasets")

    def save(columns, features=None, splits=("train", "validation", "test")):
        made = datasets.Dataset.from_dict(columns, features=features and datasets.Features(features))
        folder = tmp_path / "raw"
        datasets.DatasetDict(dict.fromkeys(splits, made)).save_to_disk(folder)
        return folder

    return save


def test_numbered_tags(saved, prepare):
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=NAMES)
    features = {"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": datasets.Sequence(label)}
    raw = saved({"tokens": WORDS, "ner_tags": [[1, 0, 2, 3], [0, 0]]}, features)
    made = prepare("hf", raw, "--words", "tokens", "--tags", "ner_tags", "--dataset", "conll2003", loader="conll")
    assert made.code == 0, made.err
    assert made.entities("dev") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]
    assert len(made.examples("test")) == 2
    assert "conll2003: counts differ from the published copy" in made.out


def test_tags_as_text_and_other_split_names(saved, prepare):
    raw = saved({"w": [*WORDS, []], "t": [["B-PER", "O", "I-ORG", "I-ORG"], ["O", "O"], []]}, splits=("a", "b", "c"))
    names = ["--split", "train=a", "--split", "dev=b", "--split", "test=c"]
    made = prepare("hf", raw, "--words", "w", "--tags", "t", *names, loader="conll")
    assert made.entities("test") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]
    assert "3 x I-X with neither B-X nor I-X before it, read as B-X (train, row 1, dev, row 1, test, row 1)" in made.out
    assert "3 x row without words, skipped (train, row 3" in made.out


def test_spans_of_words(saved, prepare):
    spans = [[{"start": 2, "end": 3, "label": "ORG"}, {"start": 3, "end": 3, "label": "X"}] * 2, []]
    raw = saved({"w": WORDS, "s": spans})
    made = prepare("hf", raw, "--words", "w", "--spans", "s", "--inclusive", loader="nested")
    assert made.code == 0, made.err
    assert made.entities("train") == [[("ORG", "Reed Labs"), ("X", "Labs")]]
    assert "6 x duplicate annotation, counted once" in made.out


def test_spans_of_characters(saved, prepare):
    text = ["Ida met Reed Labs. Rain fell.", "No"]
    spans = [[{"start": "8", "end": "17", "type": "ORG"}, {"start": "0", "end": "3", "type": "PER"}], []]
    raw = saved({"text": text, "entities": spans})
    made = prepare("hf", raw, "--text", "text", "--spans", "entities", loader="nested")
    assert made.code == 0, made.err
    assert made.entities("train") == [[("PER", "Ida"), ("ORG", "Reed Labs")]]
    assert len(made.examples("train")) == 3


def test_a_folder_of_data_files(write, prepare):
    pytest.importorskip("datasets")
    rows = "".join(json.dumps({"w": words, "t": ["O"] * len(words)}) + "\n" for words in WORDS)
    raw = write({f"{split}.jsonl": rows.replace('["O",', '["B-PER",') for split in ("train", "validation", "test")})
    made = prepare("hf", raw, "--words", "w", "--tags", "t", loader="conll")
    assert made.code == 0, made.err
    assert made.entities("train") == [[("PER", "Ida")], [("PER", "Rain")]]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"w": WORDS, "t": [["O"], ["O", "O"]]}, ["--words", "w", "--tags", "t"], "train, row 1: 1 tags for 4 words"),
        ({"w": WORDS, "t": [[1] * 4, [1] * 2]}, ["--words", "w", "--tags", "t"], "train, row 1: tag 1. Expected O"),
        ({"w": WORDS}, ["--words", "w", "--tags", "ner"], "hf: train has no column ner. Expected one of w"),
        ({"w": WORDS}, ["--words", "w"], "hf: expected --words and --tags, --words and --spans, or --text and --spans"),
        (
            {"w": WORDS, "s": [[{"start": 0, "end": 9, "label": "X"}], []]},
            ["--words", "w", "--spans", "s"],
            "train, row 1: span 0..9 of 4. Expected offsets inside",
        ),
        ({"w": WORDS, "s": [[{"a": 0}], []]}, ["--words", "w", "--spans", "s"], "Expected start, end and label"),
        ({"w": WORDS, "t": WORDS}, ["--words", "w", "--tags", "t", "--split", "dev=x"], "no split 'x', found train"),
        ({"w": WORDS, "t": WORDS}, ["--words", "w", "--tags", "t", "--split", "x"], "--split: 'x'. Expected train=N"),
    ],
)
def test_broken(columns, options, message, saved, prepare):
    made = prepare("hf", saved(columns), *options)
    assert made.code == 2
    assert message in made.err


def test_a_dataset_that_is_not_there(tmp_path, prepare):
    pytest.importorskip("datasets")
    made = prepare("hf", tmp_path / "nowhere", "--words", "w", "--tags", "t")
    assert made.code == 2
    assert "cannot be opened" in made.err and "Expected a folder made by save_to_disk" in made.err


def test_without_the_library(tmp_path, prepare, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # what Python does where it is not installed
    made = prepare("hf", tmp_path, "--words", "w", "--tags", "t")
    assert made.code == 2
    assert "error: hf: datasets cannot be imported" in made.err
    assert made.err.endswith(f"Expected it to be installed. Run: {sys.executable} -m pip install 'datasets>=5,<6'\n")
