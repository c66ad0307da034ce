"""Splitting of sentences that are too long for the published setting, between entities."""

from __future__ import annotations

from itertools import pairwise

from genner.data.loaders.reading import LoaderOptions, LoadReport
from genner.data.schema import Entity, Example, Segment

__all__ = ["cut"]

REFERENCE_LIMIT = 150
SENTENCE_END = (".", "!", "?", "。", "！", "？")


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
    return [_piece(example, start, end) for start, end in pairwise(bounds)]


def _cuts(example: Example, limit: int) -> list[int]:
    crossed = {cut for entity in example.entities for cut in range(entity.start + 1, entity.end)}
    n_words = len(example.words)
    ends = [
        index + 1
        for index, word in enumerate(example.words[:-1])
        if word.endswith(SENTENCE_END) and index + 1 not in crossed
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
        if word.endswith(".") and index - start > REFERENCE_LIMIT and index not in covered:
            start = index + 1
            cuts.append(start)
    return cuts


def _piece(example: Example, start: int, end: int) -> Example:
    inside = (entity for entity in example.entities if start <= entity.start and entity.end <= end)
    moved = (
        Entity(entity.label, tuple(Segment(first - start, last - start) for first, last in entity.segments))
        for entity in inside
    )
    return Example(example.words[start:end], tuple(moved), example.document)
