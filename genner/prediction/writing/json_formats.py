"""JSON: our own lines, which hold everything, and the imports of doccano and Label Studio."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Any, ClassVar

from genner.prediction.results import TextEntity, TextResult
from genner.prediction.writing.base import FEATURES, Writer, json_bytes

__all__ = ["Doccano", "JsonLines", "LabelStudio"]


class JsonLines(Writer):
    """:meth:`genner.prediction.results.TextResult.record` on a line per text."""

    holds: ClassVar[frozenset[str]] = frozenset(FEATURES) - {"words"}

    def encode(self, result: TextResult) -> bytes:
        return json_bytes(result.record()) + b"\n"


class Doccano(Writer):
    """``{"id", "text", "label": [[start, end, type], ...]}``, a line per text; places count characters."""

    holds: ClassVar[frozenset[str]] = frozenset({"overlapping", "crossing", "text", "documents", "ids"})

    def encode(self, result: TextResult) -> bytes:
        labels = [[entity.start, entity.end, entity.type] for entity in result.entities]
        return json_bytes({"id": result.id, "text": result.text, "label": labels}) + b"\n"


class LabelStudio(Writer):
    """A list of tasks with predictions, for ``<Labels name="label" toName="text">`` and ``<Text name="text">``.

    Places count UTF-16 units, as the editor of Label Studio does. The parts of a discontinuous entity are regions that
    relations tie together. The score of a task is that of its least sure entity.
    """

    holds: ClassVar[frozenset[str]] = frozenset(
        {"overlapping", "discontinuous", "crossing", "scores", "text", "documents", "ids"}
    )

    def head(self) -> bytes:
        return b"["

    def encode(self, result: TextResult) -> bytes:
        units = _Units(result.text)
        rows: list[dict[str, Any]] = []
        for number, entity in enumerate(result.entities, 1):
            rows += _regions(f"e{number}", entity, units)
        prediction: dict[str, Any] = {"model_version": "GenNER", "result": rows}
        if result.entities:
            prediction["score"] = round(min(entity.score for entity in result.entities), 6)
        task = {"data": {"id": result.id, "text": result.text}, "predictions": [prediction]}
        comma = b",\n" if self.state.get("begun") else b"\n"
        self.state["begun"] = True
        return comma + json_bytes(task)

    def tail(self) -> bytes:
        return b"\n]\n"


class _Units:
    """Places in a text counted in UTF-16 units."""

    def __init__(self, text: str) -> None:
        self._large = [] if text.isascii() else [place for place, char in enumerate(text) if ord(char) > 0xFFFF]

    def at(self, place: int) -> int:
        return place + bisect_left(self._large, place)


def _regions(name: str, entity: TextEntity, units: _Units) -> list[dict[str, Any]]:
    """The parts of an entity, and what ties each to the one before."""
    names = [name if number == 1 else f"{name}.{number}" for number in range(1, len(entity.segments) + 1)]
    rows: list[dict[str, Any]] = []
    for region, part in zip(names, entity.segments, strict=True):
        value = {"start": units.at(part.start), "end": units.at(part.end), "text": part.text, "labels": [entity.type]}
        row = {"id": region, "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        rows.append({**row, "score": round(entity.score, 6)})
    for before, behind in pairwise(names):
        rows.append({"type": "relation", "from_id": before, "to_id": behind, "direction": "right"})
    return rows
