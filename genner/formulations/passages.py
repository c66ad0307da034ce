"""Passages of words -> predictions: windows, the longest first, through a task, and one answer for each passage.

For formulations whose models read a limited number of pieces; what a piece is, they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import ne
from typing import Any, NamedTuple, Protocol

from genner.data.schema import Entity, Segment
from genner.formulations.base import Batch, ReadOptions, Task
from genner.formulations.windows import cut_windows, merge_windows
from genner.training.evaluation import to_device
from genner.training.predictions import Prediction

__all__ = ["EncodedPassage", "read_passages"]

_LONGEST_WORD = 2_000  # characters of a word that a tokenizer is given at all
_WORD_SHARE = 2  # a word may fill a window by one part in so many


class EncodedPassage(Protocol):
    """The words of a passage as a model takes them."""

    lens: Sequence[int]  # pieces of every word

    def row(self, window: Segment, idx: int) -> Any:
        """What the task's ``collate`` takes, for some words; its answer is to have the ``example_idx`` ``idx``."""


Encode = Callable[[Sequence[Sequence[str]]], Sequence[EncodedPassage]]


class _Window(NamedTuple):
    passage: EncodedPassage
    span: Segment
    n_pieces: int
    passage_idx: int
    n_new: int  # words that the next window of the passage does not have


def read_passages(
    task: Task, passages: Sequence[Sequence[str]], encode: Encode, options: ReadOptions
) -> Iterator[Prediction]:
    """The entities of passages that have one word at least each, in their order.

    Args:
        task: predicts; it is on its device.
        passages: words.
        encode: turns passages into pieces.
        options: ``window`` is the most pieces of a window, 16 or more.
    """
    if not passages:
        return
    with options.encoding:
        encoded, n_shortened = _encode(passages, encode, options.window // _WORD_SHARE)
    windows: list[_Window] = []
    for idx, passage in enumerate(encoded):
        lens = passage.lens  # made anew each time it is asked for
        spans = cut_windows(lens, options.window, options.overlap)
        nexts = [*(span.start for span in spans[1:]), len(lens)]
        for span, following in zip(spans, nexts, strict=True):
            windows.append(_Window(passage, span, sum(lens[span.start : span.end]), idx, following - span.start))
    found: list[dict[Entity, float]] = [{} for _ in windows]
    counts: list[Counter[str]] = [Counter() for _ in passages]
    for prediction in task.predict(_batches(task, windows, options.batch_size)):
        number = prediction.example_idx
        found[number] = _in_passage(prediction, windows[number].span.start)
        counts[windows[number].passage_idx] += prediction.counts
        if options.progress is not None:
            options.progress(windows[number].n_new)
    for idx, group in groupby(zip(windows, found, strict=True), key=lambda pair: pair[0].passage_idx):
        spans, entities = zip(*((window.span, entities) for window, entities in group), strict=True)
        merged = merge_windows(spans, entities)
        yield Prediction(idx, list(merged), list(merged.values()), counts=counts[idx], n_shortened=n_shortened[idx])


def _encode(passages: Sequence[Sequence[str]], encode: Encode, most: int) -> tuple[list[EncodedPassage], list[int]]:
    """Passages none of whose words has more than so many pieces, and how many words were shortened."""
    shown = [[word[:_LONGEST_WORD] for word in words] for words in passages]
    encoded = list(encode(shown))
    for idx, words in enumerate(shown):
        while max(lens := encoded[idx].lens) > most:
            shorter = [word[: len(word) // 2 or 1] if n > most else word for word, n in zip(words, lens, strict=True)]
            assert shorter != words, f"internal error: one character in more than {most} pieces"
            words[:] = shorter
            encoded[idx] = encode([words])[0]
    n_shortened = [sum(map(ne, words, originals)) for words, originals in zip(shown, passages, strict=True)]
    return encoded, n_shortened


def _batches(task: Task, windows: Sequence[_Window], batch_size: int) -> Iterator[Batch]:
    """All windows, the longest first; made when the decoder asks for them."""
    device = next(task.parameters()).device
    order = sorted(range(len(windows)), key=lambda number: -windows[number].n_pieces)
    for first in range(0, len(order), batch_size):
        numbers = order[first : first + batch_size]
        rows = [windows[number].passage.row(windows[number].span, number) for number in numbers]
        yield to_device(task.collate(rows), device)


def _in_passage(prediction: Prediction, offset: int) -> dict[Entity, float]:
    """The entities by their best score, on words counted from the beginning of the passage."""
    entities: dict[Entity, float] = {}
    for entity, score in zip(prediction.entities, prediction.scores, strict=True):
        moved = entity.shifted(offset)
        entities[moved] = max(score, entities.get(moved, 0.0))
    return entities
