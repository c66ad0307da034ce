"""Compiled step: ``training.compile`` / without it (``python -m benchmarks.compiled_step``).

``compiled_step``: forward with loss, and backward, in training mode, of the half-size model; the ratio for the shape of
``scratch:small`` (width 256, 3 + 3 layers) and the compile time are listed below it. Nothing is reused from earlier
compilations: the compiler's cache is an empty folder.

``recompilations``: how often the compiler was called again after the first batch, over batches of many different sizes;
the larger number of the two models. Graph breaks, where compiled code falls back to Python, are listed as well.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch._dynamo.utils import counters

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.models import LENGTHS, Shape, Workload, pointer_task
from benchmarks.timing import compare, interleave
from benchmarks.training_data import TrainingData
from genner import patches  # noqa: F401  before fastNLP
from genner.formulations.pointer.task import PointerTask
from genner.training.driver import CompiledStep
from genner.training.evaluation import to_device

__all__ = ["main", "measure"]

_SHAPES = {"half size": Shape(), "small": Shape(width=256, layers=3, heads=4, vocab_size=4000)}
_N_SENTENCES = 200
_N_BATCHES = 12


def measure(settings: Settings) -> list[Measure]:
    """Compile the step of every shape, run it over batches of different sizes, then time it against the eager step."""
    shapes = {"tiny": Shape.quick()} if settings.quick else _SHAPES
    with _empty_cache():
        found = {name: _measure_shape(shape, settings) for name, shape in shapes.items()}
    value = next(iter(found.values()))[0]
    details = {f"{name}, {key}": detail for name, (_, parts, _) in found.items() for key, detail in parts.items()}
    n_again = max(again for _, _, again in found.values())
    measures = [
        Measure("compiled_step", value, "ratio", None, details),
        Measure("recompilations", n_again, "graphs", 0),
    ]
    return run_benchmark(__doc__, measures)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("compiled_step", measure, __doc__, argv)


@contextmanager
def _empty_cache() -> Iterator[None]:
    """An empty cache folder for the compiler, so that every run of the benchmark compiles."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            os.environ.pop(name)
    if before is not None:
        os.environ[name] = before


def _measure_shape(shape: Shape, settings: Settings) -> tuple[float, dict[str, Any], int]:
    """The ratio, its details, and the number of compilations after the first."""
    model, device = Workload(shape, settings.device).model.train(), torch.device(settings.device)
    data = TrainingData(draw_sentences(_N_SENTENCES, LENGTHS), model.backbone.tokenizer, LABELS)
    task = pointer_task(model, data.codec)
    step = CompiledStep(task.loss, device)
    counters.clear()
    choose = random.Random(7)
    # A batch without entities would have a target of one step, with a graph of its own; this many sentences have some.
    most = 2 * shape.n_sentences
    sizes = [shape.n_sentences, *(choose.randint(most // 4 + 2, most) for _ in range(_N_BATCHES - 1))]
    batches = [to_device(data.batch(choose.sample(range(_N_SENTENCES), size)), device) for size in sizes]
    begun_at = time.process_time(), time.perf_counter()
    _pass(task, step, batches[0])()
    seconds = time.process_time() - begun_at[0], time.perf_counter() - begun_at[1]
    for batch in batches[1:]:
        _pass(task, step, batch)()
    n_graphs = counters["stats"]["unique_graphs"]
    sides = {"compiled": _pass(task, step, batches[0]), "eager": _pass(task, task.loss, batches[0])}
    value, details = compare(
        interleave(sides, rounds=settings.n_rounds(15), device=settings.device, warmup=2),
        "compiled",
        "eager",
        settings.device,
    )
    details = {"ratio": round(value, 3), **details} | {
        "first step": f"{seconds[0]:.0f} s of CPU, {seconds[1]:.0f} s of wall-clock time, the C++ compiler included",
        "graphs": f"{n_graphs} over {len(batches)} batches of {len(set(sizes))} sizes",
        "graph breaks": sum(counters["graph_break"].values()),
    }
    return value, details, n_graphs - 1


def _pass(task: PointerTask, step: Callable[[Any], Any], batch: Any) -> Callable[[], None]:
    def run() -> None:
        task.zero_grad(set_to_none=True)
        step(batch).mean.backward()

    return run


if __name__ == "__main__":
    main()
