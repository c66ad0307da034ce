"""Batches: sentences/s grouped by length / in file order (``python -m benchmarks.batches``).

Both fill batches up to the same number of source pieces, padding included. An epoch of each is timed as in training,
with loader, forward with loss, and backward; the optimizer, which favours fewer batches, is left out. The model is that
of ``scratch:small`` (width 256, 3 + 3 layers), since an epoch of the half-size one takes minutes.

The sentences are the first ones of the training splits of genia_subset and craft, in the folder GENNER_SHARED_DATA
(default ../shared/data); without it they are invented, with lengths of the same spread. The value is the lower one of
the two corpora.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import draw_sentences
from benchmarks.timing import compare, interleave
from benchmarks.training_data import TrainingData, loss_of
from genner import patches  # noqa: F401  before fastNLP
from genner.data.bundle import load_bundle
from genner.data.schema import Example
from genner.model.pointer import PointerModel
from genner.model.sources import load_backbone

__all__ = ["main", "measure"]

_GOAL = 1.4
_MAX_PIECES = 1024
_N_SENTENCES = 1200
_CORPORA = {"genia_subset": "nested", "craft": "discontinuous"}
# Sentences of both have 26 words on average, with a deviation of 12 (genia_subset) and 18 (craft); some have over 130.
_INVENTED_MEDIAN, _INVENTED_SPREAD, _INVENTED_RANGE = 22, 0.6, (2, 200)


def measure(settings: Settings) -> list[Measure]:
    """Time epochs of both kinds of batches alternately, on every available corpus."""
    found = {name: _measure_corpus(examples, settings) for name, examples in _corpora(settings.quick).items()}
    value = min(ratio for ratio, _ in found.values())
    details = {f"{name}, {key}": detail for name, (_, parts) in found.items() for key, detail in parts.items()}
    return run_benchmark(__doc__, [Measure("length_grouped_batches", value, "times", _GOAL, details)])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("batches", measure, __doc__, argv)


def _corpora(quick: bool) -> dict[str, list[Example]]:
    root = Path(os.environ.get("GENNER_SHARED_DATA") or "../shared/data")
    folders = {root / name: loader for name, loader in _CORPORA.items() if (root / name).is_dir()}
    if quick or not folders:
        choose = random.Random(5)
        low, high = _INVENTED_RANGE
        n_sentences = 60 if quick else _N_SENTENCES
        drawn = [_INVENTED_MEDIAN * choose.lognormvariate(0, _INVENTED_SPREAD) for _ in range(n_sentences)]
        lengths = [min(max(round(length), low), high) for length in drawn]
        return {"invented sentences": draw_sentences(n_sentences, lengths)}
    return {
        folder.name: load_bundle(folder, loader).examples["train"][:_N_SENTENCES] for folder, loader in folders.items()
    }


def _measure_corpus(examples: list[Example], settings: Settings) -> tuple[float, dict[str, object]]:
    size = "tiny" if settings.quick else "small"
    backbone = load_backbone(f"scratch:{size}", corpus_words=[example.words for example in examples], seed=1)
    labels = sorted({entity.label for example in examples for entity in example.entities})
    data = TrainingData(examples, backbone.tokenizer, labels)
    model = PointerModel(backbone, labels).to(settings.device).train()
    limits = {"by": "pieces", "size": max(_MAX_PIECES, *data.lengths), "seed": 1}
    loaders = {"file order": data.loader(**limits), "grouped": data.loader(**limits, shuffle=True)}
    sides = {name: _epoch(model, loader, settings.device) for name, loader in loaders.items()}
    found = interleave(sides, rounds=settings.n_rounds(3), device=settings.device, warmup=0 if settings.quick else 1)
    value, details = compare(found, "file order", "grouped", settings.device)
    details = {"ratio": round(value, 3), **details}
    for name, loader in loaders.items():
        batches = list(loader)
        speed = len(examples) / (details[name]["median_ms"] / 1000)
        details[name] |= {"sentences/s": round(speed, 1), "batches": len(batches), **data.padding(batches)}
    return value, details


def _epoch(model: PointerModel, loader: DataLoader, device: str) -> Callable[[], None]:
    def run() -> None:
        for batch in loader:
            model.zero_grad(set_to_none=True)
            fields = {name: field.to(device) for name, field in batch.items() if isinstance(field, torch.Tensor)}
            loss_of(model, fields).backward()

    return run


if __name__ == "__main__":
    main()
