"""genner calibrate: the model folder learns what its scores mean, and which misses it can promise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from genner.commands import predict
from genner.commands.calibrate import main, parse
from genner.data.demo import demo_corpus
from genner.data.tally import Tally
from genner.data.writing import write_split


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of sentences with gold entities, which training never saw."""
    sentences = [drawn.example for drawn in demo_corpus(seed=77, sizes={"train": 0, "dev": 120, "test": 0})["dev"]]
    return write_split(tmp_path_factory.mktemp("calibrate"), "dev", "discontinuous", sentences, Tally())


@pytest.fixture
def model(trained_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained_model, tmp_path / "best")
    (tmp_path / "best" / "calibration.json").unlink()
    return tmp_path / "best"


def test_scores_and_misses(model: Path, dev: Path, capsys: pytest.CaptureFixture) -> None:
    calibrate = [str(model), "--input", str(dev), "--format", "discontinuous"]
    assert predict.main([str(model), "--text", "My left knee hurts.", "--alpha", "0.5"]) == 2
    assert "the misses of" in capsys.readouterr().err
    assert main(calibrate) == 0
    assert "scores (symbols of num_beams 1): " in capsys.readouterr().out
    stored = json.loads((model / "calibration.json").read_text(encoding="utf-8"))
    assert [fitted["kind"] for fitted in stored["scores"]] == ["symbols of num_beams 1"] and stored["misses"] is None
    assert main([*calibrate, "--misses", "num_beams=4"]) == 0
    assert "; --alpha from 0." in capsys.readouterr().out
    stored = json.loads((model / "calibration.json").read_text(encoding="utf-8"))
    assert [fitted["kind"].split()[0] for fitted in stored["scores"]] == ["symbols", "nbest"]
    assert stored["misses"]["choices"]["num_beams"] == "4"
    assert predict.main([str(model), "--text", "My left knee hurts.", "--alpha", "0.9"]) == 0


def test_texts_without_known_entities(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "plain.txt").write_text("My left knee hurts.\n", encoding="utf-8")
    assert main([str(model), "--input", str(tmp_path / "plain.txt")]) == 2
    assert "plain.txt: 0 texts read, 1 without gold, 0 failed" in capsys.readouterr().err
    assert not (model / "calibration.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "arguments are required: --input"),
        (["--input", "x", "--format", "html"], "argument --format: invalid choice: 'html'"),
        (["--input", "x", "--text", "y"], "unrecognized arguments: --text y"),
    ],
)
def test_usage(options: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(["model", *options])
    assert message in capsys.readouterr().err
