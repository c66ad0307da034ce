"""A real Ctrl-C, in a process of its own: one line instead of a traceback, and nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import signal
import sys
from pathlib import Path
from tests.training.toy import ToyTask, toy_job
from genner.training.job import FitConfig
from genner.training.logs import console_log
from genner.training.trainer import fit

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
folder, epochs = Path(sys.argv[1]), 4000
try:
    with console_log():
        fit(toy_job(ToyTask(), folder=folder), FitConfig(epochs=epochs, device="cpu"))
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c(tmp_path):
    process = start(tmp_path)
    for line in process.stderr:
        if line.startswith("epoch 3/"):
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.rstrip().endswith("interrupted; repeat the command to resume after the last complete epoch")
    assert "Traceback" not in err
    written = {path.name for path in tmp_path.rglob("*")}
    assert written == {"last", "state.pt", "previous.pt", "predictions.dev.jsonl", "predictions.test.jsonl"}
    assert torch.load(tmp_path / "last" / "state.pt", weights_only=True)["run"]["epoch"] >= 2
