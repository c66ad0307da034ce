"""The shapes in which tools write texts and entities as JSON: recognised by their keys, read as :class:`Document`.

Key present is known: ``"entities": []`` says that there are none, a record without such a key or with null in it says
nothing. Offsets become end-exclusive. Records that annotators rejected or cancelled are left out and counted.
"""

from __future__ import annotations

import json
import shlex
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from genner.data import shape_items as items
from genner.data.loaders.nested_jsonl import read_document
from genner.data.loaders.reading import LoaderOptions, LoadReport, opened
from genner.data.offsets import Mention, Reading, Span, find_reading, to_characters
from genner.data.records import JsonRecord, check_text, check_words, read_json, shown
from genner.data.schema import Example
from genner.data.shape_items import Source
from genner.data.text import build_examples, sentence_words
from genner.errors import DataFormatError

__all__ = ["Document", "examples_of", "load", "loader_for", "read_shape"]

_WORDS = ("words", "raw_words", "tokens")
_ENTITIES = ("entities", "spans", "ents", "label", "labels", "annotations")  # of a text
_TAGS = ("ner_tags", "tags", "labels")
_WHOLE = LoaderOptions(max_words=None)


@dataclass(frozen=True, slots=True)
class Document:
    """What a record says, whatever its shape.

    Attributes:
        shape: the name of its shape.
        id: empty if it has none.
        is_known: whether its entities are known.
        text: None if it has only words.
        words: places of its words in the text; None if they are to be found there.
        mentions: entities on the text, counted as the tool counts.
        sentences: words and entities on words of a record without a text.
        place: line of the record in its file.
    """

    shape: str
    id: str = ""
    is_known: bool = False
    text: str | None = None
    words: tuple[Span, ...] | None = None
    mentions: tuple[Mention, ...] = ()
    sentences: tuple[Example, ...] = ()
    place: str = ""


class Shape(NamedTuple):
    """A shape of records.

    Args:
        name: of the tool or format.
        keys: what it looks like, for messages.
        fits: whether a value has it.
        read: the document of a value that has it; None if the record is left out.
    """

    name: str
    keys: str
    fits: Callable[[Any], bool]
    read: Callable[[Source], Document | None]


def read_shape(record: JsonRecord, report: LoadReport) -> Document | None:
    """The document of a record; None if it is left out.

    Args:
        record: of the file that ``report`` is about.
        report: counts what is changed or left out.

    Raises:
        DataFormatError: the record is broken, of no known shape, or not valid.
    """
    if record.problem is not None:
        raise DataFormatError(record.problem)
    source = Source(record.value, record.place, report)
    shape = _shape_of(record.value)
    if shape is None:
        raise _unknown(source)
    document = shape.read(source)
    return document and replace(document, shape=shape.name)


def examples_of(document: Document, number: int, report: LoadReport, reading: Reading | None = None) -> list[Example]:
    """The sentences of a document, for training; texts are split as ``genner prepare`` does.

    Args:
        document: its words, if it has some, are taken; its sentences end where those of its text do.
        number: of the document.
        report: counts changes.
        reading: how the offsets of the file count, see :func:`genner.data.offsets.find_reading`.
    """
    if document.text is None:
        return [example for example in document.sentences if example.words]
    mentions = to_characters(document.text, document.mentions, report, reading=reading)
    sentences: Sequence[Sequence[Span]] = sentence_words(document.text, lines=True)
    if document.words is not None:
        starts = [words[0][0] for words in sentences]
        rows: list[list[Span]] = [[] for _ in range(len(starts) + 1)]
        for span in document.words:
            rows[bisect_right(starts, span[0])].append(span)
        sentences = [row for row in rows if row]
    return build_examples(document.text, sentences, mentions, number, report)


def load(path: Path, options: LoaderOptions = LoaderOptions()) -> tuple[list[Example], LoadReport]:  # noqa: B008
    """The loader of JSON files of other tools, and of our own predictions and results; see docs/formats.md.

    Records whose entities are not known are left out; if they are known of none, the report is not ``is_labelled``.

    Raises:
        DataFormatError: a record cannot be read.
    """
    path, report = Path(path), LoadReport(path)
    documents: list[Document] = []
    with opened(path) as stream:
        for record in read_json(stream, str(path), report):
            document = read_shape(record, report)
            if document is not None:
                documents.append(replace(document, place=record.place))
    report.is_labelled = not documents or any(document.is_known for document in documents)
    if report.is_labelled:
        for document in documents:
            if not document.is_known:
                report.add_line("record whose entities are not known, left out", document.place)
        documents = [document for document in documents if document.is_known]
    reading = find_reading((one.text, one.mentions) for one in documents if one.text is not None)
    return [row for n, one in enumerate(documents) for row in examples_of(one, n, report, reading)], report


def loader_for(path: Path, usual: str) -> str:
    """The loader for a file: ``usual``, or ``json`` if the file holds JSON of another shape.

    Raises:
        DataFormatError: it holds JSON objects of no known shape.
    """
    if usual not in ("conll", "nested", "discontinuous") or not path.is_file():
        return usual
    report = LoadReport(path)
    with opened(path) as stream:
        record = next(read_json(stream, str(path), report), JsonRecord(1))
    if record.problem is not None or not isinstance(record.value, dict | list):
        return usual  # which says what is wrong
    shape = _shape_of(record.value)
    if shape is None and isinstance(record.value, dict):
        raise _unknown(Source(record.value, record.place, report))
    return usual if shape is None or _is_ours(record.value) else "json"


def _unknown(source: Source) -> DataFormatError:
    value = source.value
    known = "; ".join(f"{shape.keys} ({shape.name})" for shape in SHAPES)
    if not isinstance(value, dict):
        return source.error(f"JSON, but not an object: {shown(value)}", f"one of: {known}", "Convert the file.")
    for key in ("text", *_WORDS):
        if key in value:
            what = "a text" if key == "text" else "a list of words"
            return source.error(f"{key!r} is {shown(value[key])}", what, "Correct or remove the record.")
    keys = f"no shape that is known in the keys {shown(list(value))}"
    for key, rows in value.items():
        if isinstance(rows, list) and rows and _shape_of(rows[0]) is not None:
            command = f"jq {shlex.quote(f'.[{json.dumps(key)}]')} {shlex.quote(str(source.report.path))} > records.json"
            return source.error(keys, "a record", f"The list {key!r} has records: write it to a file, as by {command}")
    return source.error(keys, f"one of: {known}", "Rename the keys, or convert the file.")


def _shape_of(value: object) -> Shape | None:
    return next((shape for shape in SHAPES if shape.fits(value)), None)


def _is_ours(value: object) -> bool:
    """Whether it is a document of nested training files, or wants to be one."""
    return (isinstance(value, dict) and "ners" in value) or (_has(value, sentences=list) and "ner" not in value)


def _has(value: object, **kinds: type) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())


def _words_key(value: object) -> str | None:
    return next((key for key in _WORDS if _has(value, **{key: list})), None)


# --- readers of the shapes


def _nested(source: Source) -> Document:
    """``sentences`` with ``ners`` on their words, or without."""
    value = source.value
    if "ners" in value:
        sentences = read_document(value, source.line, source.report, _WHOLE)
    else:
        sentences = [Example(check_words(words, source.where), ()) for words in value["sentences"]]
    return Document("", items.id_of(source, "id", "doc_key"), "ners" in value, sentences=tuple(sentences))


def _dygie(source: Source) -> Document:
    """``sentences`` with ``ner`` on the words of the document, inclusive; on those of a sentence if only this fits."""
    words = [check_words(sentence, source.where) for sentence in source.value["sentences"]]
    ner = source.value["ner"]
    if not isinstance(ner, list) or len(ner) != len(words) or not all(isinstance(row, list) for row in ner):
        raise source.error(
            f"'ner' is {shown(ner)} for {len(words)} sentences", "a list of mentions for each sentence", "Correct it."
        )
    found = [[items.inclusive(source, item) for item in row] for row in ner]
    starts = list(accumulate(map(len, words), initial=0))[:-1]
    of_document = [
        [(label, [(a - start, b - start) for a, b in spans]) for label, spans in row]
        for row, start in zip(found, starts, strict=True)
    ]
    if not items.all_inside(of_document, words) and items.all_inside(found, words):
        source.report.add_line("offsets that count from the start of the sentence, read so", source.line)
        of_document = found
    rows = zip(words, of_document, strict=True)
    sentences = tuple(items.example(source, sentence, row) for sentence, row in rows if sentence)
    return Document("", items.id_of(source, "doc_key", "id"), True, sentences=sentences)


def _w2ner(source: Source) -> Document:
    """``sentence``, a list of words, and ``ner``: ``{"index": [words], "type"}``."""
    words = check_words(source.value["sentence"], source.where)
    found = [items.indexed(source, item) for item in source.value["ner"]]
    return _of_words(source, words, found)


def _gliner(source: Source) -> Document:
    """``tokenized_text`` and ``ner``: ``[start, end, type]``, inclusive."""
    words = check_words(source.value["tokenized_text"], source.where)
    ner = source.value.get("ner")
    found = None if ner is None else [items.inclusive(source, item) for item in items.as_list(source, "ner", ner)]
    return _of_words(source, words, found)


def _predictions(source: Source) -> Document:
    """``raw_words``, ``gold`` and ``pred`` of a run: ``{"type", "spans": [[start, end], ...]}``."""
    words = check_words(source.value["raw_words"], source.where)
    return _of_words(source, words, [items.spans(source, item) for item in source.value["gold"]])


def _hugging_face(source: Source) -> Document:
    """Words and a tag for each."""
    words = check_words(source.value[_words_key(source.value)], source.where)
    key = next(key for key in _TAGS if _has(source.value, **{key: list}))
    return _of_words(source, words, items.tagged(source, words, source.value[key]))


def _words(source: Source) -> Document:
    """Words with our own entities, on characters of the words joined by blanks, with SpERT's on words, or without."""
    words = check_words(source.value[_words_key(source.value)], source.where)
    found = source.value.get("entities")
    if found is None:
        return _of_words(source, words, None)
    rows = items.as_list(source, "entities", found)
    if any(isinstance(row, dict) and "segments" in row for row in rows):
        text, places = " ".join(words), items.joined_places(words)
        mentions = tuple(mention for row in rows for mention in items.mentions(source, row))
        return Document("", items.id_of(source, "id"), True, text, places, mentions)
    return _of_words(source, words, [items.exclusive(source, row) for row in rows])


def _text(source: Source) -> Document | None:
    """A text with entities on its characters under any of the usual keys, or without."""
    value = source.value
    if value.get("answer") in ("reject", "ignore"):
        source.report.add_line(f"record with the answer {value['answer']!r}, left out", source.line)
        return None
    check_text(value["text"], source.where)
    found = _entities_of(source)
    if found is None and "answer" in value:  # Prodigy leaves the key out where nothing was marked
        found = []
    if not found and isinstance(value.get("error"), str):
        source.report.add_line("result of a text that failed, its entities not known", source.line)
        found = None
    mentions = [mention for item in found or () for mention in items.mentions(source, item)]
    key = _words_key(value)
    words = None if key is None else items.places_of(source, value[key])
    return Document("", items.id_of(source, "id"), found is not None, value["text"], words, tuple(mentions))


def _pair(source: Source) -> Document:
    """A list of a text and its annotations: ``{"entities": [[start, end, type], ...]}``, or the list alone."""
    text, about = source.value[:2]
    check_text(text, source.where)
    found = about.get("entities") if isinstance(about, dict) else about
    found = None if found is None else items.as_list(source, "entities", found)
    mentions = tuple(mention for item in found or () for mention in items.mentions(source, item))
    return Document("", "", found is not None, text, None, mentions)


def _label_studio(source: Source) -> Document | None:
    """A task: its first annotation that was not cancelled, else its first prediction."""
    data = source.value["data"]
    texts = {key: text for key, text in data.items() if isinstance(text, str) and key not in ("id", "ner_id")}
    text = texts.get("text", next(iter(texts.values())) if len(texts) == 1 else None)
    if text is None:
        raise source.error(f"'data' has {shown(list(data))}", "the text under the key 'text'", "Rename its key.")
    check_text(text, source.where)
    done = [one for key in ("annotations", "completions") for one in _objects(source, key)]
    kept = [one for one in done if not (one.get("was_cancelled") or one.get("skipped"))]
    if done and not kept:
        source.report.add_line("task that was cancelled, left out", source.line)
        return None
    if len(kept) > 1:
        source.report.add_line("task with several annotations, the first taken", source.line)
    if not kept:
        kept = _objects(source, "predictions")
        if kept:
            source.report.add_line("task without annotations, its predictions taken as known entities", source.line)
    name = items.id_of(replace(source, value=data), "id") or items.id_of(source, "id")
    mentions = items.regions(source, kept[0].get("result")) if kept else []
    return Document("", name, bool(kept), text, None, tuple(mentions))


def _objects(source: Source, key: str) -> list[dict]:
    """The objects of a list that may be missing; some exports list only the numbers of annotations."""
    return [one for one in items.as_list(source, key, source.value.get(key) or []) if isinstance(one, dict)]


def _of_words(source: Source, words: tuple[str, ...], found: list[items.WordItem] | None) -> Document:
    sentence = items.example(source, words, found or [])
    return Document("", items.id_of(source, "id"), found is not None, sentences=(sentence,))


def _entities_of(source: Source) -> list | None:
    """The entities of a text: the first of the usual keys that holds some, else an empty one; None: not known."""
    empty = None
    for key in _ENTITIES:
        found = source.value.get(key)
        if key == "spans" and isinstance(found, Mapping):  # groups of spans, as spaCy writes them
            if len(found) > 1:
                raise source.error(f"'spans' has the groups {shown(list(found))}", "one group", "Keep one.")
            found = next(iter(found.values()), [])
        if key == "entities" and found is not None:
            found = items.as_list(source, key, found)
        elif not isinstance(found, list) or not all(isinstance(item, list | dict) for item in found):
            continue  # such as the class of a text
        if found:
            return found
        empty = found if found is not None else empty
    return empty


#: The first that fits is taken.
SHAPES: tuple[Shape, ...] = (
    Shape(
        "spaCy",
        '["a text", {"entities": [[start, end, type], ...]}]',
        lambda v: isinstance(v, list) and len(v) > 1 and isinstance(v[0], str) and isinstance(v[1], dict | list),
        _pair,
    ),
    Shape(
        "Label Studio", "data and annotations", lambda v: _has(v, data=dict) and not _has(v, text=str), _label_studio
    ),
    Shape("DyGIE++", "sentences and ner", lambda v: _has(v, sentences=list) and "ner" in v and "ners" not in v, _dygie),
    Shape(
        "GenNER, nested",
        "sentences and ners",
        lambda v: isinstance(v, dict) and ("ners" in v or _has(v, sentences=list)) and not _has(v, text=str),
        _nested,
    ),
    Shape("W2NER", "sentence (words) and ner", lambda v: _has(v, sentence=list, ner=list), _w2ner),
    Shape("GLiNER", "tokenized_text and ner", lambda v: _has(v, tokenized_text=list), _gliner),
    Shape("GenNER, predictions", "raw_words and gold", lambda v: _has(v, raw_words=list, gold=list), _predictions),
    Shape(
        "GenNER, spaCy, Prodigy, doccano",
        f"text and one of {', '.join(_ENTITIES[:5])}, or text alone",
        lambda v: _has(v, text=str),
        _text,
    ),
    Shape(
        "Hugging Face",
        "tokens and ner_tags",
        lambda v: _words_key(v) is not None and any(_has(v, **{key: list}) for key in _TAGS),
        _hugging_face,
    ),
    Shape("GenNER, SpERT", "words or tokens, with or without entities", lambda v: _words_key(v) is not None, _words),
)
