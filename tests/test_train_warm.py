"""Warm starts, and more epochs for a finished run, from end to end."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from genner.commands import train
from genner.formulations.opening import open_task
from genner.model.folder import ModelFolder
from tests.test_train import FLAT, write_corpus

pytestmark = pytest.mark.slow
TINY = ["--limit", "1200", "training.epochs=1", "optim.lr=1e-9"]


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_on_the_same_data_it_begins_where_the_model_stood(trained_run: Path, workplace: Path, capsys) -> None:
    before = result(trained_run)
    assert train.main([*TINY, "--backbone", str(trained_run), "--run_name", "warm"]) == 0
    folder = workplace / "runs" / "demo" / "warm"
    after = result(folder)
    assert after["mean"]["dev_f"] == before["mean"]["dev_f"] and after["backbone"] == str(trained_run)
    assert "5 labels taken over by their words, 0 new." in capsys.readouterr().err
    # The same model in another place is the same start, so the run is finished.
    shutil.copytree(trained_run / "best", workplace / "moved")
    assert train.main([*TINY, "--backbone", "moved", "--run_name", "warm"]) == 0
    assert "seed 1 is finished" in capsys.readouterr().err
    (workplace / "moved" / "model.json").write_text(
        (workplace / "moved" / "model.json").read_text(encoding="utf-8") + "\n", encoding="utf-8"
    )
    assert train.main([*TINY, "--backbone", "moved", "--run_name", "warm"]) == 2
    assert 'backbone was "model ' in capsys.readouterr().err
    shutil.rmtree(workplace / "moved")
    assert train.main([*TINY, "--backbone", "./moved", "--run_name", "warm"]) == 2
    assert "./moved: no such model folder. Expected what training starts from." in capsys.readouterr().err


def test_new_labels_are_learned_and_old_ones_kept(trained_run: Path, workplace: Path, capsys) -> None:
    train_text = FLAT["train"] + "The O\nOdessa B-SHIP\nsailed O\n. O\n\n"
    corpus = write_corpus(workplace / "mine", {split: train_text for split in ("train", "dev", "test")})
    arguments = ["--dataset_name", "mine", "--kind", "flat", "--data_root", str(corpus), "--run_name", "r"]
    settings = ["--backbone", str(trained_run / "best"), "optim.lr=2e-3", "training.epochs=30", "pointer.unit=span"]
    assert train.main([*arguments, *settings, "--check_data"]) == 0
    assert "2 labels taken over by their words, 1 new: ship." in capsys.readouterr().out
    assert train.main([*arguments, *settings]) == 0
    scores = result(workplace / "runs" / "mine" / "r")["seeds"][0]["test"]
    assert scores["f"] == 100.0 and scores["per_label"]["SHIP"]["support"] == 1
    task = open_task(ModelFolder.read(workplace / "runs" / "mine" / "r" / "best"), "cpu", {})
    assert task.labels.tags == ("LOC", "PER", "SHIP")


def test_the_command_that_trains_a_finished_run_further(workplace: Path, capsys) -> None:
    corpus = write_corpus(workplace / "my corpus", FLAT)
    arguments = ["--dataset_name", "mine", "--kind", "flat", "--data_root", str(corpus), "--backbone", "scratch:tiny"]
    arguments += ["--seeds", "4", "labels.PER=a person", "--run_name", "first", "batching.size=2"]
    assert train.main([*arguments, "training.epochs=2"]) == 0
    capsys.readouterr()
    assert train.main([*arguments, "training.epochs=5"]) == 2
    err = capsys.readouterr().err
    assert "runs/mine/first: holds a run of 2 epochs and cannot be extended to 5. Expected" in err
    program, command, *rest = shlex.split(err.strip().rpartition("Start a new run from its model: ")[2])
    assert (program, command) == ("genner", "train") and rest[:2] == ["--dataset_name", "mine"]
    assert train.main(rest) == 0
    assert "2 labels taken over by their words, 0 new." in capsys.readouterr().err
    after = result(workplace / "runs" / "mine" / "first-plus-3")
    assert after["seeds"][0]["epochs"] == 3 and after["seeds"][0]["seed"] == 4
    recipe = (workplace / "runs" / "mine" / "first-plus-3" / "recipe.yaml").read_text(encoding="utf-8")
    assert "lr: 0.0005" in recipe and "PER: a person" in recipe and "backbone: ./runs/mine/first/best" in recipe
    assert train.main(rest) == 0  # and it can be repeated
