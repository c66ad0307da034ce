"""Formats that hold a text and entities on its characters: our own JSON lines, doccano, Label Studio and brat."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from genner.data.tally import Tally
from genner.prediction.names import IDS, FileNames, names_file
from genner.prediction.results import TextEntity, TextResult
from genner.prediction.writing.base import FEATURES, Writer, json_bytes

__all__ = ["Brat", "Doccano", "JsonLines", "LabelStudio"]

_BREAK = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")  # line ends to brat
_BRAT_TYPE = re.compile("[a-zA-Z0-9_-]+")  # what brat's configuration takes as the name of a type
_BRAT_CONFIGURATION = """\
# Types and rules for brat, which shows entities inside and over each other only where they are allowed.
[entities]
{types}
[relations]
<OVERLAP>\tArg1:<ENTITY>, Arg2:<ENTITY>, <OVL-TYPE>:<ANY>
[events]
[attributes]
"""


class JsonLines(Writer):
    """:meth:`genner.prediction.results.TextResult.record` on a line per text."""

    holds: ClassVar[frozenset[str]] = frozenset(FEATURES) - {"words"}

    def encode(self, result: TextResult) -> bytes:
        return json_bytes(result.record()) + b"\n"


class Doccano(Writer):
    """``{"id", "text", "label": [[start, end, type], ...]}``, a line per text; offsets count characters."""

    holds: ClassVar[frozenset[str]] = frozenset({"overlapping", "crossing", "text", "documents", "ids"})

    def encode(self, result: TextResult) -> bytes:
        labels = [[entity.start, entity.end, entity.type] for entity in result.entities]
        return json_bytes({"id": result.id, "text": result.text, "label": labels}) + b"\n"


class LabelStudio(Writer):
    """A list of tasks with predictions, for ``<Labels name="label" toName="text">`` and ``<Text name="text">``.

    Offsets count UTF-16 units, as Label Studio does. The parts of a discontinuous entity are regions linked by
    relations. The score of a task is the lowest of its entities.
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


class Brat(Writer):
    """``T1<tab>TYPE start end;start end<tab>text``; offsets count characters.

    A part of an entity cannot contain a line end: it is split there, as brat itself does, and joined again when it is
    read. Files are named after the ids, with folders for a ``/``; see :mod:`genner.prediction.names`. The types are in
    ``annotation.conf``, the ids that are no names in ``ids.conf``.
    """

    holds: ClassVar[frozenset[str]] = frozenset(
        {"overlapping", "discontinuous", "crossing", "text", "documents", "ids"}
    )
    is_folder = True

    def __init__(self, tally: Tally, labels: Sequence[str] = ()) -> None:
        super().__init__(tally, labels)
        self._names = FileNames()
        self._changed: list[tuple[str, str]] = []  # names that differ from their ids

    def encode(self, result: TextResult) -> dict[str, bytes]:
        name = self._name(result.id)
        if name != result.id:
            place = f"{result.id} -> {name}"
            self.tally.add(f"id that is no file name everywhere, or occurs twice, changed (all in {IDS})", place)
        if result.text.startswith("\ufeff"):
            self.tally.add("text that begins with a byte order mark, which readers remove", result.id)
        lines = []
        for entity in result.entities:
            fragments = _fragments(entity)
            if not fragments:
                self.tally.add("entity of white space, left out", result.id)
                continue
            offsets = ";".join(f"{start} {end}" for start, end in fragments)
            surface = " ".join(result.text[start:end] for start, end in fragments).replace("\t", " ")
            lines.append(f"T{len(lines) + 1}\t{self._label(entity.type, result.id)} {offsets}\t{surface}\n")
        text, annotation = (self.utf8(content, result.id) for content in (result.text, "".join(lines)))
        return {f"{name}.txt": text, f"{name}.ann": annotation}

    def encode_failed(self, result: TextResult) -> dict[str, bytes]:
        self._name(result.id)
        return {}

    def skipped(self, result_id: str) -> None:
        self._name(result_id)

    def _label(self, label: str, place: str) -> str:
        plain = "_".join(label.split()) or "_"
        if plain != label:
            self.tally.add("white space in a type, written with '_'", place)
        return plain

    def closing(self) -> dict[str, bytes]:
        types = dict.fromkeys("_".join(label.split()) or "_" for label in self.labels)
        known = [one for one in types if _BRAT_TYPE.fullmatch(one)]
        for one in types.keys() - set(known):
            self.tally.add("type that annotation.conf cannot hold, left out of it", one)
        files = {"annotation.conf": _BRAT_CONFIGURATION.format(types="\n".join(known)).encode()}
        return files | ({IDS: names_file(self._changed).encode()} if self._changed else {})

    def _name(self, text_id: str) -> str:
        name = self._names.name(text_id)
        if name != text_id:
            self._changed.append((name, text_id))
        return name


class _Units:
    """Offsets into a text in UTF-16 units."""

    def __init__(self, text: str) -> None:
        self._large = [] if text.isascii() else [place for place, char in enumerate(text) if ord(char) > 0xFFFF]

    def at(self, place: int) -> int:
        return place + bisect_left(self._large, place)


def _regions(name: str, entity: TextEntity, units: _Units) -> list[dict[str, Any]]:
    """The parts of an entity, and the relation of each to the one before."""
    names = [name if number == 1 else f"{name}.{number}" for number in range(1, len(entity.segments) + 1)]
    rows: list[dict[str, Any]] = []
    for region, part in zip(names, entity.segments, strict=True):
        value = {"start": units.at(part.start), "end": units.at(part.end), "text": part.text, "labels": [entity.type]}
        row = {"id": region, "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        rows.append({**row, "score": round(entity.score, 6)})
    for before, behind in pairwise(names):
        rows.append({"type": "relation", "from_id": before, "to_id": behind, "direction": "right"})
    return rows


def _fragments(entity: TextEntity) -> list[tuple[int, int]]:
    """The parts of an entity, split at line ends, without the white space around these."""
    fragments = []
    for part in entity.segments:
        start = part.start
        bounds = [(match.start(), match.end()) for match in _BREAK.finditer(part.text)]
        for first, last in zip([0, *(end for _, end in bounds)], [*(begin for begin, _ in bounds), None], strict=True):
            piece = part.text[first:last]
            if inner := piece.strip():
                offset = start + first + piece.index(inner)
                fragments.append((offset, offset + len(inner)))
    return fragments
