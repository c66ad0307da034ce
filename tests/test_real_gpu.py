"""What only a real GPU can show; the same is tested on a fake one in ``test_on_a_gpu.py``. ``make gpu`` runs these."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.gpu_parts import reported_waits
from benchmarks.models import pointer_task
from benchmarks.training_data import TrainingData
from tests.test_on_a_gpu import BART, EXAMPLES, LABELS, SEARCHES, T5, Training, found_by, numbers_of, talkative_model

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]


@pytest.fixture(autouse=True)
def any_algorithm() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("spec", [BART, T5])
@pytest.mark.parametrize("name", SEARCHES)
def test_searches_find_what_they_find_on_the_cpu(spec: str, name: str) -> None:
    model = talkative_model(spec)
    data = TrainingData(EXAMPLES, model.backbone.tokenizer, LABELS)
    task = pointer_task(model, data.codec, max_len=9, **SEARCHES[name])
    expected, _ = found_by(task, data, 8, "cpu")
    try:
        found_by(task, data, 8, "cuda")  # what is prepared at the first use may wait
        with reported_waits(torch.device("cuda")) as waits:
            found, n_steps = found_by(task, data, 8, "cuda")
    finally:
        task.to("cpu")
    assert found == [pytest.approx(one, rel=1e-4, abs=1e-6) for one in expected]
    assert len(waits) <= n_steps, waits


@pytest.mark.parametrize("spec", [BART, T5])
@pytest.mark.parametrize("bf16", [False, True])
def test_the_same_seed_gives_the_same_weights(spec: str, bf16: bool) -> None:
    runs = [Training(spec) for _ in range(2)]
    results = [training.run(device="cuda", bf16=bf16) for training in runs]
    assert numbers_of(results[0]) == numbers_of(results[1])
    weights = zip(*(training.task.state_dict().values() for training in runs), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_an_interrupted_training_continues_as_if_it_had_not_been(tmp_path) -> None:
    whole = Training(BART, tmp_path / "whole")
    expected = whole.run(device="cuda")
    cut = Training(BART, tmp_path / "parts")
    steps, loss = [], cut.task.loss
    cut.task.loss = lambda batch: steps.append(1) or (loss(batch) if len(steps) < 5 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cut.run(device="cuda")
    again = Training(BART, tmp_path / "parts")
    assert numbers_of(again.run(device="cuda")) == numbers_of(expected)
    pairs = zip(again.task.state_dict().values(), whole.task.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_losses_are_nearly_those_of_the_cpu() -> None:
    found, expected = (Training(BART, dropout=0.0).run(device=device).history for device in ("cuda", "cpu"))
    assert [record["loss"] for record in found] == pytest.approx([record["loss"] for record in expected], rel=1e-3)
