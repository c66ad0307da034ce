"""Runs that are killed, at any moment and in any way, and begun again: the result is that of a run never killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
import torch
from fastNLP import Callback

from benchmarks import kills
from genner.errors import ConfigError
from genner.training.job import FitConfig
from genner.training.runs import locked
from genner.training.state import seed_everything
from genner.training.trackers import FitlogCallback
from genner.training.trainer import fit
from tests.training.toy import ToyTask, toy_job

EPOCHS = 8
SEED = 20261123

# A fork of a process that has torch and fastNLP in memory already: a process a test costs no ten seconds of imports.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tests.training.toy", "genner.training.trainer", "genner.training.trackers", *kills.PRELOADED]
)


def train(folder: Path, stop: tuple[str, int] | None = None, room: int | None = None) -> None:
    """Train to the end; ``stop`` dies before the n-th call of a function of ``os``, ``room`` is the largest file."""
    torch.set_num_threads(1)
    if stop is not None:
        die_at(*stop)
    if room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    seed_everything(99)
    task = ToyTask()
    job = toy_job(task, folder=folder / "seed-1", save=lambda path: torch.save(task.state_dict(), path / "weights.pt"))
    record = FitlogCallback(folder / "logs", {"lr": 0.05}, folder / "seed-1" / "fitlog.txt")
    with locked(folder / "seed-1"):
        result = fit(job, FitConfig(epochs=EPOCHS, device="cpu"), [record, EveryStep(folder / "steps.txt")])
    history = [{name: value for name, value in row.items() if "seconds" not in name} for row in result.history]
    end = {"history": history, "scores": result.scores, "best": result.best_epoch}
    torch.save(task.state_dict(), folder / "end.pt")
    (folder / "end.json").write_text(json.dumps(end))


class EveryStep(Callback):
    """Writes number, loss and learning rate of every step, also of those that are repeated later."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.loss = path, 0.0

    def on_before_backward(self, trainer, outputs) -> None:
        self.loss = outputs.mean.item()

    def on_after_optimizers_step(self, trainer, optimizers) -> None:
        rate = trainer.driver.optimizers[0].param_groups[0]["lr"]
        with self.path.open("a") as file:
            file.write(f"{trainer.optimizer_step} {self.loss!r} {rate!r}\n")


def die_at(name: str, number: int) -> None:
    """Let the process die, without a word, before its ``number``-th call of ``os.<name>``."""
    real, calls = getattr(os, name), [0]

    def counted(*arguments, **options):
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(os, name, counted)


def run(folder: Path, seconds: float | None = None, kill: int = signal.SIGKILL, **options) -> int:
    """Train in a process of its own and kill it after ``seconds``; returns its exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    process = CONTEXT.Process(target=train, args=(folder,), kwargs=options)
    process.start()
    if seconds is not None:
        process.join(seconds)
        if process.is_alive():
            os.kill(process.pid, kill)
    process.join(120)
    assert process.exitcode is not None, "the process hangs"
    return process.exitcode


def outcome(folder: Path) -> dict:
    """All that a run leaves, but times."""
    (record,) = (folder / "logs").iterdir()
    curves = {name: (record / f"{name}.log").read_text() for name in ("loss", "metric", "best_metric", "hyper")}
    predictions = {path.name: path.read_text() for path in (folder / "seed-1").glob("predictions.*")}
    weights = [
        {name: value.tolist() for name, value in torch.load(path, weights_only=True).items()}
        for path in (folder / "end.pt", folder / "seed-1" / "best" / "weights.pt")
    ]
    steps = sorted(set((folder / "steps.txt").read_text().splitlines()))
    files = {path.name for path in (folder / "seed-1").rglob("*")}
    return {"end": json.loads((folder / "end.json").read_text()), "curves": curves, "predictions": predictions} | {
        "weights": weights, "files": files, "steps": steps,
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[dict, float]:
    """A run never killed, and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder / "first")
    begun_at = time.monotonic()
    assert run(folder / "second") == 0
    assert outcome(folder / "first") == outcome(folder / "second")
    assert len(outcome(folder / "second")["steps"]) == 6 * EPOCHS
    return outcome(folder / "second"), time.monotonic() - begun_at


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_random_moments(tmp_path, whole, kill) -> None:
    expected, seconds = whole
    choose = random.Random(SEED + kill)
    n_kills = 0
    for _ in range(6):
        n_kills += run(tmp_path, choose.uniform(0.1, 0.7) * seconds, kill) != 0
    assert run(tmp_path) == 0
    assert n_kills >= 3
    assert outcome(tmp_path) == expected


@pytest.mark.slow
def test_a_command_killed_at_random_moments(tmp_path) -> None:
    """The real command, with evaluation, saving and calibration; ``python -m benchmarks.kills`` does it 100 times."""
    records = kills.kill_runs(tmp_path, 8, seed=3, with_several=False)
    assert sum(record["kills"] for record in records) >= 8
    assert not [record["differing"] for record in records if record["differing"]]
    assert len(kills.kill_runs(tmp_path, 8, seed=3, with_several=False)) == len(records), "what is done is done again"
    trial = kills.Trial(tmp_path / "whole-1" / "second", (1,))
    before, path = trial.outcome(), trial.folder / "runs" / "demo" / "r" / "seed-1" / "predictions.test.jsonl"
    path.write_bytes(path.read_bytes()[:-2] + b" \n")
    assert [name for name, value in trial.outcome().items() if value != before[name]] == ["1/predictions.test.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize("call", ["replace", "rename", "link"])
def test_killed_before_a_name_changes(tmp_path, whole, call) -> None:
    codes = [run(tmp_path, stop=(call, number)) for number in (1, 2, 3, 4)]
    assert codes == [-signal.SIGKILL] * 4
    assert run(tmp_path) == 0
    assert outcome(tmp_path) == whole[0]


def test_a_damaged_state_is_said_and_the_one_before_taken(tmp_path, caplog) -> None:
    from tests.training.test_trainer import run as run_here
    from tests.training.test_trainer import weights

    whole = run_here(tmp_path / "whole")
    run_here(tmp_path / "parts")
    for damage in ("cut", "bit"):
        path = tmp_path / "parts" / "last" / "state.pt"
        content = bytearray(path.read_bytes())
        if damage == "cut":
            del content[len(content) // 2 :]
        else:
            content[len(content) // 2] ^= 1  # within a tensor: torch itself would not notice
        path.write_bytes(content)
        again = run_here(tmp_path / "parts")
        assert "state.pt: damaged" in caplog.text and "resuming from the previous epoch" in caplog.text
        assert len(again[1]) == 6, "one epoch is repeated"
        assert again[0].scores == whole[0].scores
        assert torch.equal(weights(again[2]), weights(whole[2]))
        caplog.clear()
    for name in ("state.pt", "previous.pt"):
        (tmp_path / "parts" / "last" / name).write_bytes(b"half")
    with pytest.raises(ConfigError, match=r"previous.pt: cannot be resumed: File is not a zip file. Expected"):
        run_here(tmp_path / "parts")


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_state(tmp_path, whole) -> None:
    assert run(tmp_path, stop=("replace", 6)) == -signal.SIGKILL
    before = (tmp_path / "seed-1" / "last" / "state.pt").read_bytes()
    assert run(tmp_path, room=len(before) // 2) == 1
    assert (tmp_path / "seed-1" / "last" / "state.pt").read_bytes() == before
    assert not list((tmp_path / "seed-1").rglob("*.tmp"))
    assert run(tmp_path) == 0
    assert outcome(tmp_path) == whole[0]


def test_a_second_process_is_refused_and_a_stale_lock_is_not(tmp_path, caplog) -> None:
    caplog.set_level("INFO", logger="genner.training")
    folder = tmp_path / "run"
    holder = CONTEXT.Process(target=_hold, args=(folder, tmp_path / "held"))
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    in_use = rf"run: in use by process {holder.pid} on .* choose another name"
    with pytest.raises(ConfigError, match=in_use), locked(folder):
        raise AssertionError("both hold it")
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with locked(folder):
        assert f"taken over from process {holder.pid}" in caplog.text
    caplog.clear()
    with locked(folder):
        assert caplog.text == ""


def _hold(folder: Path, sign: Path) -> None:
    with locked(folder):
        sign.touch()
        time.sleep(600)
