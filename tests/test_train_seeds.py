"""Several seeds from the command line: side by side, killed, failed, collapsed, begun again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genner.commands import train
from tests.test_train import FLAT, ROOT, SMALL, run, write_corpus

pytestmark = pytest.mark.slow


def command(corpus: Path, *more: str) -> list[str]:
    return ["--dataset_name", "mine", "--kind", "flat", "--data_root", str(corpus), "--run_name", "r", *SMALL, *more]


def start(workplace: Path, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments],
        cwd=workplace, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


def holder(path: Path) -> int:
    """The process that holds a run or seed, once there is one."""
    for _ in range(1200):
        if path.exists() and (found := re.match(r"process (\d+)", path.read_text())):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(f"nobody holds {path}")


def result_of(workplace: Path) -> dict:
    return json.loads((workplace / "runs" / "mine" / "r" / "result.json").read_text())


def test_one_failed_seed_does_not_lose_the_others_and_is_tried_again(workplace: Path) -> None:
    corpus = write_corpus(workplace / "mine", FLAT)
    arguments = command(corpus, "training.epochs=30", "--seeds", "1", "2", "--parallel", "2")
    process = start(workplace, arguments)
    folder = workplace / "runs" / "mine" / "r"
    os.kill(holder(folder / ".seed-2.holder"), signal.SIGKILL)
    # A second process on the same run is refused while the first one works.
    assert run(*arguments) == 2
    out, err = process.communicate(timeout=500)
    assert process.returncode == 1, err
    assert "seed 2 failed: killed by SIGKILL (out of memory?)" in err
    assert re.search(r"^seed 1: epoch \d+/30  loss", err, re.MULTILINE), "what a seed says comes with its number"
    assert "1 failed and left out" in out
    assert (result_of(workplace)["n_ok"], result_of(workplace)["n_failed"]) == (1, 1)
    first = (folder / "seed-1" / "result.json").read_bytes()

    again = start(workplace, arguments)
    out, err = again.communicate(timeout=500)
    assert again.returncode == 0, err
    assert "seed 1 is finished" in err and "taken over from process" in err
    assert (folder / "seed-1" / "result.json").read_bytes() == first
    result = result_of(workplace)
    assert (result["n_ok"], result["n_failed"]) == (2, 0)
    values = [seed["test"]["f"] for seed in result["seeds"]]
    assert result["mean"]["test_f"] == pytest.approx(sum(values) / 2)
    assert result["min"]["test_f"] == min(values) and len(result["ci95"]["test_f"]) == 2
    assert "95 %" in out


def test_the_same_seed_gives_identical_predictions_also_when_the_command_was_stopped(workplace: Path) -> None:
    corpus = write_corpus(workplace / "mine", FLAT)
    arguments = command(corpus, "training.epochs=20", "--seeds", "1", "2")
    process = start(workplace, arguments)
    folder = workplace / "runs" / "mine" / "r"
    holder(folder / ".seed-1.holder")
    while not (folder / "seed-1" / "last" / "state.pt").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert "interrupted; repeat the command to continue" in err and "Traceback" not in err
    assert not list(folder.glob(".*.holder")) and not list(folder.parent.glob(".*.holder"))
    for name in ("r", "s"):
        process = start(workplace, [name if word == "r" else word for word in arguments])
        assert process.communicate(timeout=500) and process.returncode == 0
    other = folder.with_name("s")
    for seed in ("seed-1", "seed-2"):
        for name in ("predictions.dev.jsonl", "predictions.test.jsonl", "best/model.safetensors"):
            assert (folder / seed / name).read_bytes() == (other / seed / name).read_bytes(), name
    assert (folder / "seed-1" / "best/model.safetensors").read_bytes() != (
        folder / "seed-2" / "best/model.safetensors"
    ).read_bytes()


def test_a_collapsed_seed_is_begun_anew_as_often_as_allowed(workplace: Path, capsys) -> None:
    corpus = write_corpus(workplace / "mine", FLAT)
    hopeless = ["training.epochs=3", "training.collapse_below=100.5", "training.collapse_from=2", "optim.lr=1e-4"]
    arguments = command(corpus, *hopeless)
    assert run(*arguments) == 0
    out, err = capsys.readouterr()
    assert "collapsed: F1" in err and "1 collapsed and left out" in out
    (seed,) = result_of(workplace)["seeds"]
    assert (seed["status"], seed["attempts"], seed["epochs"]) == ("collapsed", [], 2)
    assert result_of(workplace)["mean"] == {} and "test_f" in result_of(workplace)["mean_with_collapsed"]

    assert run(*arguments, "--on_collapse", "restart", "training.restarts=1") == 0
    err = capsys.readouterr().err
    assert "seed 1 again, attempt 2, learning rate 5e-05" in err
    (seed,) = result_of(workplace)["seeds"]
    assert seed["status"] == "collapsed" and len(seed["attempts"]) == 1
    assert seed["attempts"][0]["lr"] == 1e-4 and "is below 100.5" in seed["attempts"][0]["reason"]
    finished = (workplace / "runs" / "mine" / "r" / "seed-1" / "result.json").stat().st_mtime_ns
    assert run(*arguments, "--on_collapse", "restart", "training.restarts=1") == 0
    assert (workplace / "runs" / "mine" / "r" / "seed-1" / "result.json").stat().st_mtime_ns == finished


def test_usage_errors_of_seeds_end_the_command(workplace: Path, capfd) -> None:
    corpus = write_corpus(workplace / "mine", FLAT | {"test": "Odette B-SHIP\n"})
    assert run(*command(corpus, "training.epochs=1", "--seeds", "1", "2", "--parallel", "2")) == 2
    err = capfd.readouterr().err
    assert err.count("labels ['SHIP'], which train lacks") == 1 and "Traceback" not in err
    with pytest.raises(SystemExit, match="2"):
        train.main(["--parallel", "0"])


def test_a_full_disk_is_one_message(workplace: Path) -> None:
    corpus = write_corpus(workplace / "mine", FLAT)
    program = (
        "import resource, signal, sys; from genner.commands import train;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); sys.exit(train.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command(corpus, "training.epochs=1")],
        cwd=workplace, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "File too large. Expected room for the state and the best model" in done.stderr
    assert "Traceback" not in done.stderr
