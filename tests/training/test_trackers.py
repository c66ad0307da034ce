"""TensorBoard, Weights & Biases and CodeCarbon: real packages, no network."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest

from genner.errors import ConfigError, MissingBackendError
from genner.training.job import FitConfig
from genner.training.state import seed_everything
from genner.training.trackers import build_trackers, read_emissions
from genner.training.trainer import fit
from tests.training.toy import ToyTask, toy_job


def train(folder, name, *, fail_at=None, epochs=3):
    seed_everything(99)
    job = toy_job(ToyTask(fail_at=fail_at), folder=folder)
    callbacks = list(build_trackers([name], folder, {"optim": {"lr": 0.05}}))
    return fit(job, FitConfig(epochs=epochs, device="cpu"), callbacks)


def interrupted(folder, name):
    """Stopped in the second epoch, then continued."""
    with pytest.raises(KeyboardInterrupt):
        train(folder, name, fail_at=8)
    return train(folder, name)


def test_tensorboard_has_one_value_per_epoch_also_after_an_interruption(tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    result = interrupted(tmp_path, "tensorboard")
    events = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"loss", "lr/0", "grad_norm", "dev/f", "dev/strict_f", "test/f"} <= set(events.Tags()["scalars"])
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(6 * row["epoch"], pytest.approx(row["loss"], rel=1e-6)) for row in result.history]
    assert [event.value for event in events.Scalars("dev/f")] == pytest.approx([row["dev_f"] for row in result.history])


def test_wandb_keeps_an_offline_run_and_says_what_it_needs_online(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(tmp_path, "wandb")
    (kept,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert kept.stat().st_size > 0
    monkeypatch.setattr(wandb, "init", partial(_refuse, wandb))
    with pytest.raises(ConfigError, match=r"--track wandb: no key. Expected an account or WANDB_MODE=offline"):
        train(tmp_path / "online", "wandb")


def _refuse(wandb, **_):
    raise wandb.errors.UsageError("no key")


def test_codecarbon_sums_up_over_continuations(tmp_path, monkeypatch):
    pytest.importorskip("codecarbon")
    monkeypatch.setenv("CODECARBON_COUNTRY_ISO_CODE", "DEU")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "codecarbon", fail_at=8)
    first = read_emissions(tmp_path)
    train(tmp_path, "codecarbon")
    both = read_emissions(tmp_path)
    assert both["kwh"] > first["kwh"] > 0 and both["kg_co2e"] > first["kg_co2e"] > 0
    assert both["country"] == "Germany"
    assert json.loads((tmp_path / "emissions.json").read_text()) == both
    assert read_emissions(tmp_path / "elsewhere") is None


def test_what_is_unknown_or_not_installed_is_told(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"unknown record 'mlflow'. Expected any of tensorboard, wandb, codecarbon"):
        list(build_trackers(["mlflow"], tmp_path, {}))
    for asked in ("tensorboard>=2.18", "wandb>=0.20", "codecarbon>=3"):
        name = asked.partition(">")[0]
        monkeypatch.setitem(sys.modules, name, None)  # what Python does where it is not installed
        message = rf"^--track {name}: {name} cannot be imported .*\. Run: .* -m pip install '{asked}'$"
        with pytest.raises(MissingBackendError, match=message):
            list(build_trackers([name], tmp_path, {}))
