"""``genner train`` on data and settings: what is described, and one message for everything that is wrong."""

from pathlib import Path

import pytest

from genner.app.corpus import check_corpus
from genner.config import load_recipe
from genner.data.bundle import LoadedCorpus
from genner.data.schema import Entity, Example
from genner.errors import DataFormatError
from tests.test_train import FLAT, NESTED, SMALL, THREE_LINES, run, write_corpus


@pytest.mark.parametrize(
    ("kind", "text", "ending"),
    [("flat", FLAT["train"], "txt"), ("nested", NESTED, "jsonlines"), ("discontinuous", THREE_LINES, "txt")],
)
def test_check_data_describes_every_split(
    workplace: Path, capsys: pytest.CaptureFixture[str], kind: str, text: str, ending: str
) -> None:
    corpus = write_corpus(workplace / "own", dict.fromkeys(("train", "dev", "test"), text), ending)
    # The default backbone is on the hub, which nobody can reach here: the data can be checked all the same.
    assert run("--dataset_name", "own", "--kind", kind, "--data_root", corpus, "--check_data") == 0
    shown = capsys.readouterr().out
    for word in (
        "train",
        "dev",
        "test",
        "sentences",
        "words",
        "entities",
        "nested",
        "discontinuous",
        "crossing",
        "longest sentence",
    ):
        assert word in shown
    assert shown.count("oracle F1") == 3
    assert "100.00" in shown
    assert "trained on this corpus" in shown
    assert not (workplace / "runs").exists()


def test_columns_in_another_order(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "B-PER\t1\tMira\nO\t2\tleft\n\n"
    corpus = write_corpus(workplace / "own", dict.fromkeys(("train", "dev", "test"), text))
    arguments = ["--dataset_name", "own", "--kind", "flat", "--data_root", corpus, "--check_data", *SMALL]
    assert run(*arguments) == 2
    assert "set data.tag_column and data.word_column" in capsys.readouterr().err
    assert run(*arguments, "data.word_column=-1", "data.tag_column=0") == 0


def test_sentences_too_long_for_the_backbone_are_found(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(workplace / "own", FLAT | {"train": FLAT["train"] + "on O\n" * 1100})
    arguments = ["--dataset_name", "own", "--kind", "flat", "--data_root", corpus, "--check_data", *SMALL]
    assert run(*arguments) == 2
    assert "pieces and 3 decoder inputs. Expected at most 1,024 pieces" in capsys.readouterr().err
    assert run(*arguments, "data.on_too_long=split") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 sentences too long for the backbone, split between entities" in shown


def test_targets_beyond_the_length_limit_are_told(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(workplace / "own", FLAT)
    settings = ["pointer.max_len=3", "pointer.max_len_ratio=0", *SMALL]
    assert run("--dataset_name", "own", "--kind", "flat", "--data_root", corpus, "--check_data", *settings) == 0
    assert "train: 2 gold targets are longer than pointer.max_len" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset_name", "conll2004"], "did you mean 'conll2003'"),
        (["--dataset_name", "conll2003"], "data/conll2003: no such folder"),
        (["--recipe", "nowhere.yaml"], "nowhere.yaml: no such recipe"),
        (["optim.learning_rate=1"], "did you mean 'optim.lr'"),
        (["training.epochs=many"], "training.epochs: 'many' cannot be used"),
        (["formulation=tags"], "unknown name 'tags'. Expected one of pointer"),
        (["--backbone", "scratch:huge"], "unknown size 'scratch:huge'"),
        (["--backbone", "nobody/nothing"], "Point --backbone at a local folder"),
        (["--backbone", "./no-such-folder"], "no such model folder"),
        (["training.device=cuda:9", "--limit", "4"], "cuda:9"),
    ],
)
def test_bad_settings_give_one_message_and_code_2(
    workplace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": ""}, "no sentences for test"),
        ({"dev": "Odette B-PER\nslept\n"}, "dev.txt:2"),
        ({"test": "Zuri B-SHIP\nsailed O\n"}, "test has the labels ['SHIP'], which train lacks"),
        ({"train": NESTED}, "looks like one JSON object per line"),
        ({"train": "Odette O\n", "dev": "Bram O\n", "test": "Bram O\n"}, "no entity in any split"),
        ({"train": "Odette B-PER\n" * 1100 + "Quillport B-LOC\n"}, "pieces"),
    ],
)
def test_bad_data_gives_one_message_and_code_2(
    workplace: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], message: str
) -> None:
    corpus = write_corpus(workplace / "own", FLAT | change)
    assert run("--dataset_name", "own", "--kind", "flat", "--data_root", corpus, "training.epochs=1", *SMALL) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_unseen_labels_can_be_allowed(workplace: Path) -> None:
    corpus = write_corpus(workplace / "own", FLAT | {"test": "Zuri B-SHIP\nsailed O\n"})
    arguments = ["--dataset_name", "own", "--kind", "flat", "--data_root", corpus, "--check_data", *SMALL]
    assert run(*arguments, "data.allow_unseen_labels=true") == 0


def test_entities_that_the_kind_cannot_hold_are_refused(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(workplace / "own", dict.fromkeys(("train", "dev", "test"), THREE_LINES))
    arguments = ["--dataset_name", "own", "--data_root", corpus, "data.loader=discontinuous", "--check_data", *SMALL]
    assert run(*arguments, "--kind", "nested") == 2
    assert "Set --kind discontinuous" in capsys.readouterr().err
    nested = write_corpus(workplace / "other", dict.fromkeys(("train", "dev", "test"), NESTED), "jsonlines")
    arguments = ["--dataset_name", "other", "--data_root", nested, "data.loader=nested", "--check_data", *SMALL]
    assert run(*arguments, "--kind", "flat") == 2
    assert "Set --kind nested" in capsys.readouterr().err


def test_the_same_words_twice_are_no_flat_entities_unless_the_label_is_the_same() -> None:
    def corpus(*labels: str) -> LoadedCorpus:
        entities = tuple(Entity.from_flat(label, [0, 1]) for label in labels)
        return LoadedCorpus({"train": [Example(("none",), ()), Example(("knee", "aches"), entities)]}, reports={})

    recipe = load_recipe(None, ["kind=flat"])
    assert check_corpus(recipe, corpus("PART", "PART"))[1].tags == ("PART",)
    with pytest.raises(DataFormatError, match=r"train, sentence 2: \w+ \[0, 1\] is nested, which kind flat"):
        check_corpus(recipe, corpus("PART", "SIGN"))
