"""Records with words or texts, and the entities known of them: JSON of any shape, nested documents, spaCy files."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genner.data.loaders import LoadReport
from genner.data.loaders.reading import check_start
from genner.data.offsets import to_characters
from genner.data.records import JsonRecord, known_id, read_json
from genner.data.schema import Entity, Segment, sort_entities
from genner.data.shapes import Document, read_shape
from genner.errors import DataFormatError
from genner.prediction.reading.files import LONGEST, InputFile, Reading, example_input, with_mentions
from genner.prediction.results import TextInput, place_entity

if TYPE_CHECKING:
    from spacy.tokens import Doc, DocBin

__all__ = ["SPANS_KEY", "read_docs", "read_documents", "read_records"]

#: Where the entities are in ``doc.spans`` of spaCy documents that we wrote.
SPANS_KEY = "entities"


def read_records(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """JSON records of every shape that :mod:`genner.data.shapes` knows; their entities become gold."""
    report = LoadReport(file.path or Path(file.name))
    try:
        with file.open() as stream:
            for record in read_json(stream, file.name, report):
                yield from _input_of(record, report, file, reading)
    finally:
        reading.tally.merge(report)


def read_documents(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """:func:`read_records` of a file that should hold documents with ``sentences`` and ``ners``.

    Raises:
        DataFormatError: it clearly holds something else than JSON.
    """
    if file.path is not None:
        check_start(file.path, "nested", is_training=False)
    yield from read_records(file, reading)


def _input_of(record: JsonRecord, report: LoadReport, file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """The input of a record, with an error if it cannot be read; none if it is left out."""
    name = record.id or file.line_id(record.place)
    try:
        document = read_shape(record, report)
        if document is not None:
            yield _placed(document, document.id or name, report, reading)
    except DataFormatError as error:
        known = known_id(record.value.get("id")) if isinstance(record.value, dict) else ""
        yield TextInput("", known or name, error=str(error))


def _placed(document: Document, name: str, report: LoadReport, reading: Reading) -> TextInput:
    if document.text is None:
        given = example_input([one for one in document.sentences if one.words], name)
        return given if document.is_known else replace(given, gold=None)
    words = None if document.words is None else tuple(Segment(*span) for span in document.words)
    given = TextInput(document.text, name, words=words)
    if not document.is_known or reading.refuses(document.text):
        return given
    mentions = to_characters(document.text, document.mentions, report)
    return with_mentions(given, mentions, Reading(reading.words_of, report))


def read_docs(file: InputFile, reading: Reading) -> Iterator[TextInput]:
    """The documents of a file of spaCy: tokens, sentences, and the entities of ``doc.spans`` or ``doc.ents``.

    ``doc.spans["entities"]``, as our ``docbin`` writes it, may hold parts of entities; else ``doc.ents`` are taken, and
    if a document has none of these the one group of spans that it has.

    Raises:
        DataFormatError: it is no such file.
    """
    import spacy  # takes a second; other formats do not need it

    with file.open() as stream:
        docs = _bin_of(stream.read(LONGEST + 1), file)
    try:
        for number, doc in enumerate(docs.get_docs(spacy.blank("xx").vocab), 1):
            yield _doc_input(doc, f"{file.id}:{number}", reading)
    except _BROKEN as error:
        raise _no_docs(file, f"{type(error).__name__}: {error}") from None


_BROKEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError, OverflowError)


def _bin_of(content: bytes, file: InputFile) -> DocBin:
    from spacy.tokens import DocBin

    try:
        unpacked = zlib.decompressobj().decompress(content, 8 * LONGEST) if len(content) <= LONGEST else b""
        if not 0 < len(unpacked) < 8 * LONGEST:
            raise _no_docs(file, "empty, or too large")
        del unpacked
        return DocBin().from_bytes(content)
    except (zlib.error, *_BROKEN) as error:
        raise _no_docs(file, str(error)) from None


def _no_docs(file: InputFile, why: str) -> DataFormatError:
    return DataFormatError(
        f"{file.name}: not a file of spaCy documents ({why[:200]}). Expected what DocBin.to_disk writes. Write it anew "
        "with your version of spaCy."
    )


def _doc_input(doc: Doc, usual: str, reading: Reading) -> TextInput:
    tokens = [token for token in doc if not token.is_space]
    place = {token.i: number for number, token in enumerate(tokens)}
    words = tuple(Segment(token.idx, token.idx + len(token)) for token in tokens)
    sentences = None
    if words and doc.has_annotation("SENT_START"):
        begins = _sentence_starts(doc)
        sentences = tuple(Segment(*pair) for pair in zip(begins, [*begins[1:], len(words)], strict=True))
    entities: dict[Entity, None] = {}
    for label, spans in _groups(doc):
        covered = sorted({place[token.i] for span in spans for token in span if token.i in place})
        if not covered or not label:
            reading.tally.add("annotation without a word or a label, dropped", usual)
            continue
        bounds = [n for n in range(1, len(covered)) if covered[n] > covered[n - 1] + 1]
        parts = zip([0, *bounds], [*bounds, len(covered)], strict=True)
        entities[Entity(label, tuple(Segment(covered[a], covered[b - 1] + 1) for a, b in parts))] = None
    gold = tuple(place_entity(entity, doc.text, words) for entity in sort_entities(entities))
    return TextInput(doc.text, known_id(doc.user_data.get("id")) or usual, words, sentences, gold)


def _sentence_starts(doc: Doc) -> list[int]:
    """The first word of every sentence; white space that begins one is no word."""
    starts, n_words, begins = [], 0, True
    for token in doc:
        begins |= bool(token.is_sent_start)
        if not token.is_space:
            starts += [n_words] * begins
            n_words, begins = n_words + 1, False
    return starts


def _groups(doc: Doc) -> list[tuple[str, list]]:
    """Label and spans of every entity; parts of one have the same ``span.id_``."""
    if SPANS_KEY in doc.spans and len(doc.spans[SPANS_KEY]):
        groups: dict[tuple[str, str], list] = {}
        for number, span in enumerate(doc.spans[SPANS_KEY]):
            groups.setdefault((span.id_ or f"span {number}", span.label_), []).append(span)
        return [(label, spans) for (_, label), spans in groups.items()]
    if not doc.ents and len(doc.spans) == 1:
        return [(span.label_, [span]) for span in next(iter(doc.spans.values()))]
    return [(span.label_, [span]) for span in doc.ents]
