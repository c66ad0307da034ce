"""Training step, decoding and encoder of one shape on a GPU; a phase of :mod:`benchmarks.gpu`.

Sentences are invented, weights random; decoding is forced to write the gold targets (:mod:`benchmarks.guided`). The
share of the peak is the number of operations that torch counts over what a large product of matrices reaches on the
same machine in the same precision; that product reaches 80 to 90 % of a data sheet.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.guided import GuidedModel
from benchmarks.models import LENGTHS, Shape, build_model, pointer_task
from benchmarks.splits import EvaluationSplit, invented_split
from benchmarks.timing import interleave
from genner import patches  # noqa: F401  before fastNLP
from genner.formulations.pointer.task import PointerTask
from genner.training.evaluation import predict, to_device
from genner.training.optim import build_optimizer
from genner.training.world import open_world

__all__ = ["main", "reported_waits"]

_SHAPES = {
    "base": Shape(width=768, layers=6, heads=12, vocab_size=50_265),
    "large": Shape(width=1024, layers=12, heads=16, vocab_size=50_265),
}
_PRECISIONS = {"bfloat16": True, "float32": False}
_BATCH, _N_SENTENCES, _BEAMS = 32, 320, 4
_SLOTS = 64


class _Parts:
    """The measurements of a shape.

    Args:
        name: of the shape.
        device: where.
        quick: tiny sizes.
    """

    def __init__(self, name: str, device: str, *, quick: bool) -> None:
        self.device, self.quick = open_world(device).device, quick
        shape = Shape.quick() if quick else _SHAPES[name]
        self.rounds = 1 if quick else 5
        self.note(f"BART-{name}: {shape.layers} + {shape.layers} layers of width {shape.width}")
        small = replace(Shape.quick(), vocab_size=shape.vocab_size if quick else 4000)
        split = invented_split(draw_sentences(12 if quick else _N_SENTENCES, LENGTHS, seed=12), small)
        model = build_model(shape, split.model.backbone.tokenizer, LABELS).to(self.device)
        self.split: EvaluationSplit = replace(split, model=model)
        rows = self.split.longest_first()
        middle = len(rows) // 2
        self.rows = rows[max(middle - _BATCH // 2, 0) : middle + _BATCH // 2]  # of a usual length
        self.batch = to_device(self.split.batches(self.rows, _BATCH)[0], self.device)
        self.peaks = {precision: self.peak(dtype) for precision, dtype in self.dtypes.items()}

    dtypes = {"bfloat16": torch.bfloat16, "float32": torch.float32}  # noqa: RUF012

    def note(self, text: str) -> None:
        print(text, flush=True)

    def peak(self, dtype: torch.dtype) -> float:
        """Operations per second of a large product of matrices."""
        size = 256 if self.quick else 8192 if dtype == torch.bfloat16 else 4096
        left, right = (torch.randn(size, size, device=self.device, dtype=dtype) for _ in range(2))
        seconds = self.seconds(lambda: left @ right, rounds=self.rounds)
        self.note(f"matrix product in {dtype}: {2e-12 * size**3 / seconds:.1f} TFLOP/s")
        return 2 * size**3 / seconds

    def seconds(self, call: Callable[[], object], *, rounds: int) -> float:
        """Median wall-clock time, after a call to warm up."""
        return statistics.median(interleave({"one": call}, rounds=rounds, device=self.device.type)["one"].wall)

    def row(
        self, what: str, precision: str, n_sentences: int, call: Callable[[], object], **more: Any
    ) -> dict[str, Any]:
        """Measure a call: its time, its operations, its memory."""
        self.forget_peak_memory()
        seconds = self.seconds(call, rounds=self.rounds)
        memory = torch.cuda.max_memory_allocated(self.device) / 2**20 if self.device.type == "cuda" else None
        with FlopCounterMode(display=False) as counter:
            call()
        found = {
            "what": what,
            "precision": precision,
            "sentences_per_second": round(n_sentences / seconds, 1),
            "ms": round(1000 * seconds, 3),
            "tflop": round(counter.get_total_flops() / 1e12, 4),
            "share_of_peak": round(counter.get_total_flops() / seconds / self.peaks[precision], 4),
            "peak_memory_mb": memory,
            **more,
        }
        self.note(f"{what}, {precision}: {found['ms']} ms, {found['sentences_per_second']} sentences/s")
        return found

    def forget_peak_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def training_steps(self) -> Iterator[dict[str, Any]]:
        """Forward, backward, AdamW; with and without deterministic algorithms."""
        model, batch = self.split.model.train(), self.batch
        optimizer = build_optimizer([{"params": model.parameters(), "weight_decay": 0.01}], 1e-6)
        task = pointer_task(model, self.split.codec)

        for precision, bf16 in _PRECISIONS.items():
            for deterministic in (True, False):

                def step(bf16: bool = bf16) -> None:
                    with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                        loss = task.loss(batch).mean
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)

                torch.use_deterministic_algorithms(deterministic and self.device.type == "cuda")
                what = "training step" + ", deterministic" * deterministic
                yield self.row(what, precision, len(self.rows), step)
        torch.use_deterministic_algorithms(False)
        optimizer.zero_grad(set_to_none=True)
        optimizer.state.clear()
        model.eval()

    def encoder(self) -> Iterator[dict[str, Any]]:
        """Sources to states, without gradients."""
        model, src_tokens = self.split.model.eval(), self.batch["src_tokens"]
        places = torch.arange(src_tokens.shape[1], device=self.device)
        mask = places < self.batch["src_seq_len"].unsqueeze(1)
        for precision, bf16 in _PRECISIONS.items():

            def encode(bf16: bool = bf16) -> None:
                with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                    model.backbone.encode(src_tokens, mask)

            yield self.row("encoder", precision, len(self.rows), encode)

    def decoding(self) -> Iterator[dict[str, Any]]:
        """Predictions from piece ids to entities, encoder included; how often a step waits, on a GPU."""
        guided = GuidedModel(self.split.model.eval(), [row["tgt_tokens"] for row in self.split.longest_first()])
        longest = max(len(row["tgt_tokens"]) for row in self.split.rows)
        batches = self.split.batches(self.split.longest_first(), _SLOTS)
        for num_beams in (1, _BEAMS):
            search = {"max_len": longest + 2, "num_beams": num_beams}
            task = pointer_task(guided, self.split.codec, self.split.structure, **search)
            for precision, bf16 in _PRECISIONS.items():

                def decode(task: PointerTask = task, bf16: bool = bf16) -> None:
                    guided.restart()
                    predict(task, batches, len(self.split.rows), bf16=bf16)

                what = "greedy" if num_beams == 1 else f"{num_beams} beams"
                more = {"waits_per_step": self.waits_per_step(guided, decode), "slots": _SLOTS}
                yield self.row(what, precision, len(self.split.rows), decode, **more)

    def waits_per_step(self, guided: GuidedModel, decode: Callable[[], None]) -> float | None:
        """How often the host waits for the GPU in a decoding step, as torch reports it."""
        steps, step = [], guided.step
        guided.step = lambda *args: steps.append(1) or step(*args)
        try:
            with reported_waits(self.device) as waits:
                decode()
        finally:
            del guided.step
        return round(len(waits) / len(steps), 3) if self.device.type == "cuda" else None


@contextmanager
def reported_waits(device: torch.device) -> Iterator[list[str]]:
    """What made the host wait for the GPU, a message each."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    found += [str(one.message) for one in caught if "synchronizing CUDA" in str(one.message)]


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU (tiny sizes: they say nothing)"
    return f"{name}, torch {torch.__version__}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one shape and write its numbers, as far as it comes."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=_SHAPES)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(argv)
    begun = time.monotonic()
    parts = _Parts(options.shape, options.device, quick=options.quick)
    content: dict[str, Any] = {"machine": _machine(parts.device), "rows": []}
    content["peak_tflops"] = {name: round(peak / 1e12, 2) for name, peak in parts.peaks.items()}
    for measure in (parts.decoding, parts.encoder, parts.training_steps):
        for row in measure():
            content["rows"].append(row)
            options.output.write_text(json.dumps(content), encoding="utf-8")
    parts.note(f"done after {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
