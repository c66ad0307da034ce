"""Data bundles made by loaders and by hand, the files of the splits, and the rules of the published settings."""

import pytest

from genner import patches  # noqa: F401  (before fastNLP)
from genner.data.bundle import (
    LoadedCorpus,
    SplitRules,
    examples_of,
    find_split_files,
    load_bundle,
    to_bundle,
    to_dataset,
)
from genner.data.loaders import LOADERS, LoaderOptions
from genner.data.schema import Entity, Example, Segment
from genner.errors import ConfigError, DataFormatError

# isort: split
from fastNLP import DataSet

GOOD = {
    "raw_words": [["sore", "left", "and", "right", "knee"], ["fine"]],
    "entities": [[["sore", "knee"], ["left"]], []],
    "entity_tags": [["ADR", "Side"], []],
    "entity_spans": [[[0, 1, 4, 5], [1, 2]], []],
}


def corpus(folder, sizes, ending="txt"):
    """Flat files whose words tell split and number."""
    for split, size in sizes.items():
        text = "".join(f"{split}{i} {'B-X' if i % 2 else 'O'}\n\n" for i in range(size))
        (folder / f"{split}.{ending}").write_text(text, encoding="utf-8")
    return folder


def words_of(loaded: LoadedCorpus, split: str) -> list[str]:
    return [example.words[0] for example in loaded.examples[split]]


@pytest.mark.parametrize("loader", LOADERS)
def test_examples_survive_the_bundle(loader, fixtures_dir):
    names = {"nested": "nested.jsonlines", "json": "json.jsonl"}
    path = fixtures_dir / "loaders" / names.get(loader, f"{loader}.txt")
    examples, _ = LOADERS[loader](path, LoaderOptions())
    dataset = to_bundle({"train": examples}).get_dataset("train")
    assert set(dataset.get_field_names()) >= {"raw_words", "entities", "entity_tags", "entity_spans"}
    assert examples_of(dataset) == examples
    assert dataset.has_field("document") == (loader != "discontinuous")


def test_hand_made_data_set():
    dataset = DataSet(GOOD)
    assert examples_of(dataset) == [
        Example(
            ("sore", "left", "and", "right", "knee"),
            (Entity("ADR", (Segment(0, 1), Segment(4, 5))), Entity("Side", (Segment(1, 2),))),
        ),
        Example(("fine",), ()),
    ]
    assert to_dataset(examples_of(dataset)).get_field("entities").content == GOOD["entities"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("raw_words", "sore left", "dev, row 0, field raw_words: 'sore left'. Expected a list"),
        ("raw_words", [], "row 0, field raw_words: .*at least one word"),
        ("raw_words", ["sore", "", "and", "right", "knee"], "field raw_words: word ''"),
        ("raw_words", ["sore", "\ud83d", "and", "right", "knee"], r"word '.ud83d'.*can be written as UTF-8"),
        ("raw_words", ["sore", 3, "and", "right", "knee"], "field raw_words: word 3"),
        ("entity_tags", ["ADR"], r"field entity_spans: .* for the labels \['ADR'\]"),
        ("entity_tags", ["ADR", None], "field entity_tags: .*Expected a list of labels"),
        ("entity_spans", [[0, 1, 4, 5]], "field entity_spans: .*one list per label"),
        ("entity_spans", [[0, 1, 4], [1, 2]], r"field entity_spans: \[0, 1, 4\]. Expected offsets"),
        ("entity_spans", [[0, 1.0], [1, 2]], r"field entity_spans: \[0, 1.0\]. Expected offsets"),
        ("entity_spans", [[], [1, 2]], r"field entity_spans: \[\]. Expected offsets"),
        ("entity_spans", [[0, 1, 4, 6], [1, 2]], "in a sentence of 5 words. Expected offsets from 0 to 5"),
        ("entity_spans", [[-1, 1], [1, 2]], "Expected offsets from 0 to 5"),
        ("entity_spans", [[0, 0], [1, 2]], "Expected ends after their starts: they are exclusive"),
        ("entity_spans", [[4, 5, 0, 1], [1, 2]], "Expected segments in order that do not touch"),
        ("entity_spans", [[0, 1, 1, 2], [1, 2]], "Expected segments in order that do not touch"),
        ("entity_spans", [[0, 2], [1, 2]], r"field entities: \['sore', 'knee'\], but the words of \[0, 2\] are"),
        ("entities", [["sore", "knee"]], "field entities: .*one list per label"),
        ("entities", [["sore", "knee"], ["Left"]], r"field entities: \['Left'\], but the words of \[1, 2\]"),
    ],
)
def test_wrong_hand_made_rows(field, value, message):
    columns = {name: [value if name == field else rows[0]] for name, rows in GOOD.items()}
    with pytest.raises(DataFormatError, match=message):
        examples_of(DataSet(columns), "dev")


def test_hand_made_data_set_without_a_field_or_rows():
    with pytest.raises(DataFormatError, match=r"test: fields \['entity_spans'\] are missing, found \['entities'"):
        examples_of(DataSet({name: rows for name, rows in GOOD.items() if name != "entity_spans"}), "test")
    with pytest.raises(DataFormatError, match="test: no rows"):
        examples_of(DataSet(), "test")
    with pytest.raises(DataFormatError, match="dev: no sentences"):
        to_bundle({"train": [Example(("a",), ())], "dev": []})


def test_compat_lets_pass_what_the_reference_makes():
    touching = [[[0, 1, 1, 2]]]
    dataset = DataSet(
        {"raw_words": [["a", "", "b"]], "entities": [[["a", ""]]], "entity_tags": [["x"]], "entity_spans": touching}
    )
    with pytest.raises(DataFormatError, match="word ''"):
        examples_of(dataset)
    assert examples_of(dataset, compat=True)[0].entities[0].flat == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("loader", "names"),
    [
        ("conll", ("train.txt", "dev.txt", "test.txt")),
        ("conll", ("Train.conll", "valid.conll", "test.conll")),
        ("conll", ("eng.train", "eng.testa", "eng.testb")),
        ("conll", ("xy_abc-ud-train.iob2", "xy_abc-ud-dev.iob2", "xy_abc-ud-test.iob2")),
        ("conll", ("train", "validation", "test")),
        ("nested", ("train.jsonlines", "dev.jsonl", "test.json")),
        ("ontonotes", ("onto.train.ner", "onto.development.ner", "onto.test.ner")),
    ],
)
def test_names_of_split_files(loader, names, tmp_path):
    for name in (*names, "LICENSE", "README.md", "train.txt.bak", ".dev.txt", "train_dev.txt"):
        (tmp_path / name).touch()
    (tmp_path / "training").mkdir()
    found = find_split_files(tmp_path, loader)
    assert list(found) == ["train", "dev", "test"]
    assert tuple(path.name for path in found.values()) == names


def test_plain_names_and_endings_of_the_format_win(tmp_path):
    for name in ("train.txt", "small-train.txt", "train.jsonlines", "dev.txt", "dev.jsonlines", "test.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_split_files(tmp_path, "conll").values()] == ["train.txt", "dev.txt", "test.txt"]
    found = find_split_files(tmp_path, "nested")
    assert [path.name for path in found.values()] == ["train.jsonlines", "dev.jsonlines", "test.txt"]


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataFormatError, match=r"nowhere: no such folder. Expected the folder with the train"):
        find_split_files(tmp_path / "nowhere", "conll")
    with pytest.raises(DataFormatError, match=r"no train file; there is nothing. Expected a name with one of train"):
        find_split_files(tmp_path, "conll")
    corpus(tmp_path, {"train": 1, "test": 1})
    with pytest.raises(DataFormatError, match=r"train.txt: is a file. Expected the folder"):
        find_split_files(tmp_path / "train.txt", "conll")
    with pytest.raises(DataFormatError, match=r"no dev file; there is test.txt, train.txt. .*valid, .*\.conll"):
        load_bundle(tmp_path, "conll")
    (tmp_path / "dev.txt").touch()
    (tmp_path / "valid.txt").touch()
    with pytest.raises(DataFormatError, match=r"dev.txt, valid.txt may all be dev. Expected one file"):
        load_bundle(tmp_path, "conll")


def test_load_bundle(tmp_path):
    loaded = load_bundle(corpus(tmp_path, {"train": 5, "dev": 3, "test": 2}), "conll")
    assert sorted(loaded.examples) == ["dev", "test", "train"]
    assert words_of(loaded, "dev") == ["dev0", "dev1", "dev2"]
    assert loaded.examples["train"][1].entities[0].flat == [0, 1]
    assert set(loaded.reports) == {"train", "dev", "test"} and loaded.notes == []


def test_limit_keeps_the_first_of_every_split(tmp_path):
    loaded = load_bundle(corpus(tmp_path, {"train": 5, "dev": 3, "test": 2}), "conll").limited(2)
    assert [words_of(loaded, name) for name in ("train", "dev", "test")] == [
        ["train0", "train1"], ["dev0", "dev1"], ["test0", "test1"]
    ]  # fmt: skip
    assert loaded.notes == ["train: the first 2 of 5.", "dev: the first 2 of 3."]


def test_named_files(tmp_path):
    corpus(tmp_path, {"old": 2, "new": 3})
    files = {"train": tmp_path / "old.txt", "test": str(tmp_path / "new.txt")}
    loaded = load_bundle(None, "conll", files=files)
    assert words_of(loaded, "test") == ["new0", "new1", "new2"]


def test_empty_split_and_unknown_loader(tmp_path):
    corpus(tmp_path, {"train": 5, "dev": 0, "test": 2})
    with pytest.raises(DataFormatError, match=r"dev.txt: no sentences for dev. Expected at least one"):
        load_bundle(tmp_path, "conll")
    with pytest.raises(ConfigError, match=r"unknown loader 'conl'. Expected one of conll, ontonotes, nested, disc"):
        load_bundle(tmp_path, "conl")


def test_train_on_dev(tmp_path):
    corpus(tmp_path, {"train": 2, "dev": 2, "test": 2})
    loaded = load_bundle(tmp_path, "conll", rules=SplitRules(train_on_dev=True))
    assert words_of(loaded, "train") == ["train0", "train1", "dev0", "dev1"]
    assert sorted(loaded.examples) == ["test", "train"]
    assert loaded.notes == ["train: train and dev together (2 + 2 sentences); test chooses the epoch."]
    assert set(loaded.reports) == {"train", "dev", "test"}
    with pytest.raises(ConfigError, match=r"data.train_on_dev: there is only train, dev"):
        files = {"train": tmp_path / "train.txt", "dev": tmp_path / "dev.txt"}
        load_bundle(None, "conll", rules=SplitRules(train_on_dev=True), files=files)


def test_train_on_dev_keeps_documents_apart(fixtures_dir):
    path = fixtures_dir / "loaders" / "nested.jsonlines"
    files = dict.fromkeys(("train", "dev", "test"), path)
    loaded = load_bundle(None, "nested", rules=SplitRules(train_on_dev=True), files=files)
    assert [example.document for example in loaded.examples["train"]] == [0, 0, 1, 2, 2, 3]


def test_dev_from_train(tmp_path):
    corpus(tmp_path, {"train": 14, "test": 2})
    loaded = load_bundle(tmp_path, "conll", rules=SplitRules(dev_every=4, dev_size=3))
    assert words_of(loaded, "dev") == ["train0", "train4", "train8"]
    assert words_of(loaded, "train") == [f"train{i}" for i in (1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13)]
    assert loaded.notes == ["dev: 3 sentences taken from train, one of 4; 11 stay."]
    loaded = load_bundle(tmp_path, "conll", rules=SplitRules(dev_every=4))
    assert words_of(loaded, "dev") == ["train0", "train4", "train8", "train12"]
    corpus(tmp_path, {"dev": 2})
    loaded = load_bundle(tmp_path, "conll", rules=SplitRules(dev_every=4))
    assert words_of(loaded, "dev") == ["dev0", "dev1"] and "own file" in loaded.notes[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_on_dev": True, "dev_every": 4}, "Expected at most one of them"),
        ({"dev_every": 1}, "data.dev_every: 1. Expected 2 or more"),
        ({"dev_every": 4, "dev_size": 0}, "data.dev_size: 0"),
    ],
)
def test_rules_that_contradict(values, message):
    with pytest.raises(ConfigError, match=message):
        SplitRules(**values)


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "loader"), [("germeval2014", "nested"), ("craft", "discontinuous")])
def test_large_corpora_load_in_seconds(name, loader, shared_data):
    import time

    start = time.process_time()
    loaded = load_bundle(shared_data / name, loader)
    assert time.process_time() - start < 10
    assert len(loaded.examples["train"]) > 14_000
