"""Training and Trainer step: ours / the bare backbone's; bf16; drawn prefixes (``python -m benchmarks.training_step``).

``training_step``: forward with loss, and backward. Bare: forward and backward of the same network, in training mode
like ours, on the same pieces and decoder inputs, without head or loss: its last states get a constant gradient. The
optimizer is in neither.

``trainer_step``: what a run does for a batch: the loader, both steps above, the norm of the gradients and their
clipping, learning rate, optimizer, progress. Bare: forward and backward of the network as above, on batches made
beforehand, and the same optimizer over the network alone. ``waiting for the loader`` is its share of the time, without
worker processes.

``bf16_step``: our training step under ``training.bf16`` / without it. ``sampled_step``: with prefixes that the model
draws itself (``pointer.sampled_prefix``) / without them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.models import LENGTHS, Shape, Workload, pointer_task
from benchmarks.timing import compare, interleave
from benchmarks.training_data import TrainingData
from genner import patches  # noqa: F401  before fastNLP
from genner.training.job import FitConfig, FitJob
from genner.training.optim import Schedule, build_optimizer
from genner.training.trainer import EntityTrainer
from genner.training.world import World

# isort: split
from fastNLP import Callback

__all__ = ["main", "measure"]

_GOAL = 1.08
_TRAINER_GOAL = 1.10
_N_BATCHES = 4
_LR = 1e-5


def measure(settings: Settings) -> list[Measure]:
    """Time both pairs of steps, the sides of each alternately."""
    workload = Workload(Shape.quick() if settings.quick else Shape(), settings.device)
    workload.model.train()
    parts = (_measure_step, _measure_trainer, _measure_bf16, _measure_sampled)
    return run_benchmark(__doc__, [part(workload, settings) for part in parts])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("training_step", measure, __doc__, argv)


def _measure_step(workload: Workload, settings: Settings) -> Measure:
    sides = {"ours": _our_step(workload), "bare": _bare_step(workload)}
    found = interleave(sides, rounds=settings.n_rounds(15), device=settings.device, warmup=2)
    value, details = compare(found, "ours", "bare", settings.device)
    details["batch"] = workload.describe()
    return Measure("training_step", value, "ratio", _GOAL, details)


def _our_step(workload: Workload, *, bf16: bool = False, sampled_prefix: float = 0.0) -> Callable[[], None]:
    model, batch = workload.model, workload.batch
    config = replace(model.config, sampled_prefix=sampled_prefix)

    def step() -> None:
        model.config = config
        model.zero_grad(set_to_none=True)
        with torch.autocast(batch["src_tokens"].device.type, torch.bfloat16, enabled=bf16):
            loss = model(batch["src_tokens"], batch["src_seq_len"], batch["tgt_tokens"])["loss"]
        loss.backward()

    return step


def _bare_step(workload: Workload) -> Callable[[], None]:
    network, width = workload.model.backbone.network, workload.model.backbone.hidden_size
    fields = _bare_fields(workload.batch["src_tokens"], workload.src_mask, workload.inputs)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        _bare_pass(network, fields, width)

    return step


def _bare_fields(src_tokens: Tensor, src_mask: Tensor, inputs: Tensor) -> dict[str, Tensor]:
    """The network's arguments for sources, (B, S), True = piece, and decoder inputs, (B, T)."""
    return {"input_ids": src_tokens, "attention_mask": src_mask.long(), "decoder_input_ids": inputs}


def _bare_pass(network: torch.nn.Module, fields: dict[str, Tensor], width: int) -> None:
    states = network(**fields, use_cache=False).last_hidden_state
    states.backward(states.new_full((1, 1, width), 1e-3).expand_as(states))


class _Waiting(Callback):
    """Time, as in :class:`benchmarks.timing.Side`, of waiting for each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self._begun_at = 0.0, 0.0

    def on_fetch_data_begin(self, trainer: EntityTrainer) -> None:
        self._begun_at = time.process_time()

    def on_fetch_data_end(self, trainer: EntityTrainer) -> None:
        self.seconds += time.process_time() - self._begun_at


def _measure_trainer(workload: Workload, settings: Settings) -> Measure:
    model, device = workload.model, settings.device
    n_sentences = _N_BATCHES * len(workload.batch["src_tokens"])
    data = TrainingData(draw_sentences(n_sentences, LENGTHS), model.backbone.tokenizer, LABELS)
    loader = data.loader(size=len(workload.batch["src_tokens"]))
    task = pointer_task(model, data.codec)
    optimizer = build_optimizer(task.parameter_groups(0.01), _LR)
    job = FitJob(task, {"train": loader}, {}, list, optimizer, Schedule("constant", 0))
    config, rounds, waiting = FitConfig(epochs=1), settings.n_rounds(7), _Waiting()
    logging.getLogger("fastNLP").setLevel(logging.WARNING)
    trainers = [EntityTrainer(job, config, [waiting], World(torch.device(device))) for _ in range(rounds + 1)]
    fresh = iter(trainers)
    sides = {"ours": lambda: next(fresh).run(), "bare": _bare_epoch(workload, list(loader))}
    found = interleave(sides, rounds=rounds, device=device)
    value, details = compare(found, "ours", "bare", device)
    share = waiting.seconds / (rounds + 1) * rounds / sum(found["ours"].cpu)
    details |= {"waiting for the loader": f"{100 * share:.2f} %", "batches in a round": _N_BATCHES}
    return Measure("trainer_step", value, "ratio", _TRAINER_GOAL, details)


def _bare_epoch(workload: Workload, batches: list[dict[str, Any]]) -> Callable[[], None]:
    """The network's own passes and the optimizer over its parameters."""
    backbone, prepared = workload.model.backbone, [_bare_batch(workload, batch) for batch in batches]
    network = backbone.network
    optimizer = build_optimizer([{"params": network.parameters(), "weight_decay": 0.01}], _LR)

    def run() -> None:
        for fields in prepared:
            optimizer.zero_grad(set_to_none=True)
            _bare_pass(network, fields, backbone.hidden_size)
            optimizer.step()

    return run


def _bare_batch(workload: Workload, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's fields of a collated batch: the embedding rows of its symbols as decoder inputs, padded."""
    model, device = workload.model, workload.batch["src_tokens"].device
    names = ("src_tokens", "src_seq_len", "tgt_tokens", "tgt_seq_len")
    src_tokens, src_seq_len, tgt_tokens, tgt_seq_len = (batch[name].to(device) for name in names)
    rows = torch.cat([model.input_rows.expand(len(src_tokens), -1), src_tokens], dim=1).gather(1, tgt_tokens[:, :-1])
    is_padding = torch.arange(rows.shape[1], device=device) >= tgt_seq_len.unsqueeze(1)
    src_mask = torch.arange(src_tokens.shape[1], device=device) < src_seq_len.unsqueeze(1)
    return _bare_fields(src_tokens, src_mask, rows.masked_fill(is_padding, model.backbone.pad_id))


def _measure_bf16(workload: Workload, settings: Settings) -> Measure:
    sides = {"bf16": _our_step(workload, bf16=True), "float32": _our_step(workload)}
    found = interleave(sides, rounds=settings.n_rounds(15), device=settings.device, warmup=2)
    value, details = compare(found, "bf16", "float32", settings.device)
    return Measure("bf16_step", value, "ratio", None, details)


def _measure_sampled(workload: Workload, settings: Settings) -> Measure:
    sides = {"drawn": _our_step(workload, sampled_prefix=0.15), "gold": _our_step(workload)}
    found = interleave(sides, rounds=settings.n_rounds(15), device=settings.device, warmup=2)
    value, details = compare(found, "drawn", "gold", settings.device)
    return Measure("sampled_step", value, "ratio", None, details)


if __name__ == "__main__":
    main()
