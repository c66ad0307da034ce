"""Processes of seeds and experiments: where they run, what of their messages is shown, how they end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from genner.app.launch import Outcome, device_arguments, places, run_all


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-9, "killed by SIGKILL (out of memory?)"),
        (-40, "killed by signal 40"),
        (-200, "killed by signal 200"),
        (1, "exit code 1: last"),
        (137, "exit code 137: last"),
        (0xC0000005, "exit code 0xc0000005: last"),
    ],
)
def test_every_return_code_has_a_reason(code: int, reason: str) -> None:
    assert Outcome(code, "last").reason == reason


@pytest.fixture()
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch says on a machine that this one is not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def visible(n_parallel: int, device: str) -> list[str | None]:
    return [place.environment.get("CUDA_VISIBLE_DEVICES") for place in places(n_parallel, device)]


def test_each_process_sees_one_gpu_and_takes_it(four_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visible(3, "auto") == visible(3, "cuda") == ["0", "1", "2"]
    assert visible(2, "cuda:1") == ["1", "1"]
    assert visible(5, "auto") == ["0", "1", "2", "3", "0"]
    assert visible(2, "cpu") == [None, None] and places(2, "cpu")[0].environment["OMP_NUM_THREADS"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-6,GPU-7")
    assert visible(2, "auto") == ["GPU-6", "GPU-7"] and visible(2, "cuda:1") == ["GPU-7", "GPU-7"]
    # The GPU that a process sees is its number 0, whatever its recipe calls it.
    assert device_arguments("cuda:1", 2) == device_arguments("cuda", 2) == ["training.device=auto"]
    assert device_arguments("cuda:1", 1) == device_arguments("cpu", 2) == device_arguments("auto", 2) == []


def test_without_a_gpu_a_device_stays_as_it_is() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert device_arguments("cuda:1", 2) == []  # and the process says that there is none
    assert visible(2, "cuda:1") == [None, None]


def test_nobody_waits_for_what_a_process_left_behind(tmp_path: Path) -> None:
    """Something that it started holds its standard error open and lives on."""
    left, note = "import time; time.sleep(300)", tmp_path / "pid"
    program = (
        "import pathlib, subprocess, sys\n"
        f"left = subprocess.Popen([sys.executable, '-c', {left!r}])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(left.pid))\n"
        "print('going', file=sys.stderr); sys.exit(3)"
    )
    try:
        ended = dict(run_all({1: python(program), 2: python("")}, 2))
        os.kill(int(note.read_text()), 0)  # it still runs
    finally:
        os.kill(int(note.read_text()), signal.SIGKILL)
    assert ended[1] == Outcome(3, "going") and ended[2].code == 0


TALK = """
import sys
lines = '''loading torch
train          1
──────────────
seed 1 in runs/mine
epoch 1/2: 20/100  loss 1.2  about 00:10 left
epoch 1/2  loss 1.2  dev F1 80.00
epoch 2: dev F1 fell from 80.00 to 1.00
collapsed: F1 1.00 on dev
Zoë'''
print(lines, file=sys.stderr)
sys.exit({code})
"""


def told(code: int, capfd: pytest.CaptureFixture[str], **options) -> list[str]:
    dict(run_all({7: python(TALK.replace("{code}", str(code))), 8: python("")}, 2, **options))
    out, err = capfd.readouterr()
    assert out == ""
    return [line.removeprefix("seed 7: ") for line in err.splitlines()]


def test_several_at_once_tell_a_line_per_epoch(tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # of this process; the pipe in between takes everything
    news = [
        "seed 1 in runs/mine",
        "epoch 1/2  loss 1.2  dev F1 80.00",
        "epoch 2: dev F1 fell from 80.00 to 1.00",
        "collapsed: F1 1.00 on dev",
    ]
    assert told(0, capfd) == news
    outputs = {7: tmp_path / "7.txt", 8: tmp_path / "8.txt"}
    assert told(1, capfd, outputs=outputs) == news
    text = outputs[7].read_text(encoding="utf-8")
    assert "──────" in text and text.endswith("Zoë\n") and "20/100" in text


def test_the_last_lines_of_one_that_fails_are_shown_where_no_file_has_them(capfd) -> None:
    shown = told(1, capfd)
    assert shown[-1] == "Zoë" and "loading torch" in shown
    usage = python("import sys; print('loading\\nerror: a: b.\\nc: d.', file=sys.stderr); sys.exit(2)")
    assert dict(run_all({1: usage, 2: python("")}, 2))[1].code == 2
    assert capfd.readouterr().err.splitlines() == ["seed 1: error: a: b.", "seed 1: c: d."]
