"""The cells of a dataset's row: words, tags, text and spans as their column holds them, or what they are instead."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genner.data.offsets import Mention, Span
from genner.data.schemes import is_tag
from genner.data.shape_items import ENDS, LABELS, STARTS
from genner.data.tally import Tally
from genner.errors import DataFormatError

__all__ = ["Cells", "describe"]

_TEXTS = ("text", "surface", "value", "word", "mention")
_UNKNOWN = {-1, -100}  # numbers that stand for a missing tag

# What a column should hold -> how that is called.
_WANTED = {
    "words": "a list of words in every row", "tags": "a list of tags in every row", "text": "text in every row",
    "spans": "a list of spans (start, end, label) in every row",
}  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """Reads the cells of rows; what is missing or repaired is counted.

    Args:
        names: of numbered tags and labels, from 0 on; empty if they are not known.
        inclusive: whether spans end at their last word or character.
        tally: for the counts.
    """

    names: Sequence[str]
    inclusive: bool
    tally: Tally

    def words(self, value: Any, column: str, place: str) -> tuple[str, ...] | None:
        """The words of a list; None if the cell is empty.

        Raises:
            DataFormatError: it holds something else.
        """
        value = _parsed(value)
        if _is_missing(value):
            return None
        if not isinstance(value, Sequence) or isinstance(value, str) or describe(value)[1] in ("tags", "spans"):
            raise _other(value, "words", column, place)
        return tuple(self._word(word, column, place) for word in value)

    def text(self, value: Any, column: str, place: str) -> str | None:
        """The text; None if the cell is empty.

        Raises:
            DataFormatError: it holds something else.
        """
        if _is_missing(value):
            return None
        if not isinstance(value, str):
            raise _other(value, "text", column, place)
        return value

    def tags(self, value: Any, n_words: int, column: str, place: str) -> list[str] | None:
        """One tag per word; None if the row has no labels.

        Raises:
            DataFormatError: it holds something else, another number of tags, or numbers without names.
        """
        value = _parsed(value)
        if _is_missing(value):
            return None
        if isinstance(value, str) and len(value.split()) == n_words and all(map(is_tag, value.split())):
            value = value.split()
        if not isinstance(value, Sequence) or isinstance(value, str) or describe(value)[1] == "spans":
            raise _other(value, "tags", column, place)
        if len(value) != n_words:
            raise DataFormatError(
                f"{place}: {len(value)} tags for {n_words} words. Expected one tag per word. Correct the row, or "
                "choose other columns with --words and --tags."
            )
        if value and all(isinstance(tag, int) and tag in _UNKNOWN for tag in value):
            return None
        return [self._tag(tag, column, place) for tag in value]

    def spans(self, value: Any, column: str, place: str) -> list[Mention] | None:
        """The spans of a cell, counted as they are there, ends exclusive; None if the row has no labels.

        They may be objects, lists of start, end and label, an object of such lists, or JSON text of one of these.

        Raises:
            DataFormatError: it holds something else, or a span is malformed.
        """
        value = _parsed(value)
        if _is_missing(value):
            return [] if value == "" else None
        if isinstance(value, Mapping):
            value = _rows(value, column, place)
        if not isinstance(value, Sequence) or isinstance(value, str) or describe(value)[1] in ("tags", "words"):
            raise _other(value, "spans", column, place)
        return [mention for span in value for mention in self._mentions(_parsed(span), place)]

    def _word(self, word: Any, column: str, place: str) -> str:
        if _is_missing(word):
            self.tally.add("missing word, written as '_'", place)
            return "_"
        if isinstance(word, bool) or not isinstance(word, str | int | float):
            raise DataFormatError(
                f"{place}: column {column!r} has {word!r:.60} among its words. Expected text. Choose another column "
                "with --words, or the raw text with --text."
            )
        return str(word)

    def _tag(self, tag: Any, column: str, place: str) -> str:
        if _is_missing(tag) or (isinstance(tag, str) and not tag.strip()):
            self.tally.add("missing tag, read as O", place)
            return "O"
        name = self._name(tag)
        if name is None:
            raise DataFormatError(
                f"{place}: tag {tag!r:.40}. Expected O, B-type or I-type, or numbers whose names are known. Give the "
                "names of all numbers with --names, from 0 on, or choose another column with --tags."
            )
        return name

    def _name(self, label: Any) -> str | None:
        if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(self.names):
            return self.names[label]
        return label if isinstance(label, str) and label.strip() else None

    def _mentions(self, span: Any, place: str) -> Iterator[Mention]:
        labels, fragments, text = _read_span(span)
        names = [self._name(label) for label in labels]
        if not fragments or not names or None in names:
            remedy = "Choose another column with --spans, or correct the row."
            if any(type(label) is int for label in labels):
                remedy = "Give the names of the labels' numbers with --names, from 0 on."
            raise DataFormatError(
                f"{place}: span {span!r:.80}. Expected start, end and label, as an object or a list of three. {remedy}"
            )
        closed = tuple((start, end + self.inclusive) for start, end in fragments)
        for name in dict.fromkeys(names):
            yield Mention(name, closed, place, text)


def describe(value: Any) -> tuple[str, str]:
    """What a cell holds in words, and the option that takes such a column; the latter may be empty."""
    if isinstance(value, str):
        return "text", "text"
    if isinstance(value, Mapping):
        return "an object", "spans" if any(key in value for key in (*LABELS, *STARTS)) else ""
    if isinstance(value, Sequence) and value:
        if all(isinstance(item, Mapping) for item in value):
            return "a list of objects", "spans" if any(key in value[0] for key in LABELS) else ""
        if all(isinstance(item, list | tuple) for item in value):
            return "a list of lists", "spans" if len(value[0]) == 3 else ""
        if all(isinstance(item, str) for item in value):
            tags = all(map(is_tag, value)) and any(tag not in ("O", "o") for tag in value)
            return ("a list of tags", "tags") if tags else ("a list of words", "words")
        if all(isinstance(item, int) for item in value):
            return "a list of numbers", "tags"
    return repr(value)[:40], ""


def _other(value: Any, wanted: str, column: str, place: str) -> DataFormatError:
    what, option = describe(value)
    shown = "" if what.startswith(repr(value)[:10]) else f" ({repr(value)[:60]})"
    is_known = option not in ("", wanted) and not (wanted == "words" and what == "a list of numbers")
    remedy = f"Name it with --{option}" if is_known else f"Choose another column with --{wanted}"
    return DataFormatError(f"{place}: column {column!r} holds {what}{shown}. Expected {_WANTED[wanted]}. {remedy}.")


def _parsed(value: Any) -> Any:
    """A list or object that is written as JSON or as Python does, such as in CSV files; anything else as it is."""
    if not isinstance(value, str) or not value.strip().startswith(("[", "{", "(")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(value.strip())  # literals only: nothing is run
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _is_missing(value: Any) -> bool:
    """Whether a value is None, not a number, or empty text."""
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _rows(value: Mapping[str, Any], column: str, place: str) -> list[Any]:
    """An object of lists as a list of objects; a single span stays one."""
    if not any(isinstance(part, list) for key, part in value.items() if key not in ("offsets", "labels", "text")):
        return [value]
    lists = {key: part for key, part in value.items() if isinstance(part, list)}
    if len({len(part) for part in lists.values()}) > 1:
        sizes = ", ".join(f"{key} {len(part)}" for key, part in lists.items())
        raise DataFormatError(
            f"{place}: column {column!r} has lists of several lengths ({sizes}). Expected the same number of starts, "
            "ends and labels. Correct the row, or choose another column with --spans."
        )
    return [dict(zip(lists, parts, strict=True)) for parts in zip(*lists.values(), strict=True)]


def _read_span(span: Any) -> tuple[list[Any], list[Span], str]:
    """The labels, parts and covered text of a span; no parts if it is malformed."""
    text: Any = ""
    if isinstance(span, Mapping):
        label = _first(span, LABELS)
        labels = list(label) if isinstance(label, list) else [label]
        pairs = span.get("offsets")
        if pairs is None:
            pairs = [[_first(span, STARTS), _first(span, ENDS)]]
        elif isinstance(pairs, Sequence) and len(pairs) == 2 and not isinstance(pairs[0], Sequence):
            pairs = [pairs]
        text = next((span[key] for key in _TEXTS if isinstance(span.get(key), str | list)), "")
        text = " ".join(map(str, text)) if isinstance(text, list) else text
    elif isinstance(span, Sequence) and not isinstance(span, str) and len(span) == 3:
        labels, pairs = [span[2]], [span[:2]]
        if isinstance(span[0], str) and _whole(span[0]) is None:  # [label, start, end]
            labels, pairs = [span[0]], [span[1:]]
    else:
        return [], [], ""
    fragments = []
    for pair in pairs if isinstance(pairs, Sequence) else ():
        offsets = [_whole(offset) for offset in pair] if isinstance(pair, Sequence) else []
        if len(offsets) != 2 or None in offsets or offsets[0] < 0:
            return [], [], ""
        fragments.append((offsets[0], offsets[1]))
    return labels, fragments, text


def _first(span: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((span[key] for key in keys if span.get(key) is not None), None)


def _whole(value: Any) -> int | None:
    """An offset; some datasets store numbers as text, or as floats beside missing ones."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
