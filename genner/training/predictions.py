"""What a task returns for a sentence, whatever its formulation, and the file of predictions. No torch here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genner.data.schema import Entity, Example
from genner.files import replace_file

__all__ = ["Prediction", "merge_parts", "write_predictions"]


@dataclass(frozen=True)
class Prediction:
    """The entities found in one sentence, or in one part of a sentence that was split for its length.

    Attributes:
        example_idx: position of the sentence in its split.
        entities: in the order of the output, repetitions included.
        scores: one per entity, higher for more certain ones (in the pointer formulation, probabilities).
        rejected: malformed groups as ``(reason, key)``, equal groups having equal keys.
        exact: whether the output is exactly the gold one in the formulation's own terms; None leaves it to the metric.
        word_offset: where the part begins in its sentence; the entities count from there.
        counts: what the search did to keep to its rules: ``forced`` symbols, ``repeated`` entities, and groups that it
            dropped, by reason.
        least_mass: what the search forced had this probability at least; a search that gives up on what has less would
            find the same.
        n_shortened: words too long for the model, of which it saw only the beginning.
    """

    example_idx: int
    entities: list[Entity] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rejected: list[tuple[str, Hashable]] = field(default_factory=list)
    exact: bool | None = None
    word_offset: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    least_mass: float = 1.0
    n_shortened: int = 0

    def distinct(self) -> dict[Entity, float]:
        """Every entity once, with the highest of its scores."""
        best: dict[Entity, float] = {}
        for entity, score in zip(self.entities, self.scores, strict=True):
            best[entity] = max(score, best.get(entity, score))
        return best


def merge_parts(predictions: Iterable[Prediction], n_examples: int) -> list[Prediction]:
    """One prediction per sentence of the split, in its order: parts are joined, sentences without any get an empty one.

    Args:
        predictions: in any order; the parts of a sentence share ``example_idx``.
        n_examples: sentences of the split.

    Returns:
        ``n_examples`` predictions whose entities count from the sentence's first word.
    """
    parts: list[list[Prediction]] = [[] for _ in range(n_examples)]
    for prediction in predictions:
        parts[prediction.example_idx].append(prediction)
    return [_joined(example_idx, rows) for example_idx, rows in enumerate(parts)]


def write_predictions(
    path: Path,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    *,
    left_out: Sequence[Sequence[tuple[Entity, float]]] | None = None,
    has_gold: bool = True,
) -> None:
    """Write one JSON line per sentence: words, gold and predicted entities; the file is replaced atomically.

    A sentence some of whose entities were left out for their scores has a key ``left_out`` with them.

    Args:
        path: of the file.
        examples: the sentences.
        predictions: one per sentence, in the same order.
        left_out: entities that the predictions lack, and their scores, likewise.
        has_gold: whether the entities of the examples are known; otherwise the lines have no key ``gold``.
    """
    with replace_file(path) as file:
        others = left_out or [()] * len(examples)
        for example, prediction, lacking in zip(examples, predictions, others, strict=True):
            gold = {"gold": [_entity_record(entity, example.words) for entity in example.entities]} if has_gold else {}
            record = {
                "raw_words": list(example.words),
                **gold,
                "pred": _records(example.words, zip(prediction.entities, prediction.scores, strict=True)),
            }
            if lacking:
                record["left_out"] = _records(example.words, lacking)
            file.write(json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n")


def _records(words: Sequence[str], pairs: Iterable[tuple[Entity, float]]) -> list[dict[str, Any]]:
    """Entities as ``{"type", "spans": [[start, end], ...], "text", "score"}``, spans end-exclusive."""
    return [{**_entity_record(entity, words), "score": round(float(score), 6)} for entity, score in pairs]


def _entity_record(entity: Entity, words: Sequence[str]) -> dict[str, Any]:
    spans = [[start, end] for start, end in entity.segments]
    return {"type": entity.label, "spans": spans, "text": " ".join(entity.surface(words))}


def _joined(example_idx: int, parts: list[Prediction]) -> Prediction:
    if len(parts) == 1 and parts[0].word_offset == 0:
        return parts[0]
    parts = sorted(parts, key=lambda part: part.word_offset)
    judged = [part.exact for part in parts]
    return Prediction(
        example_idx,
        entities=[entity.shifted(part.word_offset) for part in parts for entity in part.entities],
        scores=[score for part in parts for score in part.scores],
        # The same symbols in two parts are two different mistakes.
        rejected=[(reason, (part.word_offset, key)) for part in parts for reason, key in part.rejected],
        exact=None if None in judged or not judged else all(judged),
        counts=sum((part.counts for part in parts), Counter()),
        least_mass=min((part.least_mass for part in parts), default=1.0),
    )
