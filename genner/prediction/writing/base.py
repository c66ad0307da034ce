"""What all writers share: what a format can hold, and counts of what it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, ClassVar

from genner.data.tally import Tally
from genner.prediction.results import TextEntity, TextResult

__all__ = ["FEATURES", "Writer", "disjoint", "json_bytes"]

#: What a format may hold -> its description.
FEATURES = {
    "overlapping": "nested and overlapping entities",
    "discontinuous": "entities of several parts",
    "crossing": "entities over a sentence end",
    "scores": "scores",
    "text": "the text with every character and offset",
    "words": "words and sentences",
    "documents": "which sentences form a text",
    "ids": "ids",
    "notes": "notes",
    "failed": "texts that failed, with the reason",
}

_SURROGATE = re.compile("[\ud800-\udfff]")


class Writer:
    """Turns results into a format, one at a time and in order. Each format is a class; this one is their base.

    A file of the format is ``head()``, then what ``record`` gives for every result, then ``tail()``.

    Args:
        tally: counts what is left out or changed.
        labels: types in the order of the model, for colours.

    Attributes:
        holds: keys of :data:`FEATURES`.
        state: what later records depend on, as plain values for JSON; kept when a run is resumed.
    """

    holds: ClassVar[frozenset[str]] = frozenset()
    #: Whether ``record`` returns files, by name, for a folder.
    is_folder: ClassVar[bool] = False
    #: Whether ``assembled`` has to put the records together when all of them are written.
    is_assembled: ClassVar[bool] = False
    #: Whether a file of the format is not text.
    is_binary: ClassVar[bool] = False

    def __init__(self, tally: Tally, labels: Sequence[str] = ()) -> None:
        self.tally, self.labels = tally, tuple(labels)
        self.state: dict[str, Any] = {}

    def head(self) -> bytes:
        """What comes before the first record."""
        return b""

    def record(self, result: TextResult) -> Any:
        """The bytes of a result, or, for a folder, its files by name."""
        if result.error is not None and "failed" not in self.holds:
            self.tally.add("text that failed, left out", result.id)
            return self.encode_failed(result)
        if result.notes and "notes" not in self.holds:
            self.tally.add("note, left out", result.id, len(result.notes))
        result = self._holdable(result)
        if result.entities and "scores" not in self.holds:
            self.tally.add("score, left out", result.id, len(result.entities))
        return self.encode(result)

    def encode(self, result: TextResult) -> Any:
        """:meth:`record` of what the format can hold."""
        raise NotImplementedError

    def encode_failed(self, result: TextResult) -> Any:
        """:meth:`record` of a text that failed, for formats that cannot hold these."""
        return b""

    def tail(self) -> bytes:
        """What comes after the last record."""
        return b""

    def closing(self) -> dict[str, bytes]:
        """Further files of a folder, by name, once all records are written."""
        return {}

    def assembled(self, records: BinaryIO) -> Iterable[bytes]:
        """The final file, made from its records; only if ``is_assembled``."""
        raise NotImplementedError

    def skipped(self, result_id: str) -> None:
        """Called for a result that was written before the run was resumed."""

    def utf8(self, text: str, place: str) -> bytes:
        """A text as bytes; lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
        try:
            return text.encode("utf-8")
        except UnicodeEncodeError:
            clean, n_lone = _SURROGATE.subn("\ufffd", text)
            self.tally.add("lone surrogate, written as U+FFFD", place, n_lone)
            return clean.encode("utf-8")

    def _holdable(self, result: TextResult) -> TextResult:
        """A result without the entities that the format cannot hold."""
        if "discontinuous" not in self.holds:
            whole = [entity for entity in result if not entity.is_discontinuous]
            result = self._with(result, whole, "entity of several parts, left out")
        if "crossing" not in self.holds:
            crossing = set(result.examples()[1])
            inside = [entity for entity in result if entity not in crossing]
            result = self._with(result, inside, "entity over a sentence end, left out")
        if "overlapping" not in self.holds:
            result = self._with(result, disjoint(result.entities), "entity in or over a longer or surer one, left out")
        return result

    def _with(self, result: TextResult, kept: Sequence[TextEntity], reason: str) -> TextResult:
        if len(kept) < len(result):
            self.tally.add(reason, result.id, len(result) - len(kept))
        return replace(result, entities=tuple(kept))


def disjoint(entities: Sequence[TextEntity]) -> list[TextEntity]:
    """Contiguous entities that share no words, in order; longer ones are preferred, then those with higher scores."""
    wanted = sorted(entities, key=lambda one: (one.words.start - one.words.end, -one.score, one.start, one.type))
    taken: set[int] = set()
    kept: set[TextEntity] = set()
    for entity in wanted:
        words = entity.words.word_indices()
        if taken.isdisjoint(words):
            taken.update(words)
            kept.add(entity)
    return [entity for entity in entities if entity in kept]


def json_bytes(value: Any) -> bytes:
    """A value as JSON on one line; non-ASCII characters are escaped only if UTF-8 cannot hold one of them."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode("ascii")
