"""Sixty training steps of the reference, repeated through our Trainer: losses, learning rates, norms of the weights."""

from __future__ import annotations

import functools
import importlib.util
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from fastNLP import Callback
from torch import nn

from genner.data.alignment import WordTokenizer
from genner.data.bundle import load_bundle
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.encoded import collate_pointer
from genner.data.loaders import LoaderOptions
from genner.data.pipe import PipeConfig, PointerPipe
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone
from genner.training.job import FitConfig, FitJob, LossSum
from genner.training.optim import Schedule, build_optimizer
from genner.training.samplers import LoaderConfig, build_loader
from genner.training.trainer import EntityTrainer
from genner.training.world import World

# pytest's import mode gives test folders no package to import a neighbour from.
_SPEC = importlib.util.spec_from_file_location("reference_weights", Path(__file__).with_name("reference_weights.py"))
reference_weights = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference_weights)

LOSS_TOLERANCE = 1e-5
NORM_TOLERANCE = 1e-6
# The gradient of a key projection's bias is rounding noise that AdamW blows up to full steps.
NOISY_NORM_TOLERANCE = 1e-3


@functools.cache
def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


class Task(nn.Module):
    """The model as the Trainer wants it."""

    def __init__(self, model: PointerModel) -> None:
        super().__init__()
        self.model = model

    def loss(self, batch):
        found = self.model(**{name: batch[name] for name in ("src_tokens", "src_seq_len", "tgt_tokens", "tgt_seq_len")})
        return LossSum(found["total"], found["weight"])


class Recorder(Callback):
    """Losses by batch; learning rates by optimizer step, as they are while the optimizer uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.losses, self.rates = [], []

    def on_before_backward(self, trainer, outputs):
        self.losses.append(outputs.mean.item())

    def on_after_optimizers_step(self, trainer, optimizers):
        self.rates.append(optimizers.param_groups[0]["lr"])


@pytest.fixture(scope="module")
def instances(parity_dir):
    """Fields of the first 160 training sentences, through our loader and pipe in compat mode."""
    pipe = read_json(parity_dir / "pipe_flat.json")
    corpus = load_bundle(parity_dir / "inputs" / "conll2003", "conll", LoaderOptions(compat=True))
    tags = sorted(pipe["tag_to_index"], key=pipe["tag_to_index"].get)
    words = [pipe["tag_to_token"][tag][2:-2] for tag in tags]
    tokenizer = load_backbone(str(parity_dir / "inputs" / "bart_tiny")).tokenizer
    word_tokenizer = WordTokenizer(tokenizer, compat=True, label_words=words)
    codec = PointerCodec(PointerVocab(tuple(tags)), "word", compat=True)
    encoder = PointerPipe(word_tokenizer, codec, PipeConfig(use_cache=False))
    rows = list(encoder.encode_splits({"train": corpus.examples["train"][:160]})["train"])
    recorded = pipe["instances"][0]
    assert rows[0]["src_tokens"] == recorded["src_tokens"]
    assert rows[0]["tgt_tokens"] == recorded["targets"]["word"]["tgt_tokens"]
    return rows


def build_task(parity_dir: Path) -> Task:
    pipe = read_json(parity_dir / "pipe_flat.json")
    words = [pipe["tag_to_token"][tag][2:-2] for tag in pipe["tag_to_index"]]
    backbone = load_backbone(str(parity_dir / "inputs" / "bart_tiny"), dropout=0.0)
    model = PointerModel(backbone, words, PointerConfig("avg_feature", True, 0.0, compat=True))
    reference_weights.load_recorded_weights(model, parity_dir / "weights_forward.npz")
    return Task(model)


def train(parity_dir, instances, schedule, *, batch_size=8, accumulate=1, epochs=3, fused=False, dtype=torch.float32):
    task = build_task(parity_dir).to(dtype)
    collate = partial(collate_pointer, pad_id=task.model.backbone.pad_id)
    lengths = [row["src_seq_len"] for row in instances]
    job = FitJob(
        task=task,
        loaders={"train": build_loader(instances, lengths, collate, LoaderConfig(size=batch_size))},
        examples={},
        metric=lambda: None,
        optimizer=build_optimizer(task.model.parameter_groups(0.01), lr=1e-3, compat=not fused),
        schedule=schedule,
    )
    recorder = Recorder()
    config = FitConfig(epochs=epochs, accumulate=accumulate, clip_value=5.0)
    trainer = EntityTrainer(job, config, [recorder], World(torch.device("cpu")))
    trainer.run(catch_KeyboardInterrupt=False)
    return task.model, recorder


@pytest.mark.parametrize("warmup", [0.01, 0.1])
def test_sixty_steps_are_those_of_the_reference(parity_dir, instances, warmup):
    recorded = read_json(parity_dir / "trajectory.json")[f"linear_warmup{warmup}"]
    model, recorder = train(parity_dir, instances, Schedule("linear", warmup, compat=True))
    assert len(recorder.losses) == 60
    assert recorder.rates == pytest.approx(recorded["lr"], rel=1e-12, abs=1e-15)
    difference = max(abs(ours - theirs) for ours, theirs in zip(recorder.losses, recorded["loss"], strict=True))
    assert difference <= LOSS_TOLERANCE, difference
    parameters = dict(model.named_parameters())
    for name, theirs in recorded["l2_after_60"].items():
        ours = parameters[reference_weights.our_name(name)].double().norm().item()
        tolerance = NOISY_NORM_TOLERANCE if name.endswith("k_proj.bias") else NORM_TOLERANCE
        assert ours == pytest.approx(theirs, rel=tolerance), name


def test_in_double_precision_the_fused_optimizer_does_the_same(parity_dir, instances):
    """In single precision it rounds otherwise, and the difference grows; see ``build_optimizer``."""
    recorded = read_json(parity_dir / "trajectory.json")["linear_warmup0.01_float64"]
    schedule = Schedule("linear", 0.01, compat=True)
    model, recorder = train(parity_dir, instances, schedule, fused=True, dtype=torch.float64)
    # The model computes its loss in single precision.
    assert recorder.losses == pytest.approx(recorded["loss"], abs=1e-6)
    parameters = dict(model.named_parameters())
    for name, theirs in recorded["l2_after_60"].items():
        assert parameters[reference_weights.our_name(name)].norm().item() == pytest.approx(theirs, rel=1e-7), name


def test_the_groups_of_the_optimizer_are_those_of_the_reference(parity_dir):
    recorded = read_json(parity_dir / "trajectory.json")["param_groups"]
    model = build_task(parity_dir).model
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model.parameter_groups(0.01), lr=1e-3)
    for decays in (True, False):
        theirs = [name for group in recorded if bool(group["weight_decay"]) is decays for name in group["names"]]
        ours = [group["params"] for group in optimizer.param_groups if bool(group["weight_decay"]) is decays]
        assert {names[parameter] for group in ours for parameter in group} == set(
            map(reference_weights.our_name, theirs)
        )


def test_the_learning_rate_factors_are_those_of_the_reference(parity_dir):
    recorded = read_json(parity_dir / "trajectory.json")["lr_factor"]
    assert len(recorded) == 12
    for name, theirs in recorded.items():
        kind, warmup = name.rsplit("_", 1)
        schedule = Schedule(kind, float(warmup), compat=True)
        ours = [schedule.factor(step, 60) for step in range(1, 61)]
        assert ours == pytest.approx(theirs, rel=0, abs=1e-12), name


def test_eight_batches_of_one_give_the_losses_of_one_batch_of_eight(parity_dir, instances):
    """The loss of a step of accumulated batches is their mean by number of symbols."""
    schedule = Schedule("linear", 0.1)
    rows = instances[:44]  # the last step of an epoch has four sentences
    _, whole = train(parity_dir, rows, schedule, epochs=2)
    _, single = train(parity_dir, rows, schedule, batch_size=1, accumulate=8, epochs=2)
    assert len(whole.rates) == 12 and single.rates == whole.rates
    weights = [row["tgt_seq_len"] - 1 for row in rows] * 2
    starts = [epoch * 44 + start for epoch in range(2) for start in range(0, 44, 8)]
    for start, loss in zip(starts, whole.losses, strict=True):
        end = min(start + 8, (start // 44 + 1) * 44)
        part = range(start, end)
        mean = sum(single.losses[idx] * weights[idx] for idx in part) / sum(weights[idx] for idx in part)
        assert mean == pytest.approx(loss, abs=LOSS_TOLERANCE)
