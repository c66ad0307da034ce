"""The best model and its predictions change together with the checkpoint that names their epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

from genner.training import selection
from genner.training.best import settle_best, write_best
from genner.training.job import FitConfig
from genner.training.state import load_state
from genner.training.trainer import fit
from tests.training.toy import ToyTask, toy_job


def write(folder: Path, epoch: int) -> None:
    def fill(model: Path, others: Path) -> None:
        (model / "weights").write_text(f"model {epoch}")
        (others / "predictions.dev.jsonl").write_text(f"predictions {epoch}")

    write_best(folder, epoch, fill)


def read(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.mark.parametrize(("epoch", "expected"), [(3, 3), (2, 2), (0, 2)])
def test_the_epoch_of_the_checkpoint_decides(tmp_path: Path, epoch: int, expected: int) -> None:
    write(tmp_path, 2)
    settle_best(tmp_path, 2)
    write(tmp_path, 3)
    settle_best(tmp_path, epoch)
    assert read(tmp_path) == [f"model {expected}", f"predictions {expected}"]
    assert {path.name for path in tmp_path.iterdir()} == {"best", "predictions.dev.jsonl"}


def test_without_a_checkpoint_nothing_is_kept(tmp_path: Path) -> None:
    write(tmp_path, 1)
    settle_best(tmp_path, 1)
    write(tmp_path, 2)
    settle_best(tmp_path, None)
    assert not any(tmp_path.iterdir())


def test_settling_may_be_cut_off_and_repeated(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / ".best-of-epoch-1" / "predictions.dev.jsonl").rename(tmp_path / "predictions.dev.jsonl")
    settle_best(tmp_path, 1)
    settle_best(tmp_path, 1)
    assert read(tmp_path) == ["model 1", "predictions 1"]


@pytest.mark.parametrize("cut_off", ["before", "after"])
def test_a_killed_run_has_the_best_model_of_its_checkpoint(tmp_path: Path, monkeypatch, cut_off: str) -> None:
    """Cut off between a new best model and its checkpoint, or between the checkpoint and the model's place."""
    calls, saved = [], []

    def save(folder: Path) -> None:
        (folder / "weights").write_text(str(len(saved)))
        saved.append(len(saved))

    def killed(real, *args):
        calls.append(args)
        if len(calls) == 2 and cut_off == "after":
            real(*args)
        if len(calls) >= 2:
            raise SystemExit
        real(*args)

    job = toy_job(ToyTask(), folder=tmp_path, save=save)
    real = selection.save_state
    monkeypatch.setattr(selection, "save_state", lambda *args: killed(real, *args))
    with pytest.raises(SystemExit):
        fit(job, FitConfig(epochs=4, device="cpu", collapse_below=0))
    monkeypatch.undo()
    fresh = toy_job(ToyTask(), folder=tmp_path, save=save)
    state = load_state(tmp_path / "last", fresh.task, fresh.optimizer, total_steps=24)
    assert state.epoch == (1 if cut_off == "before" else 2)
    settle_best(tmp_path, state.best["epoch"])
    assert (tmp_path / "best" / "weights").read_text() == str(state.best["epoch"] - 1)
    result = fit(toy_job(ToyTask(), folder=tmp_path, save=save), FitConfig(epochs=4, device="cpu", collapse_below=0))
    assert result.epochs == 4 and not list(tmp_path.glob(".best*"))
