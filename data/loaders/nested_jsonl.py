"""Flat and nested entities, a JSON document per line (or in a list, or over several lines).

``{"ners": [[[start, end, "TYPE"], ...] per sentence], "sentences": [[words], ...]}``; offsets count from the start of
the sentence, ends are the index of the last word. Other keys are ignored. Sentences of more than ``max_words`` words
are cut, as in the published preprocessing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from genner.data.loaders.reading import LoaderOptions, LoadReport, check_start, in_order, is_usable, opened
from genner.data.records import check_text, check_words, read_json, shown
from genner.data.schema import Entity, Example, Segment, entities_within
from genner.errors import DataFormatError

__all__ = ["cut", "load", "read_document", "read_mention"]

_REFERENCE_LIMIT = 150
_SENTENCE_END = (".", "!", "?", "。", "！", "？")


def load(path: Path, options: LoaderOptions = LoaderOptions()) -> tuple[list[Example], LoadReport]:  # noqa: B008
    """Read a file of JSON documents; every example has the number of its document.

    With ``options.compat`` duplicates are kept, tags are lower-cased, sentences are cut where the reference cuts them.

    Raises:
        DataFormatError: a record is not a JSON object, lacks a key, or holds words or mentions of another shape.
    """
    path = Path(path)
    check_start(path, "nested")
    report = LoadReport(path)
    examples = []
    with opened(path) as stream:
        for number, record in enumerate(read_json(stream, str(path), report)):
            if record.problem is not None:
                raise DataFormatError(record.problem)
            examples += read_document(record.value, record.place, report, options, number)
    return examples, report


def read_document(
    value: object, place: str, report: LoadReport, options: LoaderOptions, document: int | None = None
) -> list[Example]:
    """The sentences of a document.

    Args:
        value: a JSON object.
        place: its line.
        report: counts repairs and losses.
        options: whether long sentences are cut.
        document: number of the document.

    Raises:
        DataFormatError: it is not an object, lacks a key, or holds words or mentions of another shape.
    """
    examples = []
    for words, mentions in _read_lists(value, report.where(place)):
        if not words and not mentions:
            report.add_line("sentence without words, skipped", place)
            continue
        entities = in_order(_read_mentions(words, mentions, place, report, options), report, place, options)
        examples += cut(Example(words, entities, document), place, report, options)
    return examples


def _read_lists(document: object, where: str) -> Iterator[tuple[tuple[str, ...], list]]:
    """The words and the raw mentions of every sentence of a document."""
    shape = 'one JSON object per line: {"ners": [[[start, end, "TYPE"], ...], ...], "sentences": [["word", ...], ...]}'
    if not isinstance(document, dict):
        raise DataFormatError(
            f"{where}: JSON, but not an object: {shown(document)}. Expected {shape}. Write the file in this way."
        )
    for key in ("sentences", "ners"):
        if key not in document:
            raise DataFormatError(
                f"{where}: the key {key!r} is missing, found {shown(list(document))}. Expected {shape}. Rename or add "
                "it."
            )
        if not isinstance(document[key], list):
            raise DataFormatError(
                f"{where}: {key!r} is {shown(document[key])}, not a list. Expected {shape}. Correct it."
            )
    sentences, ners = document["sentences"], document["ners"]
    if len(sentences) != len(ners):
        raise DataFormatError(
            f"{where}: {len(sentences)} sentences but {len(ners)} lists in 'ners'. Expected one list per sentence, "
            "empty where a sentence has no mention. Add the missing lists."
        )
    for sentence, mentions in zip(sentences, ners, strict=True):
        if not isinstance(mentions, list):
            raise DataFormatError(
                f"{where}: {shown(mentions)} in 'ners'. Expected a list of mentions per sentence. Correct it."
            )
        yield check_words(sentence, where), mentions


def _read_mentions(
    words: tuple[str, ...], mentions: list, place: str, report: LoadReport, options: LoaderOptions
) -> Iterator[Entity]:
    for mention in mentions:
        start, end, label = read_mention(mention, place, report)
        if is_usable([(start, end)], len(words), report, place):
            yield Entity(label.lower() if options.compat else label, (Segment(start, end + 1),))


def read_mention(mention: object, place: str, report: LoadReport) -> tuple[int, int, str]:
    """Start, inclusive end and label of ``[start, end, "TYPE"]``.

    Args:
        mention: from JSON.
        place: its line.
        report: counts repairs.

    Raises:
        DataFormatError: it is something else.
    """
    where = report.where(place)
    if not isinstance(mention, list) or len(mention) < 3:
        shape = '[start, end, "TYPE"]'
        raise DataFormatError(f"{where}: mention {shown(mention)}. Expected {shape}. Correct or remove it.")
    *offsets, label = mention[:3]
    if len(mention) > 3:
        report.add_line("mention with more than start, end and type, the rest ignored", place)
    for index, offset in enumerate(offsets):
        if isinstance(offset, float) and offset.is_integer():
            report.add_line("offset written as a float, read as an integer", place)
            offsets[index] = offset = int(offset)
        if type(offset) is not int or offset < 0:
            raise DataFormatError(
                f"{where}: offset {shown(offset)} in mention {shown(mention)}. Expected whole numbers from 0, "
                "the indices of the first and the last word. Correct or remove it."
            )
    if not isinstance(label, str) or not label.strip():
        raise DataFormatError(
            f"{where}: type {shown(label)} in mention {shown(mention)}. Expected a name. Correct or remove it."
        )
    check_text(label, where)
    if label != label.strip():
        report.add_line("blank around a type, ignored", place)
    return offsets[0], offsets[1], label.strip()


def cut(example: Example, place: str | int, report: LoadReport, options: LoaderOptions) -> list[Example]:
    """Cut a sentence of more than ``options.max_words`` words at sentence ends; entities stay whole.

    Each part ends at the last sentence end within the limit that no entity crosses; if there is none, at the first one
    after it; if there is none at all, the rest stays whole. ``options.compat`` cuts where the reference does.
    """
    limit = options.max_words
    if not limit or len(example.words) <= limit:
        return [example]
    bounds = [0, *(_reference_cuts(example) if options.compat else _cuts(example, limit)), len(example.words)]
    if len(bounds) > 2:
        report.add_line(f"sentence of more than {limit} words, cut at sentence ends", place)
    if any(end - start > limit for start, end in pairwise(bounds)):
        report.add_line(f"sentence of more than {limit} words without a place to cut, left longer", place)
    return [
        Example(example.words[start:end], tuple(entities_within(example.entities, start, end)), example.document)
        for start, end in pairwise(bounds)
    ]


def _cuts(example: Example, limit: int) -> list[int]:
    crossed = {cut for entity in example.entities for cut in range(entity.start + 1, entity.end)}
    n_words = len(example.words)
    ends = [
        index + 1
        for index, word in enumerate(example.words[:-1])
        if word.endswith(_SENTENCE_END) and index + 1 not in crossed
    ]
    cuts: list[int] = []
    start = 0
    while n_words - start > limit:
        ahead = [end for end in ends if end > start]
        if not ahead:
            break
        start = max((end for end in ahead if end - start <= limit), default=ahead[0])
        cuts.append(start)
    return cuts


def _reference_cuts(example: Example) -> list[int]:
    """After a word in '.' with more than 150 words of its part before it, if no entity covers it."""
    covered = {index for entity in example.entities for index in range(entity.start, entity.end)}
    cuts: list[int] = []
    start = 0
    for index, word in enumerate(example.words[:-1]):
        if word.endswith(".") and index - start > _REFERENCE_LIMIT and index not in covered:
            start = index + 1
            cuts.append(start)
    return cuts
