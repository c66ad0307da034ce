"""One run name, and everything that may change under it between two commands: the data, the settings, a kill."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genner.app.seed import finished_result, train_bundle
from genner.config import load_recipe
from genner.data.bundle import load_bundle, to_bundle
from genner.errors import ConfigError
from genner.training.runs import RunFolder
from tests.test_train import FLAT, ROOT, SMALL, run, write_corpus

pytestmark = pytest.mark.slow

RELABELLED = {split: text.replace("B-LOC", "B-PORT") for split, text in FLAT.items()}
LONGER = FLAT | {"train": FLAT["train"] + "\nZuri B-PER\nslept O\n", "test": FLAT["test"] + "\nZuri B-PER\n"}


def command(corpus: Path, *more: str) -> list[str]:
    settings = ["--run_name", "r", "training.epochs=2", *SMALL, *more]
    return ["--dataset_name", "mine", "--kind", "flat", "--data_root", str(corpus), *settings]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture()
def finished(workplace: Path) -> Path:
    """The folder of a finished run on ``mine``."""
    assert run(*command(write_corpus(workplace / "mine", FLAT))) == 0
    return workplace / "runs" / "mine" / "r"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            LONGER,
            "data: train differs (sentences: 2 before, 3 now; entities: 3 before, 4 now); data: test differs "
            "(sentences: 1 before, 2 now; entities: 2 before, 3 now).",
        ),
        (
            RELABELLED,
            "data: train differs (same counts, different content); data: test differs (same counts, different content)"
            "; labels removed: LOC; labels added: PORT.",
        ),
    ],
)
def test_other_data_under_the_name_of_a_finished_run_is_refused(finished, capsys, texts, expected) -> None:
    before = contents(finished)
    write_corpus(finished.parents[2] / "mine", texts)
    assert run(*command(finished.parents[2] / "mine")) == 2
    error = capsys.readouterr().err
    assert "r: holds another run: " in error and expected in error and "Choose another --run_name" in error
    assert contents(finished) == before


def test_what_does_not_shape_scores_may_differ(finished, capsys) -> None:
    before = contents(finished / "seed-1")
    elsewhere = shutil.copytree(finished.parents[2] / "mine", finished.parents[2] / "moved")
    free = ["training.device=cpu", "reported={f1: [91.2]}", "batching.eval_size=3", "data.cache=false"]
    assert run(*command(elsewhere, *free)) == 0
    assert "seed 1 is finished" in capsys.readouterr().err
    assert contents(finished / "seed-1") == before
    assert json.loads((finished / "result.json").read_text())["reported"] == {"f1": [91.2]}


def test_a_run_that_was_killed_does_not_go_on_with_other_data(workplace, capsys) -> None:
    arguments = command(write_corpus(workplace / "mine", FLAT), "training.epochs=500")
    process = subprocess.Popen([sys.executable, ROOT / "train.py", *arguments], cwd=workplace, stderr=subprocess.PIPE)
    folder = workplace / "runs" / "mine" / "r"
    while not (folder / "seed-1" / "last" / "previous.pt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    write_corpus(workplace / "mine", RELABELLED)
    assert run(*arguments) == 2
    assert "labels removed: LOC; labels added: PORT" in capsys.readouterr().err
    assert not (folder / "result.json").exists()


def test_killed_between_the_result_and_the_removal_of_the_state(workplace, finished, monkeypatch) -> None:
    expected = {name for name in contents(finished / "seed-1")}
    shutil.rmtree(finished)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "drop_state", die)
        assert run(*command(workplace / "mine")) == 130
    assert (finished / "seed-1" / "last" / "state.pt").exists()
    result = (finished / "seed-1" / "result.json").read_bytes()
    assert run(*command(workplace / "mine")) == 0
    assert {name for name in contents(finished / "seed-1")} == expected
    assert (finished / "seed-1" / "result.json").read_bytes() == result
    assert json.loads((finished / "result.json").read_text())["n_ok"] == 1


def test_more_epochs(workplace, finished, capsys) -> None:
    corpus, constant = workplace / "mine", ["optim.schedule=constant", "training.keep_state=true", "--run_name", "s"]
    assert run(*command(corpus, "training.epochs=3")) == 2
    assert "holds a run of 2 epochs and cannot be extended to 3." in capsys.readouterr().err
    assert run(*command(corpus, *constant)) == 0
    longer = finished.with_name("s")
    assert (longer / "seed-1" / "last" / "state.pt").exists()
    assert run(*command(corpus, *constant, "training.epochs=3", "training.keep_state=false")) == 0
    assert "resuming after epoch 2" in capsys.readouterr().err
    (seed,) = json.loads((longer / "result.json").read_text())["seeds"]
    assert seed["epochs"] == len(seed["history"]) == 3
    assert not (longer / "seed-1" / "last").exists()
    # The advice of the refusal.
    assert run(*command(corpus, "training.epochs=3", "--run_name", "t")) == 0


def test_a_bundle_made_by_hand_is_compared_as_well(workplace) -> None:
    recipe = load_recipe(None, ["kind=flat", "backbone=scratch:tiny", "training.epochs=1"])
    first, other = (
        to_bundle(load_bundle(write_corpus(workplace / name, texts), "conll").examples)
        for name, texts in (("a", FLAT), ("b", RELABELLED))
    )
    result = train_bundle(first, recipe, workplace / "r")
    before = contents(workplace / "r" / "seed-1")
    assert train_bundle(first, recipe, workplace / "r") == json.loads(json.dumps(result))
    assert contents(workplace / "r" / "seed-1") == before
    with pytest.raises(ConfigError, match=r"r: holds another run: data: train differs"):
        train_bundle(other, recipe, workplace / "r")


def test_a_collapsed_seed_is_finished_when_its_last_attempt_is(tmp_path) -> None:
    """Not when that attempt was killed: the result is that of the attempt before then."""
    run_folder = RunFolder(tmp_path)
    collapsed = {"seed": 1, "status": "collapsed", "attempts": []}
    run_folder.finish_seed(1, collapsed, "")
    restart = load_recipe(None, ["training.on_collapse=restart", "training.restarts=1"])
    assert finished_result(load_recipe(None), run_folder, 1) == collapsed
    assert finished_result(restart, run_folder, 1) is None
    run_folder.add_attempt(1, {"attempt": 1})
    assert finished_result(restart, run_folder, 1) is None
    assert finished_result(load_recipe(None), run_folder, 1) is None
    run_folder.finish_seed(1, collapsed | {"attempts": [{"attempt": 1}]}, "")
    assert finished_result(restart, run_folder, 1)["attempts"] == [{"attempt": 1}]
