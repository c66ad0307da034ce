"""Plain text and JSON lines: a document per line, per file, or per JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from genner.data.loaders.nested_jsonl import check_text, check_words
from genner.data.offsets import Mention
from genner.data.schema import Segment
from genner.data.utf8 import decode, read_raw
from genner.errors import DataFormatError
from genner.prediction.reading.files import LONGEST, InputFile, LineReader, Reading, with_mentions
from genner.prediction.results import TextInput, words_joined

__all__ = ["read_json_lines", "read_lines", "read_text"]

_WORDS = ("words", "raw_words", "tokens")
_SHAPE = '{"text": "..."} or {"words": ["...", ...]}, with an "id" if you like'


def read_lines(file: InputFile, _: Reading) -> Iterator[TextInput]:
    """Every line is a document, even an empty one, so that lines and results correspond."""
    with file.open() as stream:
        lines = LineReader(stream, file.name)
        for number, line in enumerate(lines, 1):
            problem = lines.problem(number)
            yield file.failed(problem, number) if problem else TextInput(line, file.line_id(number))


def read_text(file: InputFile, _: Reading) -> Iterator[TextInput]:
    """The whole file is a document; line ends stay as they are."""
    yield TextInput(raw_text(file), file.id)


def raw_text(file: InputFile) -> str:
    """All of a file.

    Raises:
        DataFormatError: it is too large, or not UTF-8 text.
    """
    if file.path is None:
        with file.open() as stream:
            return _decoded(stream.read(LONGEST + 1), file)
    if file.path.stat().st_size > LONGEST:
        raise DataFormatError(
            f"{file.name}: more than {LONGEST:,} bytes. Expected a shorter text. Split it, or read its lines "
            "(--format lines)."
        )
    return read_raw(file.path)


def read_json_lines(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """Every line is an object with a text, or with words; empty lines are skipped."""
    with file.open() as stream:
        lines = LineReader(stream, file.name)
        for number, line in enumerate(lines, 1):
            problem = lines.problem(number)
            if problem is None and not line.strip():
                continue
            try:
                yield file.failed(problem, number) if problem else _json_input(line, number, file, reading)
            except DataFormatError as error:
                yield file.failed(error, number)


def _decoded(raw: bytes, file: InputFile) -> str:
    if len(raw) > LONGEST:
        raise DataFormatError(f"{file.name}: more than {LONGEST:,} bytes. Expected a shorter text. Split it.")
    return decode(raw, file.name)


def _json_input(line: str, number: int, file: InputFile, reading: Reading) -> TextInput:
    """The input that a line describes.

    Raises:
        DataFormatError: it is not valid.
    """
    where = f"{file.name}:{number}"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataFormatError(
            f"{where}: not JSON ({error}) in {line[:40]!r}. Expected {_SHAPE}. Write one object per line."
        ) from None
    if not isinstance(record, dict):
        raise DataFormatError(f"{where}: JSON, but not an object: {line[:40]!r}. Expected {_SHAPE}.")
    given = replace(_text_of(record, where), id=_id_of(record, where) or file.line_id(number))
    if record.get("entities"):
        if not isinstance(record["entities"], list):
            raise DataFormatError(f"{where}: 'entities' is {record['entities']!r:.40}. Expected a list.")
        mentions = [_mention(entity, where) for entity in record["entities"]]
        given = with_mentions(given, mentions, reading)
    return given


def _text_of(record: Mapping[str, Any], where: str) -> TextInput:
    key = next((key for key in _WORDS if key in record), None)
    text = record.get("text")
    if key is None and not isinstance(text, str):
        found = f"'text' is {text!r:.40}" if "text" in record else f"neither text nor words in {list(record)!r:.60}"
        hint = " Files with 'sentences' are of the format 'nested' (--format)." if "sentences" in record else ""
        raise DataFormatError(f"{where}: {found}. Expected {_SHAPE}. Rename or add a key.{hint}")
    if key is None:
        check_text(text, where)
        return TextInput(text)
    words = check_words(record[key], where)
    if not isinstance(text, str):
        return words_joined(words)
    check_text(text, where)
    spans, at = [], 0
    for word in words:
        start = text.find(word, at)
        if start < 0:
            raise DataFormatError(
                f"{where}: the word {word!r:.40} of {key!r} is not in 'text' after the words before it. Expected the "
                "words of the text in order. Leave one of the two keys out."
            )
        at = start + len(word)
        spans.append(Segment(start, at))
    return TextInput(text, words=tuple(spans))


def _id_of(record: Mapping[str, Any], where: str) -> str:
    name = record.get("id")
    if name is None:
        return ""
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise DataFormatError(f"{where}: the id {name!r:.40}. Expected a string or an integer.")
    check_text(str(name), where)
    return str(name)


def _mention(entity: object, where: str) -> Mention:
    """An entity as :meth:`genner.prediction.results.TextEntity.record` writes it."""
    fragments = []
    label = entity.get("type") if isinstance(entity, dict) else None
    segments = entity.get("segments") if isinstance(entity, dict) else None
    for segment in segments if isinstance(segments, list) else ():
        start, end = (segment.get(key) if isinstance(segment, dict) else None for key in ("start", "end"))
        if type(start) is not int or type(end) is not int or not 0 <= start < end:
            fragments.clear()
            break
        fragments.append((start, end))
    if not fragments or not isinstance(label, str) or not label:
        raise DataFormatError(
            f'{where}: the entity {entity!r:.60}. Expected {{"type": "...", "segments": [{{"start": 0, '
            '"end": 4}, ...]}, offsets counted in characters. Correct or remove it.'
        )
    check_text(label, where)
    return Mention(label, tuple(fragments), where)
