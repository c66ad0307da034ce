"""The command itself: options, folders, speed; every source is documented."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genner.commands.prepare import SOURCES, main, parse
from genner.config import RECIPES
from genner.data.tally import Tally
from genner.data.writing import write_split
from genner.errors import DataFormatError

ROOT = Path(__file__).parents[3]
TEXT = "Ida of Reed Labs saw 3.5 mg. Rain fell on the left hip and knee!\n"
ANN = "T1\tPER 0 3\tIda\nT2\tORG 7 16\tReed Labs\nT3\tADR 46 54;59 63\tleft hip knee\n"


def files():
    texts = {f"{split}/0.txt": TEXT for split in ("train", "dev", "test")}
    return texts | {f"{split}/0.ann": ANN for split in ("train", "dev", "test")}


def test_every_recipe_but_the_demo_has_a_source():
    assert {folder.name for folder in RECIPES.iterdir()} - {"demo"} <= SOURCES.keys()


def test_as_a_module(write, tmp_path):
    options = ["--raw", str(write(files())), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "genner", "prepare", "brat", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "6 sentences in " in done.stdout and "oracle" not in done.stdout
    record = json.loads((tmp_path / "out/prepare.json").read_text())
    assert record["files"] == {"train": "train.txt", "dev": "dev.txt", "test": "test.txt"}
    assert record["verdict"] == []


def test_an_interrupted_preparation_leaves_nothing(write, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "genner", "prepare", "brat", "--raw", str(write(files())), "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        said = [next(line for line in process.stderr if line.startswith("writing 6 sentences"))]
        process.send_signal(signal.SIGINT)  # while the libraries for reading back are being loaded
        said += process.stderr
    assert process.returncode == 130
    assert said[-1] == "interrupted; no incomplete files are left\n"
    assert not out.exists()


def test_what_does_not_read_back_is_not_left(write, prepare, monkeypatch):
    monkeypatch.setattr("genner.data.prepare.summary.write_split", write_one_sentence_less)
    made = prepare("brat", write(files()))
    assert made.code == 2 and "train: 2 sentences were written but 1 read back" in made.err
    assert not made.folder.exists()


def write_one_sentence_less(folder, split, loader, examples, tally):
    return write_split(folder, split, loader, examples[1:], tally)


def test_known_set_of_another_name_gets_its_verdict(write, prepare):
    made = prepare("brat", write(files()), "--dataset", "CADEC", "--labels", "ADR")
    assert "CADEC: counts differ from the published copy: entities train 1, dev 1, test 1" in made.out
    assert "repeated" in made.out  # dev and test have the sentences of train


@pytest.mark.parametrize(
    "arguments", ["", "conll2004", "brat --raw x", "genia --raw x --out y --tags t", "hf --raw x --out y --labels X"]
)
def test_usage_errors(arguments):
    with pytest.raises(SystemExit) as error:
        main(arguments.split())
    assert error.value.code == 2


def test_folders(write, prepare, tmp_path):
    raw = write(files())
    assert main(["brat", "--raw", str(raw), "--out", str(raw)]) == 2
    assert "no such folder. Expected any folder of .txt and .ann" in prepare("brat", tmp_path / "nowhere").err
    inside = ["brat", "--raw", str(raw), "--out", str(raw / "made")]
    assert main(inside) == 2 and not (raw / "made").exists()
    assert "0.txt: a file. Expected a folder: any folder of .txt and .ann" in prepare("brat", raw / "train/0.txt").err
    (tmp_path / "out").mkdir()
    (tmp_path / "out/dev.jsonlines").write_text("{}\n")
    made = prepare("brat", raw)
    assert made.code == 2 and "dev.jsonlines of an earlier preparation. Expected an empty folder" in made.err
    assert sorted(path.name for path in made.folder.iterdir()) == ["dev.jsonlines"]


def test_preparing_again_gives_the_same_files(write, prepare):
    raw = write(files())
    first = {path.name: path.read_bytes() for path in prepare("brat", raw).folder.iterdir()}
    assert first == {path.name: path.read_bytes() for path in prepare("brat", raw).folder.iterdir()}


def test_debug_shows_the_error(tmp_path):
    with pytest.raises(DataFormatError, match="no such folder"):
        main(["brat", "--raw", str(tmp_path / "x"), "--out", str(tmp_path / "y"), "--debug"])


def test_tally_names_the_first_places():
    tally = Tally()
    for number in range(7):
        tally.add("odd", f"f:{number}")
    tally.add("rare", "g:1", 3)
    assert tally.lines() == ["7 x odd (f:0, f:1, f:2, f:3, f:4, ...)", "3 x rare (g:1)"]


def test_speed(write, prepare):
    """At least 2,000 sentences a second, reading to writing; here a fifth of it, for machines that do other things."""
    raw = write(files() | {"train/0.txt": TEXT * 4000})
    start = time.perf_counter()
    made = prepare("brat", raw)
    assert made.code == 0
    rate = int(made.out.split(" a second)")[0].rsplit("(", 1)[1].replace(",", ""))
    assert rate > 400 and time.perf_counter() - start < 60


def test_documentation_names_every_source():
    page = (ROOT / "docs/corpora.md").read_text(encoding="utf-8")
    for name in SOURCES:
        assert f"genner prepare {name} " in page


def shown_commands():
    lines = (line.strip() for line in (ROOT / "docs/corpora.md").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line.startswith("genner prepare ") and "<" not in line]


@pytest.mark.parametrize("line", shown_commands())
def test_every_shown_command_is_understood(line):
    assert parse(shlex.split(line)[2:]).name in SOURCES
