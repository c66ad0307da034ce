"""Shares of train for splits without a file, and test splits whose entities are not known."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genner import patches  # noqa: F401  (before fastNLP)
from genner.data.bundle import SplitRules, load_bundle, load_cached
from genner.data.loaders import LoaderOptions
from genner.data.schema import Entity, Example
from genner.data.shares import take_share
from genner.errors import ConfigError, DataFormatError

X, Y = Entity.from_flat("X", [0, 1]), Entity.from_flat("Y", [0, 1])


def rows(size, entities=(X,), document=lambda number: None):
    return [Example((f"w{number}",), entities, document(number)) for number in range(size)]


@given(
    labels=st.lists(st.sampled_from(["", "X", "Y", "Z"]), min_size=2, max_size=40),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 9),
)
def test_every_sentence_and_every_label_stays_somewhere(labels, share, seed):
    examples = [
        Example((f"w{number % 30}",), (Entity.from_flat(label, [0, 1]),) if label else ())
        for number, label in enumerate(labels)
    ]
    try:
        left, drawn, _ = take_share(examples, share, seed=seed, split="dev")
    except DataFormatError as error:
        assert "labels would be lost" in str(error)
        return
    assert sorted(map(id, left + drawn)) == sorted(map(id, examples))
    assert left and drawn
    assert {example.words for example in left}.isdisjoint(example.words for example in drawn)
    seen = {entity.label for example in left for entity in example.entities}
    assert {entity.label for example in drawn for entity in example.entities} <= seen
    assert take_share(examples, share, seed=seed, split="dev")[:2] == (left, drawn)


def test_the_size_and_the_seed():
    examples = rows(200)
    drawn = {seed: take_share(examples, 0.1, seed=seed, split="dev")[1] for seed in (1, 2)}
    assert [len(found) for found in drawn.values()] == [20, 20] and drawn[1] != drawn[2]
    assert drawn[1] == sorted(drawn[1], key=examples.index)


def test_documents_stay_whole_where_they_are_known():
    examples = rows(100, document=lambda number: number // 5)
    left, drawn, what = take_share(examples, 0.2, seed=1, split="dev")
    assert {example.document for example in left}.isdisjoint(example.document for example in drawn)
    assert what == "20 sentences (4 documents)"
    few = rows(100, document=lambda number: number // 25)
    assert take_share(few, 0.2, seed=1, split="dev")[2] == "20 sentences"


def test_there_is_something_to_score_in_what_is_drawn():
    examples = rows(50, entities=()) + [Example((f"x{number}",), (X,)) for number in range(2)]
    for seed in range(5):
        assert any(example.entities for example in take_share(examples, 0.04, seed=seed, split="dev")[1])


@pytest.mark.parametrize("examples", [rows(1), [Example(("a",), (X,)), Example(("b",), (Y,))]])
def test_nothing_can_be_spared(examples):
    with pytest.raises(DataFormatError, match=r"train: no sentence of \d can be spared for dev.* Add one of them"):
        take_share(examples, 0.5, seed=1, split="dev")


def write(folder, **files):
    for split, text in files.items():
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    return folder


TRAIN = "".join(f"w{number} {'O' if number % 2 else 'B-X'}\n\n" for number in range(40))


def test_dev_and_test_are_drawn_from_train(tmp_path):
    write(tmp_path, train=TRAIN)
    loaded = load_bundle(tmp_path, "conll", rules=SplitRules(dev_share=0.1, test_share=0.25))
    assert {name: len(found) for name, found in loaded.examples.items()} == {"train": 27, "dev": 3, "test": 10}
    assert loaded.notes == [
        "test: no file, so 10 sentences of the 40 training sentences were drawn for it (data.test_share=0.25 "
        "data.share_seed=1); 30 stay in train.",
        "dev: no file, so 3 sentences of the 30 training sentences were drawn for it (data.dev_share=0.1 "
        "data.share_seed=1); 27 stay in train.",
    ]
    other = load_bundle(tmp_path, "conll", rules=SplitRules(dev_share=0.1, test_share=0.25, share_seed=2))
    assert other.fingerprint["dev"]["sha256"] != loaded.fingerprint["dev"]["sha256"]


def test_a_file_wins_over_a_share(tmp_path):
    write(tmp_path, train=TRAIN, dev="a B-X\n")
    assert load_bundle(tmp_path, "conll", rules=SplitRules(dev_share=0.1)).notes == [
        "test: no file, so scores are on dev only, which also chose the epoch."
    ]
    notes = load_bundle(tmp_path, "conll", rules=SplitRules(dev_share=0.2)).notes
    assert notes[0] == "dev: read from its own file; data.dev_share applies where there is none."


def test_without_a_share_or_with_a_published_setting_files_are_needed(tmp_path):
    write(tmp_path, train=TRAIN)
    with pytest.raises(DataFormatError, match=r"no dev file.* or set data.dev_share=0.1 to draw it from train"):
        load_bundle(tmp_path, "conll")
    with pytest.raises(DataFormatError, match=r"no test file"):
        load_bundle(tmp_path, "conll", rules=SplitRules(dev_share=0.1, needs_test=True))


@pytest.mark.parametrize(
    ("test", "about"),
    [
        ("a O\n\nb O\n", r"it has no entity\): .* If it really has none, set data.unlabelled_test=false"),
        ("a\n\nb\n", "its words have no tags"),
        ("a _\n\nb _\n", "its words have no tags"),
    ],
)
def test_a_test_file_without_entities_is_not_labelled(tmp_path, test, about):
    write(tmp_path, train=TRAIN, dev="a B-X\n", test=test)
    options, rules = LoaderOptions(), SplitRules()
    for _ in range(2):  # the second time, from the cache
        loaded = load_cached(tmp_path, "conll", options, rules, cache_dir=tmp_path)
        assert loaded.unlabelled == ("test",) and len(loaded.examples["test"]) == 2
        assert re.search(about, loaded.notes[0])
    assert loaded.limited(1).unlabelled == ("test",)


def test_what_is_not_labelled_can_be_said(tmp_path):
    write(tmp_path, train=TRAIN, dev="a B-X\n", test="a O\n\nb B-X\n")
    assert load_bundle(tmp_path, "conll").unlabelled == ()
    loaded = load_bundle(tmp_path, "conll", rules=SplitRules(unlabelled_test=True))
    assert loaded.unlabelled == ("test",) and not any(example.entities for example in loaded.examples["test"])
    assert "its 1 entities are not looked at" in loaded.notes[0]
    write(tmp_path, test="a O\n")
    assert load_bundle(tmp_path, "conll", rules=SplitRules(unlabelled_test=False)).unlabelled == ()


@pytest.mark.parametrize(
    ("split", "advice"),
    [("train", "set data.delimiter to what parts the columns"), ("dev", "remove the file: a share of train is taken")],
)
def test_words_without_tags_cannot_be_learned_or_scored(tmp_path, split, advice):
    write(tmp_path, **({"train": TRAIN, "dev": "a B-X\n"} | {split: "a\nb\n"}))
    with pytest.raises(DataFormatError, match=rf"{split}.txt:1: words without tags.* {advice}"):
        load_bundle(tmp_path, "conll")


@pytest.mark.parametrize("values", [{"dev_share": 1.0}, {"test_share": -0.1}, {"dev_share": 0.5, "test_share": 0.5}])
def test_shares_that_leave_nothing(values):
    with pytest.raises(ConfigError, match="whose sum is below 1"):
        SplitRules(**values)
