"""The compiled training step: the same numbers, one graph for all lengths, nothing else compiled."""

from __future__ import annotations

import random
from contextlib import nullcontext

import pytest
import torch
from fastNLP import Callback
from torch._dynamo.utils import counters
from torch._inductor import config as inductor_config

from genner.errors import MissingBackendError
from genner.training.driver import CompiledStep
from genner.training.job import FitConfig, LossSum
from genner.training.state import seed_everything
from genner.training.trainer import fit
from tests.training.pointer import PointerTraining
from tests.training.toy import ToyTask, toy_job

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("without_code_generation")
def test_batches_of_all_lengths_share_one_graph_that_computes_what_eager_mode_does():
    pointer, choose = PointerTraining(sampled_prefix=0.2), random.Random(2)
    step = CompiledStep(pointer.task.loss, CPU)
    sizes = [8, *(choose.randint(6, 20) for _ in range(8))]
    batches = [pointer.data.batch(choose.sample(range(80), size)) for size in sizes]
    assert len({batch["src_tokens"].shape for batch in batches}) > 6
    assert len({batch["tgt_tokens"].shape[1] for batch in batches}) > 3
    counters.clear()
    # Sizes of 1, which the compiler takes for constants: one sentence; no entity; both.
    lone = (pointer.with_entity[:1], pointer.without_entity[:1], pointer.without_entity[:5])
    batches += [pointer.data.batch(places) for places in lone]
    for number, batch in enumerate([*batches, *batches]):
        loss, gradients = pointer.gradients(step, batch)
        expected_loss, expected = pointer.gradients(pointer.task.loss, batch)
        assert loss == pytest.approx(expected_loss, rel=1e-5)  # dropout and prefixes: the draws are the same
        torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-5)
        if number < len(sizes):
            assert counters["stats"]["unique_graphs"] == 1
    assert counters["stats"]["unique_graphs"] == 4
    assert not counters["graph_break"]


@pytest.mark.slow
def test_the_trainer_compiles_the_step_and_nothing_else():
    """With accumulation, clipping and bfloat16: weights as without compiling, state and evaluation as ever."""
    results = []
    for compiled in (True, False):
        pointer = PointerTraining()
        trainer = pointer.trainer(compile=compiled, bf16=True, accumulate=2, clip_value=0.1)
        counters.clear()
        torch.manual_seed(5)
        trainer.run()
        n_graphs = counters["stats"]["unique_graphs"]
        assert (n_graphs, trainer.num_batches_per_epoch) == (int(compiled), 10)
        results.append((list(pointer.task.state_dict()), torch.cat([w.flatten() for w in pointer.task.parameters()])))
        pointer.task.eval()
        batch = pointer.data.batch(range(7))
        pointer.task.model(batch["src_tokens"], batch["src_seq_len"], batch["tgt_tokens"])
        assert counters["stats"]["unique_graphs"] == n_graphs
    (names, weights), (expected_names, expected) = results
    assert names == expected_names
    # AdamW makes whole steps of the rate of gradients that are noise: those may differ, the others may not.
    difference = (weights - expected).abs()
    assert difference.max() < 1e-2 and difference.mean() < 2e-4


def test_a_machine_without_a_compiler_is_told_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    step = CompiledStep(lambda batch: LossSum((batch["x"].sin() + 1).sum(), 3), CPU)
    message = (
        r"training.compile: the step cannot be compiled here: InvalidCxxCompiler.* Expected a C\+\+ compiler and "
        r"Python's headers \(CPU\) or triton \(GPU\). Install them .*, or set training.compile=false"
    )
    no_compiler = inductor_config.patch({"cpp.cxx": (str(tmp_path / "no-compiler"),)})
    with no_compiler, pytest.raises(MissingBackendError, match=message):
        step({"x": torch.ones(3, requires_grad=True)})


class _Interrupt(Callback):
    def on_train_epoch_begin(self, trainer):
        if trainer.cur_epoch_idx == 2:
            raise KeyboardInterrupt


class _Plain(ToyTask):
    """Without the counter, which would be a constant of the graph."""

    def loss(self, batch):
        logits, labels = self.head(self.dropout(self.embedding(batch["words"]))), batch["labels"].flatten()
        total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels, ignore_index=-1, reduction="sum")
        return LossSum(total, (labels >= 0).sum())


@pytest.mark.slow
def test_a_compiled_run_that_is_continued_equals_one_that_was_not_interrupted(tmp_path):
    found = []
    for folder, callbacks in (("whole", []), ("parts", [_Interrupt()]), ("parts", [])):
        seed_everything(99)
        task = _Plain()
        job = toy_job(task, folder=tmp_path / folder, save=lambda path: None)
        with pytest.raises(KeyboardInterrupt) if callbacks else nullcontext():
            found.append(fit(job, FitConfig(epochs=4, compile=True, device="cpu"), callbacks))
        found.append(torch.cat([weight.flatten() for weight in task.parameters()]))
    whole, expected, _, continued, weights = found
    torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-6)
    assert [epoch["loss"] for epoch in continued.history] == pytest.approx([epoch["loss"] for epoch in whole.history])
    assert whole.scores == continued.scores
