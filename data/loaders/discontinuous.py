"""Flat, nested and discontinuous entities, three lines per sentence: the words, the mentions, an empty line.

Words are separated by single blanks. Mentions are ``start,end Type`` or ``s1,e1,s2,e2 Type``, separated by ``|``; ends
are the index of the last word. A sentence without mentions has an empty second line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from genner.data.loaders.reading import LoaderOptions, LoadReport, clean_word, in_order, is_usable, open_lines
from genner.data.schema import Entity, Example, Segment, merge_segments
from genner.errors import DataFormatError

__all__ = ["line_records", "load", "read_record"]

# The type may contain blanks but must not look like further offsets, as in `0, 1, 7, 7 ADR`.
_MENTION = re.compile(
    r"(?P<offsets>[0-9]{1,9}(?:,[0-9]{1,9})*)(?P<gap>[ \t]+)(?P<label>(?![0-9]*(?:[,;\s]|$)).+)", re.DOTALL
)


def load(path: Path, options: LoaderOptions = LoaderOptions()) -> tuple[list[Example], LoadReport]:  # noqa: B008
    """Read a file of three-line records.

    With ``options.compat`` every single blank separates two words, so that two of them enclose an empty word;
    duplicates and touching segments are kept, tags are lower-cased.

    Raises:
        DataFormatError: the lines do not come in threes, blanks are doubled, a mention cannot be read.
    """
    lines, report = open_lines(path, "discontinuous")
    return [read_record(*record, report, options) for record in line_records(lines, report)], report


def line_records(lines: Iterable[str], report: LoadReport) -> Iterator[tuple[int, str, str]]:
    """Line number of the words, the words, the mentions, for every record.

    Raises:
        DataFormatError: the lines do not come in threes.
    """
    numbered = enumerate(lines, 1)
    skipped = []
    for number, words in numbered:
        if not words.strip(" \t"):
            skipped.append(number)
            continue
        # Harmless at the end of the file; reported elsewhere.
        for empty in skipped:
            report.add_line("empty line where a sentence should start, skipped", empty)
        skipped.clear()
        mentions, between = (next(numbered, (0, ""))[1] for _ in range(2))
        if between.strip(" \t"):
            raise DataFormatError(
                f"{report.path}:{number + 2}: {between[:40]!r} in the third line of a record. Expected three lines per "
                "sentence: words, mentions (empty if there are none), an empty line. Fix the records from here on."
            )
        yield number, words, mentions


def read_record(number: int, text: str, mentions: str, report: LoadReport, options: LoaderOptions) -> Example:
    """The example of one record.

    Args:
        number: of the line of words, from 1.
        text: the line of words.
        mentions: the line of mentions.
        report: counts repairs and losses.
        options: only ``compat`` is used.

    Raises:
        DataFormatError: blanks are doubled, a mention cannot be read.
    """
    words = _split_words(text, number, report, options)
    entities = _read_mentions(mentions, number + 1, len(words), report, options)
    return Example(words, in_order(entities, report, number + 1, options))


def _split_words(text: str, line: int, report: LoadReport, options: LoaderOptions) -> tuple[str, ...]:
    if options.compat:
        return tuple(text.split(" "))
    if text.endswith(" "):
        report.add_line("blank after the last word, ignored", line)
    words = tuple(text.rstrip(" ").split(" "))
    if "" in words or "\t" in text:
        raise DataFormatError(
            f"{report.path}:{line}: {'a tab' if chr(9) in text else 'two blanks in a row or one at the start'} in "
            f"{text[:40]!r}, so that word indices are not certain. Expected single blanks between words. "
            "Remove the blank, or write _ for the word that is missing."
        )
    return tuple(clean_word(word, report, line) for word in words)


def _read_mentions(text: str, line: int, n_words: int, report: LoadReport, options: LoaderOptions) -> Iterator[Entity]:
    if not text.strip(" \t"):
        return
    for part in text.split("|"):
        field = part.strip(" \t")
        if not field:
            report.add_line("empty field between bars, ignored", line)
            continue
        if field != part:
            report.add_line("blank around a mention, ignored", line)
        match = _MENTION.fullmatch(field)
        offsets = [int(number) for number in match["offsets"].split(",")] if match else []
        if match is None or len(offsets) % 2:
            raise DataFormatError(
                f"{report.path}:{line}: mention {field[:60]!r}. Expected 'start,end Type' or 's1,e1,s2,e2 Type' with "
                "inclusive ends, mentions separated by '|', in the second of three lines per sentence. Fix the line."
            )
        label = _read_label(match, line, report, options)
        pairs = list(zip(offsets[::2], offsets[1::2], strict=True))
        if is_usable(pairs, n_words, report, line):
            yield Entity(label, _segments(pairs, line, report, options))


def _read_label(match: re.Match[str], line: int, report: LoadReport, options: LoaderOptions) -> str:
    label = match["label"]
    if match["gap"] != " ":
        report.add_line("tab or several blanks before a type, read as one blank", line)
    if " " in label or "\t" in label:
        report.add_line(f"blank in the type {label!r}, kept", line)
    return label.lower() if options.compat else label


def _segments(
    pairs: list[tuple[int, int]], line: int, report: LoadReport, options: LoaderOptions
) -> tuple[Segment, ...]:
    """End-exclusive segments, ascending; those that overlap or touch are merged (compat: kept)."""
    if pairs != sorted(pairs):
        report.add_line("mention with parts out of order, sorted", line)
    segments = tuple(Segment(start, end + 1) for start, end in sorted(pairs))
    if options.compat:
        return segments
    merged = merge_segments(segments)
    if merged != segments:
        report.add_line("mention with parts that overlap or touch, merged", line)
    return merged
