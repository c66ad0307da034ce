"""Documents go where lists, folders or shares put them; nothing is left out in silence."""

import pytest

from genner.data.prepare.ace import ace
from genner.data.prepare.request import Request, assign, read_lists
from genner.data.prepare.shares import by_shares
from genner.data.prepare.standoff import part_of
from genner.data.tally import Tally
from genner.errors import ConfigError, DataFormatError


def test_lists_from_a_file_and_from_a_folder(write):
    root = write(
        {
            "all.txt": "# comment\ntrain nw/adj/A_1\n\ndev B.eng\ntest  C.txt\n",
            "lists/train.list": "nw/adj/A_1\n",
            "lists/dev.txt": "B.eng\n",
            "lists/test": "C.txt\n",
            "lists/train.ann": "no list\n",
        }
    )
    expected = {"A_1": "train", "B.eng": "dev", "C": "test"}
    assert read_lists(root / "all.txt") == expected
    assert read_lists(root / "lists") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A_1\n", r"all.txt:1: 'A_1'. Expected a split \(train, dev or test\), a blank and a document"),
        ("train A\ndev x/A.sgm\n", r"all.txt:2: document 'x/A.sgm' is in dev and in train. Expected .* one split"),
        ("# nothing\n", "names no document"),
        (b"train \xe9\n", "byte 0xe9 at offset 6 is not UTF-8"),
    ],
)
def test_broken_lists(text, message, write):
    with pytest.raises(DataFormatError, match=message):
        read_lists(write({"all.txt": text}) / "all.txt")


def test_lists_are_needed(tmp_path):
    with pytest.raises(ConfigError, match=r"ACE: no lists of documents. Expected --splits"):
        ace(Request(tmp_path), Tally())


def test_assign_prefers_lists_and_counts_the_rest(tmp_path):
    tally = Tally()
    documents = {"a": "train", "b": "train", "c": "test", "d": None}
    assert assign(documents, {"b": "dev"}, tally, tmp_path) == {"train": ["a"], "dev": ["b"], "test": ["c"]}
    assert tally.lines() == ["1 x document that is in no split, left out (d)"]


def test_assign_wants_every_listed_document_and_every_split(tmp_path):
    with pytest.raises(DataFormatError, match=r"1 of 1 listed documents are not there: x. Expected a file for each"):
        assign({"a": "train"}, {"x": "dev"}, Tally(), tmp_path)
    with pytest.raises(DataFormatError, match=r"no document for dev and test \(train 1, dev 0, test 0\)"):
        assign({"a": "train"}, None, Tally(), tmp_path)


def test_shares_are_stable_and_as_large_as_said():
    names = [f"doc{n}" for n in range(100)]
    split = by_shares(names)
    assert [list(split.values()).count(name) for name in ("train", "dev", "test")] == [70, 15, 15]
    assert split == by_shares(reversed(names))


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("Task1TrainSetCorpus199/ALLREPORTS/1.txt", "train"),
        ("2014ShAReCLEFeHealthTask2_training_corpus/1.txt", "train"),
        ("ShAReCLEFeHealth2104Task2_test_data_corpus/1.txt", "test"),
        ("development/1.txt", "dev"),
        ("devices/latest/1.txt", None),
        ("train/test/1.txt", None),
    ],
)
def test_part_of(path, part, tmp_path):
    assert part_of(tmp_path / path, tmp_path) == part
