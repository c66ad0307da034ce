"""Passages of words -> entities: windows, the longest first, through the decoder, and one answer for each passage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import ne
from typing import Any, NamedTuple

from genner.data.schema import Entity, Segment
from genner.formulations import EncodedPassage, Predictor
from genner.prediction.windows import cut_windows, merge_windows
from genner.training.evaluation import to_device
from genner.training.predictions import Prediction

__all__ = ["Answer", "PassageReader"]

_LONGEST_WORD = 2_000  # characters of a word that a tokenizer is given at all
_WORD_SHARE = 2  # a word may fill a window by one part in so many


class Answer(NamedTuple):
    """What was found in a passage.

    Attributes:
        entities: with their scores, on the words of the passage.
        n_shortened: words of which the model saw the beginning only, being too long for a window.
    """

    entities: dict[Entity, float]
    n_shortened: int = 0


class PassageReader:
    """Reads passages with a model.

    Args:
        predictor: the trained model, on its device.
        window: most pieces of a window, at least 16.
        overlap: words that windows share; None: half of a window.
        batch_size: windows decoded at once.
    """

    def __init__(self, predictor: Predictor, window: int, overlap: int | None, batch_size: int) -> None:
        self.predictor, self.window, self.overlap, self.batch_size = predictor, window, overlap, batch_size
        self._device = next(predictor.task.parameters()).device

    def read(self, passages: Sequence[Sequence[str]]) -> list[Answer]:
        """The entities of passages that have one word at least each."""
        if not passages:
            return []
        encoded, n_shortened = self._encode(passages)
        windows: list[_Window] = []
        for idx, passage in enumerate(encoded):
            lens = passage.lens  # made anew each time it is asked for
            spans = cut_windows(lens, self.window, self.overlap)
            windows += [_Window(passage, span, sum(lens[span.start : span.end]), idx) for span in spans]
        found: list[dict[Entity, float]] = [{} for _ in windows]
        for prediction in self.predictor.task.predict(self._batches(windows)):
            number = prediction.example_idx
            found[number] = _in_passage(prediction, windows[number].span.start)
        answers = []
        for idx, group in groupby(zip(windows, found, strict=True), key=lambda pair: pair[0].passage_idx):
            spans, entities = zip(*((window.span, entities) for window, entities in group), strict=True)
            answers.append(Answer(merge_windows(spans, entities), n_shortened[idx]))
        return answers

    def _encode(self, passages: Sequence[Sequence[str]]) -> tuple[list[EncodedPassage], list[int]]:
        """Passages none of whose words takes more than its share of a window, and how many words were shortened."""
        shown = [[word[:_LONGEST_WORD] for word in words] for words in passages]
        encoded = list(self.predictor.encode(shown))
        most = self.window // _WORD_SHARE
        for idx, words in enumerate(shown):
            while max(lens := encoded[idx].lens) > most:
                shorter = [
                    word[: len(word) // 2 or 1] if n > most else word for word, n in zip(words, lens, strict=True)
                ]
                assert shorter != words, f"internal error: one character in more than {most} pieces"
                words[:] = shorter
                encoded[idx] = self.predictor.encode([words])[0]
        n_shortened = [sum(map(ne, words, originals)) for words, originals in zip(shown, passages, strict=True)]
        return encoded, n_shortened

    def _batches(self, windows: Sequence[_Window]) -> Iterator[dict[str, Any]]:
        """All windows, the longest first; made when the decoder asks for them."""
        order = sorted(range(len(windows)), key=lambda number: -windows[number].n_pieces)
        for first in range(0, len(order), self.batch_size):
            numbers = order[first : first + self.batch_size]
            rows = [windows[number].passage.row(windows[number].span, number) for number in numbers]
            yield to_device(self.predictor.collate(rows), self._device)


class _Window(NamedTuple):
    passage: EncodedPassage
    span: Segment
    n_pieces: int
    passage_idx: int


def _in_passage(prediction: Prediction, offset: int) -> dict[Entity, float]:
    """The entities by their best score, on words counted from the beginning of the passage."""
    entities: dict[Entity, float] = {}
    for entity, score in zip(prediction.entities, prediction.scores, strict=True):
        moved = entity.shifted(offset)
        entities[moved] = max(score, entities.get(moved, 0.0))
    return entities
