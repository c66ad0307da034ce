"""Reads the files of a run: its result, its recipe, and ``predictions.<split>.jsonl`` sentence by sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genner.data.schema import Entity, Segment
from genner.errors import DataFormatError

__all__ = ["JudgedSentence", "entity_of", "load_result", "predictions_path", "read_predictions"]


class JudgedSentence(NamedTuple):
    """One line of a file of predictions; ``scores`` belong to ``predicted``, ``left_out`` was predicted as well."""

    words: list[str]
    gold: list[Entity]
    predicted: list[Entity]
    scores: list[float]
    left_out: list[tuple[Entity, float]]

    def judged_scores(self) -> Iterator[tuple[float, bool]]:
        """The score of every distinct prediction, the highest of duplicates, and whether it is correct.

        What was left out for its score is among them.
        """
        gold, best = set(self.gold), {}
        for entity, score in (*zip(self.predicted, self.scores, strict=True), *self.left_out):
            best[entity] = max(score, best.get(entity, score))
        return ((score, entity in gold) for entity, score in best.items())


def predictions_path(run_folder: Path, seed: int, split: str) -> Path:
    """The path of the predictions of a seed, whether or not it exists."""
    return run_folder / f"seed-{seed}" / f"predictions.{split}.jsonl"


def read_predictions(path: Path) -> Iterator[JudgedSentence]:
    """The sentences of a file, one by one, so that its size does not matter.

    Raises:
        DataFormatError: the file cannot be read, or a line is not a sentence with gold and predicted entities.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                record = json.loads(line)
                if "pred" in record and "gold" not in record:
                    raise DataFormatError(
                        f"{path}:{number}: no gold entities, since the split is not labelled. Expected predictions "
                        "that can be scored. Name a run whose split is labelled."
                    )
                words, gold, predicted = record["raw_words"], record["gold"], record["pred"]
                if not all(isinstance(word, str) for word in words):
                    raise TypeError("raw_words are not all text")
                scores = [float(item["score"]) for item in predicted]
                left_out = [(entity_of(item), float(item["score"])) for item in record.get("left_out", ())]
                entities = list(map(entity_of, predicted))
                yield JudgedSentence(words, list(map(entity_of, gold)), entities, scores, left_out)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DataFormatError(
            f"{path}:{number}: not a judged sentence ({type(error).__name__}: {error}). Expected an object with "
            "raw_words, gold and pred, as training writes it. Repeat the run, or remove the file."
        ) from None
    except OSError as error:
        raise DataFormatError(
            f"{path}: cannot be read: {error.strerror}. Expected a file of predictions. Finish the run first."
        ) from None


def load_result(run_folder: Path) -> dict[str, Any]:
    """The ``result.json`` of a run.

    Raises:
        DataFormatError: it does not exist, is not JSON, or lacks the seeds.
    """
    path = run_folder / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataFormatError(
            f"{path}: cannot be read: {error.strerror}. Expected the result of a finished run. Finish the run by "
            "repeating its command, or name another folder."
        ) from None
    except (ValueError, RecursionError) as error:
        result, problem = None, f"not JSON ({error})"
    else:
        problem = "has no list of seeds"
        texts = ("dataset", "formulation", "backbone", "target", "command")
        wrong = [name for name in texts if isinstance(result, dict) and not isinstance(result.get(name, ""), str)]
        if wrong:
            result, problem = None, f"{wrong[0]} is no text"
    if not isinstance(result, dict) or not isinstance(result.get("seeds"), list):
        raise DataFormatError(f"{path}: {problem}. Expected the result of a run. Repeat its command.")
    return result


def entity_of(item: Mapping[str, Any]) -> Entity:
    """The entity of a record with ``type`` and ``spans``.

    Raises:
        KeyError, TypeError, ValueError: it is not such a record.
    """
    label, segments = item["type"], tuple([Segment(start, end) for start, end in item["spans"]])
    if not isinstance(label, str) or not all(type(value) is int for segment in segments for value in segment):
        raise TypeError(f"{item!r:.60} is no entity")
    return Entity(label, segments)
