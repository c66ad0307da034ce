"""``genner train`` on a corpus without dev or test, or with a test split whose entities are not known."""

import json
import shutil
from pathlib import Path

import pytest

from genner.commands import report
from genner.data.labels import LabelSet
from tests.test_train import FLAT, SMALL, run, write_corpus

OWN = ["--dataset_name", "own", "--kind", "flat", *SMALL, "training.epochs=1"]
NAMES, VERBS = ("Odette", "Bram", "Zuri"), ("ran", "sat", "ate")
TRAIN = "".join(f"{name} B-PER\n{verb} O\n. O\n\n" for name in NAMES for verb in VERBS)


@pytest.mark.slow
@pytest.mark.parametrize("test", [None, "Bram\nsailed\n\nZuri\nran\n", "Bram O\nsailed O\n"])
def test_a_run_without_a_labelled_test_split(
    workplace: Path, capsys: pytest.CaptureFixture[str], test: str | None
) -> None:
    corpus = write_corpus(workplace / "own", {"train": TRAIN} | ({"test": test} if test else {}))
    assert run(*OWN, "--data_root", corpus, "--run_name", "short") == 0
    shown, messages = capsys.readouterr()
    folder = workplace / "runs" / "own" / "short"
    assert "dev: no file, so 1 sentences of the 9 training sentences were drawn for it" in messages
    assert "test F1" not in shown and "dev, seed 1" in shown and "dev sentences" in shown
    result = json.loads((folder / "result.json").read_text())
    assert result["seeds"][0]["test"] == {} and not any(key.startswith("test") for key in result["mean"])
    assert result["mean"]["dev_f"] == result["seeds"][0]["dev"]["f"]
    predictions = folder / "seed-1" / "predictions.test.jsonl"
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "dev: no file, so 1 sentences" in text
    assert report.main([str(folder), "--out", str(workplace / "tables")]) == 0
    assert "Not on test: own/short (dev)" in capsys.readouterr().out
    assert report.main(["--compare", str(folder), str(folder)]) == 2
    assert "on data whose test split is labelled" in capsys.readouterr().err
    if test is None:
        assert not predictions.exists() and "test: no file, so scores are on dev only" in text
        return
    assert "test: not labelled" in text
    records = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [record["raw_words"][0] for record in records] == (["Bram", "Zuri"] if "Zuri" in test else ["Bram"])
    assert all(set(record) == {"raw_words", "pred"} for record in records)


@pytest.mark.slow
def test_what_is_drawn_belongs_to_the_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(workplace / "own", {"train": TRAIN})
    arguments = [*OWN, "--data_root", corpus, "--run_name", "short"]
    assert run(*arguments) == 0 and run(*arguments) == 0
    assert run(*arguments, "reported={f1: 90}") == 0
    for other in ("data.share_seed=2", "data.dev_share=0.4"):
        capsys.readouterr()
        assert run(*arguments, other) == 2
        assert "data: train differs" in capsys.readouterr().err
    shutil.rmtree(workplace / "runs")
    assert run(*arguments, "training.select_on=test") == 2
    assert "Set training.select_on=dev" in capsys.readouterr().err


def test_the_repairs_of_dev_are_told_when_it_is_trained_on(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(workplace / "own", FLAT | {"dev": "Odette I-PER\nslept O\n\nBram B-PER\n\nZuri B-PER\n"})
    arguments = [*OWN, "--data_root", corpus, "--check_data", "data.train_on_dev=true", "training.select_on=test"]
    assert run(*arguments) == 0
    assert "dev.txt: 1 x I-X with neither B-X nor I-X before it" in " ".join(capsys.readouterr().out.split())


def test_published_settings_need_their_files(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(workplace / "data" / "CADEC", {"train": "sore knee\n0,1 ADR\n\n", "test": "sore knee\n0,1 ADR\n\n"})
    assert run("--dataset_name", "CADEC", "--data_root", workplace / "data", "--check_data", *SMALL) == 2
    assert "no dev file" in capsys.readouterr().err


def test_words_for_labels_that_the_data_lacks() -> None:
    labels = LabelSet.from_tags(["PER", "LOC.NAM"])
    assert labels.strangers({"per": "person", "loc.nam": "place"}) == []
    assert labels.strangers({"PRE": "person", "x": "y"}) == [
        "labels: no split has the label 'PRE' (did you mean 'PER'?); its words 'person' are not used.",
        "labels: no split has the label 'x' (there are PER, LOC.NAM); its words 'y' are not used.",
    ]


def test_labels_with_dots_get_words(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(workplace / "own", dict.fromkeys(("train", "dev"), "Odette B-PER.NAM\nslept O\n"))
    assert run(*OWN, "--data_root", corpus, "--check_data", "labels.PER.NAM=person", "labels.PER.NAN=nan") == 0
    shown = capsys.readouterr().out
    assert "no split has the label 'PER.NAN' (did you mean 'PER.NAM'?)" in shown and shown.count("no split has") == 1
