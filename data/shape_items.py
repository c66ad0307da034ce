"""Parts of JSON records: ids, words with places, and entities in the notations of several tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from genner.data.loaders.nested_jsonl import read_mention
from genner.data.loaders.reading import LoaderOptions, LoadReport, in_order, is_usable
from genner.data.offsets import Mention, Span
from genner.data.records import check_text, check_words, shown
from genner.data.schema import Entity, Example, merge_segments
from genner.data.schemes import TagError, TagReader
from genner.errors import DataFormatError

#: The keys under which tools write the label, the start and the end of an entity.
LABELS = ("label", "type", "labels", "entity_type", "entity_group", "entity", "tag", "category")
STARTS = ("start", "start_offset", "start_char", "begin", "start_idx")
ENDS = ("end", "end_offset", "end_char", "stop", "end_idx")
_REPAIRED = LoaderOptions()

WordItem = tuple[str, list[Span]]  # a label and its parts on words, ends exclusive


@dataclass(frozen=True, slots=True)
class Source:
    """A record that is being read.

    Attributes:
        value: what it holds.
        line: its place in the file.
        report: of the file; counts changes.
    """

    value: Any
    line: str
    report: LoadReport

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return self.report.where(self.line)

    def error(self, found: str, expected: str, remedy: str) -> DataFormatError:
        """An error at the record."""
        return DataFormatError(f"{self.where}: {found}. Expected {expected}. {remedy}")


def id_of(source: Source, *keys: str) -> str:
    """The id under the first key that is there; empty if there is none."""
    name = next((source.value[key] for key in keys if source.value.get(key) is not None), None)
    if name is None:
        return ""
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise source.error(f"the id {shown(name)}", "a string or an integer", "Correct or remove it.")
    check_text(str(name), source.where)
    return str(name)


def as_list(source: Source, key: str, value: object) -> list:
    """A value that must be a list."""
    if not isinstance(value, list):
        raise source.error(f"{key!r} is {shown(value)}", "a list", "Correct or remove it.")
    return value


# --- words


def joined_places(words: Sequence[str]) -> tuple[Span, ...]:
    """Places of words in the text that they form when joined by blanks.

    >>> joined_places(["Zoë", "ran"])
    ((0, 3), (4, 7))
    """
    places, start = [], 0
    for word in words:
        places.append((start, start + len(word)))
        start += len(word) + 1
    return tuple(places)


def places_of(source: Source, tokens: list) -> tuple[Span, ...] | None:
    """Places of given words in the text of a record: words in their order, or objects with ``start`` and ``end``."""
    if tokens and all(isinstance(token, dict) for token in tokens):
        return _stated_places(source, tokens)
    if not all(isinstance(token, str) for token in tokens):
        source.report.add_line("tokens that are no words, not used", source.line)
        return None
    text, at, places = source.value["text"], 0, []
    for word in check_words(tokens, source.where):
        start = text.find(word, at)
        if start < 0:
            raise source.error(
                f"the word {shown(word)} is not in 'text' after the words before it",
                "the words of the text in order",
                "Leave one of the two keys out.",
            )
        at = start + len(word)
        places.append((start, at))
    return tuple(places)


def _stated_places(source: Source, tokens: Sequence[dict]) -> tuple[Span, ...] | None:
    text, at, places = source.value["text"], 0, []
    for token in tokens:
        start, end = token.get("start"), token.get("end")
        fits = type(start) is int and type(end) is int and at <= start < end <= len(text)
        if not fits or token.get("text", text[start:end]) != text[start:end]:
            source.report.add_line("text whose tokens are not at their places, split into words anew", source.line)
            return None
        at = end
        if text[start:end].strip():  # white space is a token to spaCy
            places.append((start, end))
    return tuple(places)


# --- entities on characters


def mentions(source: Source, item: object) -> Iterator[Mention]:
    """The entities of an item: ``[start, end, type]``, or an object with its label or labels and its place or places.

    An item without a place that is not empty is dropped and counted.
    """
    text = ""
    if isinstance(item, list) and len(item) >= 3:
        spans, labels = [item[:2]], [item[2]]
        if len(item) > 3:
            source.report.add_line("mention with more than start, end and type, the rest ignored", source.line)
    elif isinstance(item, dict):
        found = next((item[key] for key in LABELS if item.get(key) is not None), None)
        labels = found if isinstance(found, list) else [found]
        parts = item["segments"] if isinstance(item.get("segments"), list) else [item]
        spans = [_ends(part) for part in parts]
        text = item["text"] if isinstance(item.get("text"), str) else ""
    else:
        spans, labels = [], []
    fragments = [_span(source, span, item) for span in spans]
    if not fragments or not labels or not all(isinstance(label, str) and label.strip() for label in labels):
        raise _bad_entity(source, item)
    if any(end <= start for start, end in fragments):
        source.report.add_line("annotation with a fragment that ends before it starts, dropped", source.line)
        return
    for label in dict.fromkeys(map(str.strip, labels)):
        check_text(label, source.where)
        yield Mention(label, tuple(fragments), f"{source.report.path.name}:{source.line}", text)


def regions(source: Source, result: object) -> list[Mention]:
    """The regions of a Label Studio result; those that we wrote as linked parts (``e1``, ``e1.2``, ...) are joined."""
    rows = [row for row in as_list(source, "result", [] if result is None else result) if isinstance(row, dict)]
    ties = {row.get("to_id"): row.get("from_id") for row in rows if row.get("type") == "relation"}
    found: dict[tuple[str, str], Mention] = {}
    for number, row in enumerate(rows):
        value = row.get("value")
        if row.get("type") == "relation":
            continue
        if not isinstance(value, dict) or (not value.get("labels") and not value.get("hypertextlabels")):
            source.report.add_line("region without a label, left out", source.line)
            continue
        place = value.get("globalOffsets") if isinstance(value.get("globalOffsets"), dict) else value
        labels = value.get("labels") or value["hypertextlabels"]
        item = {"start": place.get("start"), "end": place.get("end"), "labels": labels, "text": value.get("text")}
        name = str(row.get("id", f"row {number}"))
        whole = name.rpartition(".")[0] if isinstance(ties.get(name), str) and _is_part(ties[name], name) else name
        for mention in mentions(source, item):
            first = found.get((whole, mention.label))
            if first is not None and whole != name:
                fragments = (*first.fragments, *mention.fragments)
                mention = first._replace(fragments=fragments, text=f"{first.text} {mention.text}".strip())
            elif whole != name or first is not None:
                whole = name if first is None else f"{name} {number}"
            found[whole, mention.label] = mention
    return list(found.values())


def _is_part(before: str, name: str) -> bool:
    """Whether two ids of regions are those of neighbouring parts of an entity.

    >>> _is_part("e1", "e1.2"), _is_part("e1.2", "e1.3"), _is_part("e1", "e2.2")
    (True, True, False)
    """
    whole, _, number = name.rpartition(".")
    return bool(whole) and number.isdecimal() and before == (whole if number == "2" else f"{whole}.{int(number) - 1}")


def _ends(part: object) -> tuple[object, object]:
    if not isinstance(part, dict):
        return None, None
    return tuple(next((part[key] for key in keys if key in part), None) for keys in (STARTS, ENDS))


def _span(source: Source, span: Sequence[object], item: object) -> Span:
    offsets = list(span)
    for n, offset in enumerate(offsets):
        if isinstance(offset, float) and offset.is_integer():
            source.report.add_line("offset written as a float, read as an integer", source.line)
            offsets[n] = int(offset)
        if type(offsets[n]) is not int or offsets[n] < 0:
            raise _bad_entity(source, item)
    return offsets[0], offsets[1]


def _bad_entity(source: Source, item: object) -> DataFormatError:
    return source.error(
        f"the entity {shown(item)}",
        '[start, end, "TYPE"], {"start", "end", "label"} or {"type", "segments": [{"start", "end"}, ...]}, offsets '
        "whole numbers from 0",
        "Correct or remove it.",
    )


# --- entities on words


def inclusive(source: Source, item: object) -> WordItem:
    """``[start, end, type]``, the end being the last word."""
    start, end, label = read_mention(item, source.line, source.report)
    return label, [(start, end + 1)]


def exclusive(source: Source, item: object) -> WordItem:
    """An object with ``start``, ``end`` and ``type``, as SpERT has it."""
    found = list(mentions(source, item))
    if not isinstance(item, dict) or len(found) > 1:
        raise _bad_entity(source, item)
    return (found[0].label, list(found[0].fragments)) if found else ("", [])


def spans(source: Source, item: object) -> WordItem:
    """``{"type", "spans": [[start, end], ...]}``, ends exclusive."""
    label, parts = (item.get("type"), item.get("spans")) if isinstance(item, dict) else (None, None)
    if not isinstance(parts, list) or not parts or not all(isinstance(one, list) and len(one) == 2 for one in parts):
        raise _bad_entity(source, item)
    return _label(source, label, item), [_span(source, part, item) for part in parts]


def indexed(source: Source, item: object) -> WordItem:
    """``{"index": [words], "type"}``, as W2NER has it."""
    label, index = (item.get("type"), item.get("index")) if isinstance(item, dict) else (None, None)
    if not isinstance(index, list) or not index or not all(type(one) is int and one >= 0 for one in index):
        raise source.error(
            f"the entity {shown(item)}", '{"index": [numbers of words from 0], "type": "TYPE"}', "Correct or remove it."
        )
    return _label(source, label, item), [tuple(part) for part in merge_segments((one, one + 1) for one in index)]


def tagged(source: Source, words: Sequence[str], tags: Sequence[object]) -> list[WordItem]:
    """The entities of tags, in any usual scheme."""
    if len(tags) != len(words):
        raise source.error(f"{len(tags)} tags for {len(words)} words", "one tag per word", "Correct the record.")
    reader = TagReader()
    numbered = next((tag for tag in tags if not isinstance(tag, str)), None)
    if numbered is not None:
        raise source.error(
            f"the tag {shown(numbered)}",
            "tags as text, such as B-PER: what numbers mean is not in the file",
            "Write their names, or prepare the data set with genner prepare hf; to predict only, leave them out.",
        )
    try:
        found = reader.entities(tags, lambda index: f"{source.report.path.name}:{source.line}")
    except TagError as error:
        raise source.error(str(error).removesuffix("."), "O, B-type or I-type", "Correct the tag.") from None
    reader.report(source.report)
    return [(entity.label, [tuple(part) for part in entity.segments]) for entity in found]


def example(source: Source, words: tuple[str, ...], found: Sequence[WordItem]) -> Example:
    """A sentence with the entities that lie in it; others are dropped and counted, or an error."""
    entities = []
    for label, parts in found:
        pairs = [(start, end - 1) for start, end in parts]
        if pairs and is_usable(pairs, len(words), source.report, source.line):
            merged = merge_segments(parts)
            if len(merged) < len(parts):
                source.report.add_line("mention with parts that overlap or touch, merged", source.line)
            entities.append(Entity(label, merged))
    return Example(words, in_order(entities, source.report, source.line, _REPAIRED))


def all_inside(rows: Sequence[Sequence[WordItem]], sentences: Sequence[Sequence[str]]) -> bool:
    """Whether all entities lie in their sentences."""
    pairs = zip(rows, sentences, strict=True)
    return all(0 <= a < b <= len(words) for row, words in pairs for _, parts in row for a, b in parts)


def _label(source: Source, label: object, item: object) -> str:
    if not isinstance(label, str) or not label.strip():
        raise _bad_entity(source, item)
    check_text(label, source.where)
    return label.strip()
