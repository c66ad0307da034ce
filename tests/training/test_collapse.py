"""What ends a run early, what is only worth a warning, and that a healthy run raises neither."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from genner.training.job import FitConfig, LossSum
from genner.training.selection import alarms, collapse_reason, health
from tests.training.test_trainer import biased, run
from tests.training.toy import ToyTask


@pytest.mark.parametrize(
    ("settings", "epoch", "f", "collapsed"),
    [
        ({"epochs": 30}, 15, 3.99, True),
        ({"epochs": 30}, 15, 4.0, False),
        ({"epochs": 30}, 14, 0.0, False),
        ({"epochs": 6}, 4, 0.0, False),
        ({"epochs": 6}, 5, 0.0, True),
        ({"epochs": 30, "collapse_from": 2}, 2, 0.0, True),
        ({"epochs": 30, "collapse_from": 2}, 1, 0.0, False),
        ({"epochs": 30, "collapse_below": 0.0}, 30, 0.0, False),
        ({"epochs": 30, "collapse_below": 50.0}, 20, 49.0, True),
    ],
)
def test_f1_under_the_threshold_after_the_epoch(settings, epoch, f, collapsed):
    reason = collapse_reason(FitConfig(**settings), epoch, f)
    assert bool(reason) == collapsed
    if collapsed:
        assert f"F1 {f:.2f} on dev after epoch {epoch} is below" in reason


def test_what_is_watched_of_the_scores():
    scores = {"em": 40.0, "predicted": 6, "support": 5, "rejected": {"order": 1, "empty": 3}}
    assert health(scores) == {"em": 40.0, "rejected": 40.0, "length": 2.0}
    assert health({"em": 100.0, "predicted": 0, "support": 0, "rejected": {}})["rejected"] == 0.0


GOOD = {"dev_f": 80.0, "dev_rejected": 1.0, "dev_length": 1.0, "grad_norm": 2.0, "grad_norm_max": 9.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"dev_f": 39.0}, ["dev F1 fell from 80.00 to 39.00"]),
        ({"dev_rejected": 51.0}, ["51 % of what is written on dev is malformed"]),
        ({"dev_length": 0.05}, ["0.05 entities are written on dev for every gold one"]),
        ({"dev_length": 3.5}, ["3.50 entities are written on dev for every gold one"]),
        ({"grad_norm_max": 300.0}, ["a gradient's norm rose to 300, from 2 on average"]),
        ({"dev_f": 0.0, "dev_length": 0.0}, ["dev F1 fell", "0.00 entities"]),
    ],
)
def test_alarms(change, said):
    found = list(alarms([GOOD, GOOD | {"dev_f": 60.0}, GOOD | change], "dev"))
    assert len(found) == len(said)
    assert all(text.startswith(beginning) for text, beginning in zip(found, said, strict=True))


def test_a_run_that_has_learned_nothing_yet_is_not_suspicious():
    poor = GOOD | {"dev_f": 3.0, "dev_length": 0.0}
    assert not list(alarms([poor, poor | {"dev_f": 1.0}], "dev"))
    assert not list(alarms([poor], "dev"))
    not_evaluated = {"grad_norm": 2.0, "grad_norm_max": 2.0}
    assert not list(alarms([GOOD, not_evaluated], "dev"))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_healthy_run_raises_no_alarm(seed, caplog):
    result, _, _, _ = run(seed=seed, epochs=6)
    assert result.status == "ok" and not result.reason
    assert not [record for record in result.history if "alarms" in record]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert all(record["grad_norm_max"] >= record["grad_norm"] > 0 for record in result.history)
    assert {"dev_f", "dev_em", "dev_rejected", "dev_length", "test_f"} <= result.history[0].keys()


class Poisoned(ToyTask):
    """Its loss or a gradient is no number from the ``at``-th step on, or its words are forgotten."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__()
        self.what, self.at = what, at

    def loss(self, batch):
        if self.steps == self.at and self.what == "weights":
            with torch.no_grad():
                nn.init.constant_(self.head.weight, 0.0)
                self.head.bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
        found = super().loss(batch)
        if self.steps > self.at and self.what != "weights":
            # The square root of nothing: a finite loss with a gradient that is no number.
            extra = (self.head.bias * 0).sum().abs().sqrt() if self.what == "gradient" else float(self.what)
            found = LossSum(found.total + extra, found.weight)
        return found


@pytest.mark.parametrize(
    ("what", "at", "reason"),
    [("nan", 14, "mean loss is nan"), ("inf", 14, "mean loss is inf"), ("gradient", 17, "gradients' norm is nan")],
)
def test_what_is_no_number_ends_the_epoch_at_once_and_the_run_stays_collapsed(tmp_path, what, at, reason):
    result, losses, _, _ = run(tmp_path, make=partial(Poisoned, what, at=at), epochs=9)
    assert result.status == "collapsed"
    assert reason in result.reason and "in epoch 3" in result.reason
    assert (result.epochs, result.best_epoch, len(losses)) == (2, 2, 18)
    again, losses, _, _ = run(tmp_path, make=partial(Poisoned, what, at=at), epochs=9)
    assert (again.status, again.reason, losses) == ("collapsed", result.reason, [])


def test_forgetting_everything_is_an_alarm(caplog):
    result, _, _, _ = run(make=partial(Poisoned, "weights", at=23), epochs=8, lr=0.1)
    (found,) = [record["alarms"] for record in result.history if "alarms" in record][:1]
    assert any("dev F1 fell from" in text for text in found)
    assert "dev F1 fell from" in caplog.text


def test_an_attempt_after_a_collapse_begins_anew(tmp_path):
    make = partial(biased, 100.0)  # no word is an entity
    first, _, _, _ = run(tmp_path, epochs=6, make=make, lr=1e-9)
    assert first.status == "collapsed" and "is below 4.0" in first.reason
    assert (tmp_path / "best").exists()
    second, losses, _, _ = run(tmp_path, epochs=6, attempt=1, seed=2)
    assert second.status == "ok" and second.best_epoch > 0
    assert len(losses) == 36, "nothing of the first attempt is used"
