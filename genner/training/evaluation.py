"""Running a task over a split: predictions in the order of the split, and their scores.

fastNLP's Evaluator passes batch and output to a metric, returns only numbers and never autocasts. Here the predictions
themselves are needed: they are written to files, and the parts of a split sentence are scored as one sentence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from genner.data.schema import Example
from genner.training.logs import Progress
from genner.training.predictions import Prediction, merge_parts

__all__ = ["Metric", "predict", "score", "to_device"]


class Metric(Protocol):
    """What a metric must provide; `evaluation.span_f1.SpanF1` is one."""

    def update(self, gold: Sequence[Any], predicted: Sequence[Any], **details: Any) -> None:
        """Count one sentence."""

    def compute(self) -> Any:
        """The scores; they have ``to_dict()``, whose key ``f`` is the F1 in percent."""


def predict(
    task: nn.Module, loader: Iterable[Mapping[str, Any]], n_examples: int, *, title: str = "predict", bf16: bool = False
) -> list[Prediction]:
    """Run ``task.predict`` over all batches, without gradients and in eval mode.

    Args:
        task: its ``predict(batches)`` yields a :class:`Prediction` per row of the batches, in any order; so it may
            work on several batches at once.
        loader: batches; tensors are moved to the device of the task.
        n_examples: sentences of the split.
        title: shown beside the progress.
        bf16: run under ``torch.autocast`` in bfloat16.

    Returns:
        One prediction per sentence of the split, in its order, see :func:`merge_parts`.
    """
    device = next(task.parameters()).device
    was_training = task.training
    task.eval()
    progress = Progress(len(loader) if hasattr(loader, "__len__") else 0, title)
    try:
        # Not inference_mode: tensors that a model caches could then not be used in training. A task that caches none,
        # such as the pointer's search, may enter it itself.
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16), _any_algorithm():
            rows = list(task.predict(_on_device(loader, device, progress)))
    finally:
        progress.close()
        task.train(was_training)
    return merge_parts(rows, n_examples)


def score(metric: Metric, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """The scores of the predictions against the gold entities of the examples, as plain values.

    Args:
        metric: a new one.
        examples: the sentences of the split.
        predictions: one per sentence, in the same order.
    """
    for example, prediction in zip(examples, predictions, strict=True):
        metric.update(
            example.entities,
            prediction.entities,
            words=example.words,
            rejected=prediction.rejected,
            exact=prediction.exact,
        )
    return metric.compute().to_dict()


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on ``device``. Lists are passed on unchanged."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


@contextlib.contextmanager
def _any_algorithm() -> Iterator[None]:
    """Without gradients nothing is summed up in the order of threads, so the faster ways to write rows will do."""
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    if was_deterministic:
        torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        if was_deterministic:
            torch.use_deterministic_algorithms(True)


def _on_device(loader: Iterable[Any], device: torch.device, progress: Progress) -> Iterator[dict[str, Any]]:
    for batch in loader:
        yield to_device(batch, device)
        progress.advance()
