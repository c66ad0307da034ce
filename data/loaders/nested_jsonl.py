"""Flat and nested entities, one JSON document per line.

``{"ners": [[[start, end, "TYPE"], ...] per sentence], "sentences": [[words], ...]}``; offsets count from the start of
the sentence, ends are the index of the last word. Other keys are ignored. Sentences of more than ``max_words`` words
are cut, as in the published preprocessing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from genner.data.loaders.reading import LoaderOptions, LoadReport, in_order, is_usable, open_lines
from genner.data.schema import Entity, Example, Segment, entities_within
from genner.data.utf8 import is_writable
from genner.errors import DataFormatError

__all__ = ["check_text", "check_words", "cut", "load", "read_document"]

_REFERENCE_LIMIT = 150
_SENTENCE_END = (".", "!", "?", "。", "！", "？")


def load(path: Path, options: LoaderOptions = LoaderOptions()) -> tuple[list[Example], LoadReport]:  # noqa: B008
    """Read a file of JSON lines; every example has the number of its document.

    With ``options.compat`` duplicates are kept, tags are lower-cased, sentences are cut where the reference cuts them.

    Raises:
        DataFormatError: a line is not a JSON object, lacks a key, or holds words or mentions of another shape.
    """
    lines, report = open_lines(path, "nested")
    examples = []
    n_documents = 0
    for number, line in enumerate(lines, 1):
        if not line.strip(" \t"):
            continue
        examples += read_document(line, number, report, options, n_documents)
        n_documents += 1
    return examples, report


def read_document(
    line: str, number: int, report: LoadReport, options: LoaderOptions, document: int | None = None
) -> list[Example]:
    """The sentences of one line.

    Args:
        line: a JSON object.
        number: of the line, from 1.
        report: counts repairs and losses.
        options: whether long sentences are cut.
        document: number of the document.

    Raises:
        DataFormatError: it is not a JSON object, lacks a key, or holds words or mentions of another shape.
    """
    examples = []
    for words, mentions in _read_lists(line, f"{report.path}:{number}"):
        if not words and not mentions:
            report.add_line("sentence without words, skipped", number)
            continue
        entities = in_order(_read_mentions(words, mentions, number, report, options), report, number, options)
        examples += cut(Example(words, entities, document), number, report, options)
    return examples


def _read_lists(line: str, where: str) -> Iterator[tuple[tuple[str, ...], list]]:
    """The words and the raw mentions of every sentence of a line."""
    shape = 'one JSON object per line: {"ners": [[[start, end, "TYPE"], ...], ...], "sentences": [["word", ...], ...]}'
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataFormatError(
            f"{where}: not JSON ({error}) in {line[:40]!r}. Expected {shape}. Write one object per line."
        ) from None
    if not isinstance(document, dict):
        raise DataFormatError(f"{where}: JSON, but not an object: {line[:40]!r}. Expected {shape}. Write it so.")
    for key in ("sentences", "ners"):
        if key not in document:
            raise DataFormatError(
                f"{where}: the key {key!r} is missing, found {list(document)}. Expected {shape}. Rename or add it."
            )
        if not isinstance(document[key], list):
            raise DataFormatError(f"{where}: {key!r} is {document[key]!r:.40}, not a list. Expected {shape}. Fix it.")
    sentences, ners = document["sentences"], document["ners"]
    if len(sentences) != len(ners):
        raise DataFormatError(
            f"{where}: {len(sentences)} sentences but {len(ners)} lists in 'ners'. Expected one list per sentence. "
            "Add an empty one where a sentence has no mention."
        )
    for sentence, mentions in zip(sentences, ners, strict=True):
        if not isinstance(mentions, list):
            raise DataFormatError(f"{where}: {mentions!r:.40} in 'ners'. Expected a list per sentence. Correct it.")
        yield check_words(sentence, where), mentions


def check_words(sentence: object, where: str) -> tuple[str, ...]:
    """The words of a sentence from JSON.

    Raises:
        DataFormatError: it is not a list of non-empty strings; names ``where``.
    """
    if not isinstance(sentence, list):
        raise DataFormatError(f"{where}: sentence {sentence!r:.40}. Expected a list of words. Correct it.")
    for index, word in enumerate(sentence):
        if not isinstance(word, str) or not word:
            raise DataFormatError(
                f"{where}: word {index} of a sentence is {word!r:.40}. Expected text that is not empty. Put a "
                "placeholder there: leaving the word out would shift the mentions."
            )
        check_text(word, where)
    return tuple(sentence)


def check_text(text: str, where: str) -> None:
    """Raise :class:`DataFormatError`, which names ``where``, for text that UTF-8 cannot represent."""
    if not is_writable(text):
        raise DataFormatError(
            f"{where}: {text!r:.40} contains a lone surrogate, which cannot be written as UTF-8. Expected whole "
            "characters. Fix the text that was cut inside an emoji."
        )


def _read_mentions(
    words: tuple[str, ...], mentions: list, line: int, report: LoadReport, options: LoaderOptions
) -> Iterator[Entity]:
    for mention in mentions:
        start, end, label = _check_mention(mention, line, report)
        if is_usable([(start, end)], len(words), report, line):
            yield Entity(label.lower() if options.compat else label, (Segment(start, end + 1),))


def _check_mention(mention: object, line: int, report: LoadReport) -> tuple[int, int, str]:
    """Start, inclusive end and label of a raw mention."""
    where = f"{report.path}:{line}"
    if not isinstance(mention, list) or len(mention) < 3:
        raise DataFormatError(f'{where}: mention {mention!r:.60}. Expected [start, end, "TYPE"]. Correct it.')
    *offsets, label = mention[:3]
    if len(mention) > 3:
        report.add_line("mention with more than start, end and type, the rest ignored", line)
    for index, offset in enumerate(offsets):
        if isinstance(offset, float) and offset.is_integer():
            report.add_line("offset written as a float, read as an integer", line)
            offsets[index] = offset = int(offset)
        if type(offset) is not int or offset < 0:
            raise DataFormatError(
                f"{where}: offset {offset!r:.40} in mention {mention!r:.60}. Expected whole numbers from 0, "
                "the indices of the first and the last word. Correct it."
            )
    if not isinstance(label, str) or not label.strip():
        raise DataFormatError(f"{where}: type {label!r:.40} in mention {mention!r:.60}. Expected a name. Add it.")
    check_text(label, where)
    if label != label.strip():
        report.add_line("blank around a type, ignored", line)
    return offsets[0], offsets[1], label.strip()


def cut(example: Example, line: int, report: LoadReport, options: LoaderOptions) -> list[Example]:
    """Cut a sentence of more than ``options.max_words`` words at sentence ends; entities stay whole.

    Each part ends at the last sentence end within the limit that no entity crosses; if there is none, at the first one
    after it; if there is none at all, the rest stays whole. ``options.compat`` cuts where the reference does.
    """
    limit = options.max_words
    if not limit or len(example.words) <= limit:
        return [example]
    bounds = [0, *(_reference_cuts(example) if options.compat else _cuts(example, limit)), len(example.words)]
    if len(bounds) > 2:
        report.add_line(f"sentence of more than {limit} words, cut at sentence ends", line)
    if any(end - start > limit for start, end in pairwise(bounds)):
        report.add_line(f"sentence of more than {limit} words without a place to cut, left longer", line)
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
