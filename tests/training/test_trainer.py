"""The Trainer on a toy task: same seed same results, continuation, accumulation, choice of the best epoch."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from fastNLP import Callback

from genner.errors import ConfigError
from genner.training.job import FitConfig, LossSum
from genner.training.optim import Schedule, build_optimizer
from genner.training.state import seed_everything
from genner.training.trainer import fit
from tests.training.toy import Losses, ToyTask, toy_job


class Watch(Callback):
    """Records learning rates and evaluations; interrupts the run after an epoch if told to."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.rates, self.evaluations, self.stop_after = [], [], stop_after

    def on_after_optimizers_step(self, trainer, optimizers):
        self.rates.append(optimizers.param_groups[0]["lr"])

    def on_evaluate_end(self, trainer, results):
        self.evaluations.append(results)

    def on_train_epoch_begin(self, trainer):
        if trainer.cur_epoch_idx == self.stop_after:
            raise KeyboardInterrupt


def run(folder=None, *, epochs=4, make=ToyTask, watch=None, seed=1, lr=0.05, schedule=None, **config):
    """One training from the beginning; returns result, losses, task and what was watched."""
    seed_everything(99)  # the same initial weights every time
    losses = Losses([])
    task = losses.record(make())
    watch = watch or Watch()
    optimizer = build_optimizer([{"params": task.parameters(), "weight_decay": 0.01}], lr=lr)
    job = toy_job(task, folder=folder, optimizer=optimizer, schedule=schedule or Schedule("linear", 0.1))
    job.save = lambda path: torch.save(task.state_dict(), path / "weights.pt")
    result = fit(job, FitConfig(**{"epochs": epochs, "seed": seed, "device": "cpu", **config}), [watch])
    return result, losses.values, task, watch


def biased(bias: float) -> ToyTask:
    """A task that begins with this much more liking for the label of no entity."""
    task = ToyTask()
    with torch.no_grad():
        task.head.bias[0] += bias
    return task


def weights(task):
    return torch.cat([parameter.detach().flatten() for parameter in task.parameters()])


def test_it_learns_and_says_what_it_did(tmp_path, caplog):
    caplog.set_level("INFO", logger="genner.training")
    result, losses, _, watch = run(tmp_path)
    assert result.scores["dev"]["f"] > 90
    assert (result.status, result.epochs, result.steps) == ("ok", 4, 24)
    assert len(losses) == len(watch.rates) == 24
    assert result.steps_per_second > 0
    assert [record["loss"] for record in result.history] == pytest.approx(
        [sum(losses[start : start + 6]) / 6 for start in range(0, 24, 6)]
    )
    line = next(message for message in caplog.messages if message.startswith("epoch 1/4"))
    assert "loss" in line and "dev F1" in line and "s training" in line


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    first, again, other = run(seed=1), run(seed=1), run(seed=2)
    assert first[1] == again[1]
    assert torch.equal(weights(first[2]), weights(again[2]))
    assert first[1] != other[1]


@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_run_that_is_continued_equals_one_that_was_not_interrupted(tmp_path, stop_after):
    whole, whole_losses, whole_task, whole_watch = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", watch=Watch(stop_after))
    torch.rand(17)  # whatever happens in between
    result, losses, task, watch = run(tmp_path / "parts")
    assert losses == whole_losses[6 * stop_after :]
    assert watch.rates == whole_watch.rates[6 * stop_after :]
    assert torch.equal(weights(task), weights(whole_task))
    assert [record["loss"] for record in result.history] == [record["loss"] for record in whole.history]
    assert result.scores == whole.scores
    assert result.best_epoch == whole.best_epoch


def test_an_interruption_within_an_epoch_goes_back_to_its_begin(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", make=partial(ToyTask, fail_at=15))
    left = {path.name for path in (tmp_path / "parts").rglob("*")}
    assert left == {
        "last", "state.pt", "previous.pt", "best", "weights.pt", "predictions.dev.jsonl", "predictions.test.jsonl",
    }  # fmt: skip
    _, losses, task, _ = run(tmp_path / "parts")
    assert losses == whole[1][12:]
    assert torch.equal(weights(task), weights(whole[2]))


def test_a_finished_run_is_not_repeated(tmp_path):
    first = run(tmp_path)
    again, losses, task, _ = run(tmp_path)
    assert losses == []
    assert again == first[0]
    assert torch.equal(weights(task), weights(first[2]))


def test_the_state_of_another_run_is_refused(tmp_path):
    run(tmp_path, epochs=2)
    with pytest.raises(ConfigError, match=r"state.pt: saved in a run of 12 steps, this one has 18"):
        run(tmp_path, epochs=3)


def test_a_run_with_a_constant_rate_goes_on_for_more_epochs(tmp_path):
    """Its warm-up is that of the run as it was begun, also if it is interrupted on the way."""
    schedule = Schedule("constant", 0.5)
    whole = run(tmp_path / "whole", epochs=4, schedule=Schedule("constant", 6))  # half of the 12 steps of two epochs
    run(tmp_path / "parts", epochs=2, schedule=schedule)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", epochs=4, schedule=schedule, watch=Watch(3))
    result, losses, task, watch = run(tmp_path / "parts", epochs=4, schedule=schedule)
    assert losses == whole[1][18:] and watch.rates == whole[3].rates[18:]
    assert torch.equal(weights(task), weights(whole[2]))
    assert (result.epochs, result.steps, result.scores) == (4, 24, whole[0].scores)


def test_a_state_that_is_not_plain_is_refused_and_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    run(tmp_path, epochs=1)
    torch.save({"run": Trap()}, tmp_path / "last" / "state.pt")
    with pytest.raises(ConfigError, match=r"state.pt: cannot be resumed"):
        run(tmp_path, epochs=2)
    assert not (tmp_path / "executed").exists()


def test_the_state_is_plain(tmp_path):
    run(tmp_path, epochs=1)
    content = torch.load(tmp_path / "last" / "state.pt", weights_only=True)
    assert set(content) == {"version", "run", "model", "optimizer", "random"}


@pytest.mark.parametrize("weighed", [True, False])
def test_eight_batches_of_one_learn_what_one_batch_of_eight_does(weighed):
    """Only if the mean losses are weighed by their number of symbols, since sentences differ in length."""
    sums = []
    for batch_size, accumulate in ((8, 1), (1, 8)):
        seed_everything(99)
        task = ToyTask(dropout=0.0)
        if not weighed:
            loss = task.loss
            task.loss = lambda batch, loss=loss: LossSum(loss(batch).mean, 1)
        job = toy_job(task, batch_size=batch_size, shuffle=False, n=44)
        recorded = []
        watch = _Weights(task, recorded)
        fit(job, FitConfig(epochs=2, accumulate=accumulate, device="cpu"), [watch])
        assert len(recorded) == 12  # 44 sentences: five steps of eight and one of four, in each epoch
        sums.append(torch.stack(recorded))
    difference = (sums[0] - sums[1]).abs().max()
    assert difference < 1e-4 if weighed else difference > 1e-3


class _Weights(Callback):
    def __init__(self, task, recorded):
        super().__init__()
        self.task, self.recorded = task, recorded

    def on_after_optimizers_step(self, trainer, optimizers):
        self.recorded.append(weights(self.task).clone())


def test_the_learning_rate_follows_the_schedule_also_when_batches_are_accumulated():
    schedule = Schedule("linear", 0.3)
    _, _, _, watch = run(accumulate=4, schedule=schedule)
    assert watch.rates == pytest.approx([0.05 * schedule.factor(step, 8) for step in range(1, 9)])  # 6 batches: 4 + 2


def test_gradients_are_clipped_by_value():
    seen = []

    class Peek(Callback):
        def on_after_optimizers_step(self, trainer, optimizers):
            seen.append(max(parameter.grad.abs().max().item() for parameter in trainer.model.parameters()))

    for clip_value in (0.001, 0.0):
        seed_everything(99)
        fit(toy_job(ToyTask()), FitConfig(epochs=1, clip_value=clip_value, device="cpu"), [Peek()])
    assert max(seen[:6]) == pytest.approx(0.001)
    assert max(seen[6:]) > 0.01


def test_evaluation_begins_late_and_test_is_looked_at_when_dev_improves(tmp_path):
    result, _, _, watch = run(tmp_path, epochs=5, evaluate_from=3)
    assert [results["epoch"] for results in watch.evaluations] == [3, 4, 5]
    best = 0.0
    for results in watch.evaluations:
        value = results["scores"]["dev"]["f"]
        assert results["best"] == (value > best) == ("test" in results["scores"])
        best = max(best, value)
    assert result.best_epoch == max(results["epoch"] for results in watch.evaluations if results["best"])
    lines = (tmp_path / "predictions.test.jsonl").read_text().splitlines()
    assert len(lines) == 20 and "pred" in json.loads(lines[0])
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["weights.pt"]


def test_when_evaluation_begins_does_not_change_the_training():
    assert run(evaluate_from=1)[1] == run(evaluate_from=4)[1]


def test_the_best_epoch_may_be_chosen_on_test():
    result, _, _, watch = run(select_on="test")
    values = [results["scores"]["test"]["f"] for results in watch.evaluations]
    assert len(values) == 4
    assert result.best_epoch == values.index(max(values)) + 1
    assert set(result.scores) == {"dev", "test"}


def test_a_missing_split_or_device_is_named():
    job = toy_job(ToyTask())
    job.loaders = {"train": job.loaders["train"], "test": job.loaders["test"]}
    with pytest.raises(ConfigError, match=r"the data has no dev split.* Set training.select_on=test"):
        fit(job, FitConfig(epochs=1))
    with pytest.raises(ConfigError, match=r"training.select_on: cannot select on 'train'"):
        fit(job, FitConfig(epochs=1, select_on="train"))
    with pytest.raises(ConfigError, match=r"0 epochs, 1 batches per step. Expected at least 1 of each"):
        fit(job, FitConfig(epochs=0, select_on="test"))
    with pytest.raises(ConfigError, match=r"device: unknown device 'gpu'"):
        fit(job, FitConfig(epochs=1, select_on="test", device="gpu"))
    with pytest.raises(ConfigError, match=r"evaluate_from: epoch 3 is after the last one, 2"):
        fit(job, FitConfig(epochs=2, evaluate_from=3, select_on="test"))
    job.examples = {}
    with pytest.raises(ConfigError, match="no examples of test to score"):
        fit(job, FitConfig(epochs=1, select_on="test"))
    job.loaders = {}
    with pytest.raises(ConfigError, match="no train split among no splits"):
        fit(job, FitConfig(epochs=1))


def test_a_run_that_finds_nothing_has_collapsed_and_stays_so(tmp_path):
    make = partial(biased, 100.0)  # no word is an entity
    result, losses, _, _ = run(tmp_path, epochs=6, make=make, lr=1e-9)
    assert (result.status, result.epochs, len(losses)) == ("collapsed", 5, 30)
    again, losses, _, _ = run(tmp_path, epochs=6, make=make, lr=1e-9)
    assert (again.status, losses) == ("collapsed", [])


def test_a_loss_that_is_no_number_ends_the_run(caplog):
    result, losses, _, _ = run(make=partial(biased, float("nan")))
    assert (result.status, result.epochs, len(losses), result.best_epoch) == ("collapsed", 0, 1, 0)
    assert result.reason == "the mean loss is nan in epoch 1" and result.reason in caplog.text


def test_bf16_is_entered_by_the_trainer_and_the_weights_stay_float32():
    kinds = set()

    class Peek(ToyTask):
        def loss(self, batch):
            kinds.add(self.head(self.embedding(batch["words"])).dtype)
            return super().loss(batch)

        def predict(self, batches):
            for batch in batches:
                kinds.add(self.head(self.embedding(batch["words"])).dtype)
                yield from super().predict([batch])

    result, _, task, _ = run(make=Peek, bf16=True)
    assert kinds == {torch.bfloat16}
    assert task.head.weight.dtype == torch.float32
    assert result.scores["dev"]["f"] > 90
