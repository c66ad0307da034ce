"""Every path that a GPU takes, on the fake one: nothing mixes devices, and the numbers are those of the CPU."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.models import LENGTHS, pointer_task
from benchmarks.training_data import TrainingData
from genner import cli, load
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.demo import demo_corpus
from genner.data.tally import Tally
from genner.data.writing import write_split
from genner.evaluation.span_f1 import SpanF1
from genner.formulations.pointer.task import PointerTask
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone
from genner.prediction.results import TextResult
from genner.training.evaluation import predict
from genner.training.job import FitConfig, FitJob, FitResult
from genner.training.optim import Schedule, build_optimizer
from genner.training.trainer import fit
from tests.fake_cuda import FakeCuda

BART, T5 = "scratch:tiny", "scratch-t5:tiny"
EXAMPLES = draw_sentences(24, LENGTHS[:8])
GPU = torch.device("cuda", 0)


@cache
def backbone_parts(spec: str) -> tuple:
    words = [example.words for example in EXAMPLES]
    backbone = load_backbone(spec, corpus_words=words, seed=5, dropout=0.1)
    return backbone.tokenizer, words


def make_model(spec: str, dropout: float = 0.1) -> PointerModel:
    torch.manual_seed(7)
    tokenizer, words = backbone_parts(spec)
    backbone = load_backbone(spec, tokenizer=tokenizer, corpus_words=words, seed=5, dropout=dropout)
    shares = dict.fromkeys(("dropout", "word_dropout", "sampled_prefix"), dropout)
    return PointerModel(backbone, LABELS, PointerConfig(**shares, draft_unit="word"))


class Training:
    """A job of two epochs of three batches."""

    def __init__(self, spec: str, folder: Path | None = None, *, dropout: float = 0.1) -> None:
        model = make_model(spec, dropout)
        data = TrainingData(EXAMPLES, model.backbone.tokenizer, LABELS)
        self.task = pointer_task(model, data.codec, draft_len=3)
        optimizer = build_optimizer(self.task.parameter_groups(0.01), 1e-3)
        loaders = {"train": data.loader(size=8, shuffle=True, bucket=True), "dev": data.loader(size=16)}
        examples, schedule = {"dev": EXAMPLES}, Schedule("linear", 0.1)
        save = self.task.save if folder else None
        self.job = FitJob(self.task, loaders, examples, SpanF1, optimizer, schedule, folder=folder, save=save)

    def run(self, **config: object) -> FitResult:
        return fit(self.job, FitConfig(**{"epochs": 2, "collapse_below": 0, **config}))


def numbers_of(result: FitResult) -> list:
    return [{name: record[name] for name in ("loss", "grad_norm", "dev_f")} for record in result.history]


# Training


@pytest.mark.parametrize(
    ("spec", "config"), [(BART, {}), (T5, {}), (BART, {"accumulate": 2, "clip_value": 0.0})], ids=str
)
def test_training_equals_that_on_the_cpu(spec: str, config: dict) -> None:
    expected = Training(spec).run(device="cpu", **config)
    with FakeCuda() as cuda:
        training = Training(spec)
        found = training.run(device="auto", **config)
        assert found.device == "cuda:0" and {weight.device for weight in training.task.parameters()} == {GPU}
        states = training.job.optimizer.state.values()
        assert {value.device for state in states for value in state.values()} == {GPU}
    assert numbers_of(found) == numbers_of(expected)
    # Model and loss never wait: only the losses that are watched or shown, and a mask of transformers.
    ours = ("model/pointer", "model/drafts", "genner/formulations")
    assert not [where for where in cuda.waits if where.startswith(ours)]


@pytest.mark.parametrize("spec", [BART, T5])
def test_mixed_precision(spec: str) -> None:
    with FakeCuda():
        result = Training(spec).run(device="cuda", bf16=True)
    assert all(0 < record["loss"] < 20 for record in result.history)


def test_an_interrupted_training_continues_with_states_and_random_numbers_of_the_gpu(tmp_path: Path) -> None:
    with FakeCuda() as cuda:
        whole = Training(BART, tmp_path / "whole")
        expected = whole.run(device="cuda")
        training = Training(BART, tmp_path / "parts")
        steps, loss = [], training.task.loss
        training.task.loss = lambda batch: steps.append(1) or (loss(batch) if len(steps) < 5 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            training.run(device="cuda")
        cuda.random_state = torch.Generator().manual_seed(99).get_state()
        again = Training(BART, tmp_path / "parts")
        found = again.run(device="cuda")
        assert numbers_of(found) == numbers_of(expected)
        pairs = zip(again.task.state_dict().values(), whole.task.state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        assert {value.device for state in again.job.optimizer.state.values() for value in state.values()} == {GPU}
    with_gpu = load(tmp_path / "parts" / "best", device="cpu", words="plain", language="xx")
    assert with_gpu.task.model.input_rows.device.type == "cpu", "what was saved on a GPU opens without one"


def test_memory_is_counted_once_the_gpu_is_ready() -> None:
    with FakeCuda() as cuda:
        Training(BART).run(device="auto", epochs=1)
    assert cuda.calls.index("init") < cuda.calls.index("reset_peak_memory_stats")
    assert cuda.calls[-1] != "init" and "manual_seed_all" in cuda.calls


def noted(task: PointerTask, name: str) -> set[bool]:
    """Whether deterministic algorithms were on when a method of the task was called."""
    seen, method = set(), getattr(task, name)

    def call(argument: object) -> object:
        seen.add(torch.are_deterministic_algorithms_enabled())
        return method(argument)

    setattr(task, name, call)
    return seen


def test_deterministic_algorithms_are_chosen_before_the_gpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen = {}

    def placed(task: PointerTask, device: torch.device) -> None:
        seen[len(seen)] = torch.are_deterministic_algorithms_enabled(), os.environ.get("CUBLAS_WORKSPACE_CONFIG")
        task.to(device)

    try:
        for is_on in (False, True):
            training = Training(BART)
            training.job = replace(training.job, placement=placed)
            used = {name: noted(training.task, name) for name in ("loss", "predict")}
            with FakeCuda():
                training.run(device="cuda", epochs=1, deterministic=is_on)
            assert used == {"loss": {is_on}, "predict": {False}}
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == {0: (False, None), 1: (True, ":4096:8")}


def test_the_cpu_is_left_as_it_is() -> None:
    Training(BART).run(device="cpu", epochs=1)
    assert not torch.are_deterministic_algorithms_enabled()


# Prediction


@cache
def talkative_model(spec: str) -> PointerModel:
    """A random model may end every sentence at once: a small EOS embedding prevents that."""
    model = make_model(spec).eval()
    torch.manual_seed(4)
    torch.nn.init.normal_(model.backbone.embedding.weight, std=1.0)
    model.backbone.embedding.weight.data[model.backbone.eos_id] *= 0.2
    return model.double()  # attention is computed in another way on a GPU, which rounds differently


def found_by(task: PointerTask, data: TrainingData, batch_size: int, device: str) -> tuple[list, int]:
    """Scores of entities and counts of rejects by sentence, and the number of steps."""
    task.to(device)
    steps, step = [], task.model.step
    task.model.step = lambda *args: steps.append(1) or step(*args)
    order = sorted(range(len(EXAMPLES)), key=lambda place: -data.lengths[place])
    batches = [data.batch(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
    try:
        found = predict(task, batches, len(EXAMPLES))
    finally:
        del task.model.step
    return [dict(zip(one.entities, one.scores, strict=True)) | Counter(one.rejected) for one in found], len(steps)


SEARCHES = {
    "greedy": {},
    "drafts": {"draft_len": 4, "draft_rows": 99},
    "4 beams": {"num_beams": 4},
    "n-best": {"num_beams": 4, "scores": "nbest", "candidates": True},
    "unconstrained": {"constrained": False},
    "unconstrained beams": {"constrained": False, "num_beams": 3},
    "penalties": {"length_penalty": 0.8, "repetition_penalty": 1.3},
}
FEW = ("greedy", "drafts", "4 beams")


@pytest.mark.parametrize(
    ("spec", "name", "batch_size"),
    [*((BART, name, 8) for name in SEARCHES), *((T5, name, 8) for name in FEW), *((BART, name, 1) for name in FEW)],
)
def test_searches_find_what_they_find_on_the_cpu_and_wait_less_than_once_a_step(
    spec: str, name: str, batch_size: int
) -> None:
    model = talkative_model(spec)
    data = TrainingData(EXAMPLES, model.backbone.tokenizer, LABELS)
    task = pointer_task(model, data.codec, max_len=9, **SEARCHES[name])
    expected, n_on_cpu = found_by(task, data, batch_size, "cpu")
    with FakeCuda() as cuda:
        task.to("cuda")
        cuda.waits.clear()
        found, n_steps = found_by(task, data, batch_size, "cuda")
        waits = cuda.n_waits
        task.to("cpu")
    assert found == list(map(pytest.approx, expected)) and any(found)
    assert waits <= n_steps and n_steps < 1.5 * n_on_cpu, dict(cuda.waits)


@pytest.mark.parametrize(
    ("unit", "structure"),
    [
        ("span", "discontinuous"), ("bpe", "discontinuous"), ("span_bpe", "discontinuous"), ("word", "nested"),
        ("span", "nested"), ("bpe", "flat"),
    ],
)  # fmt: skip
def test_constraints_of_every_kind(unit: str, structure: str) -> None:
    model = talkative_model(BART)
    data = TrainingData(EXAMPLES, model.backbone.tokenizer, LABELS)
    task = pointer_task(model, PointerCodec(PointerVocab(LABELS), unit), structure, max_len=9)
    expected, _ = found_by(task, data, 8, "cpu")
    with FakeCuda():
        found, _ = found_by(task, data, 8, "cuda")
        task.to("cpu")
    assert found == list(map(pytest.approx, expected)) and any(found)


# Whole commands


def found_in(result: TextResult) -> list:
    return [(entity.type, entity.text, pytest.approx(entity.score, rel=1e-4)) for entity in result.entities]


@pytest.mark.slow
def test_commands_from_training_to_texts_and_calibration(workplace: Path) -> None:
    limits = ["--limit", "60", "training.epochs=1", "--runs_dir", "runs", "--run_name", "gpu"]
    with FakeCuda() as cuda:
        assert cli.main(["train", *limits]) in (0, None)
        seed = workplace / "runs" / "demo" / "gpu" / "seed-1"
        result = json.loads((seed / "result.json").read_text())
        assert result["peak_memory_mb"] == 3.0 and cuda.calls[-1] == "max_memory_allocated"
        options = {"device": "auto", "words": "plain", "language": "xx"}
        plain = load(seed / "best", **options, calibrated=False)
        likely = load(seed / "best", **options, num_beams=4, scores="nbest", candidates=True)
        texts = ["Anna Berg has a cold in Paris .", "Nothing", "The swelling of my left knee was gone . " * 30]
        on_gpu = [plain(texts), likely(texts)]
        assert {weight.device for weight in plain.task.parameters()} == {GPU}
        sentences = [drawn.example for drawn in demo_corpus(seed=77, sizes={"train": 0, "dev": 30, "test": 0})["dev"]]
        gold = write_split(workplace, "dev", "discontinuous", sentences, Tally())
        reads = [str(seed / "best"), "--input", str(gold), "--format", "discontinuous", "--device", "cuda"]
        assert cli.main(["predict", *reads, "--output", str(workplace / "found.jsonl")]) in (0, None)
        assert cli.main(["calibrate", *reads, "--misses", "num_beams=4"]) in (0, None)
    on_cpu = load(seed / "best", **options | {"device": "cpu"}, calibrated=False)(texts)
    assert [found_in(result) for result in on_gpu[0]] == [found_in(result) for result in on_cpu]
    assert any(found_in(result) for result in on_gpu[1])
