"""Shared by the loaders of explicit mentions: checking offsets and sorting a sentence's entities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genner.data.loaders.reading import LoaderOptions, LoadReport
from genner.data.schema import Entity, sort_entities
from genner.errors import DataFormatError

__all__ = ["in_order", "is_usable"]


def in_order(entities: Iterable[Entity], report: LoadReport, line: int, options: LoaderOptions) -> tuple[Entity, ...]:
    """Sort the entities of a sentence; exact duplicates are counted once (compat: kept, and the sort is stable)."""
    entities = list(entities)
    if options.compat:
        return tuple(sorted(entities, key=lambda entity: (entity.start, entity.end)))
    unique = dict.fromkeys(entities)
    for _ in range(len(entities) - len(unique)):
        report.add_line("duplicate mention, counted once", line)
    return sort_entities(unique)


def is_usable(pairs: Sequence[tuple[int, int]], n_words: int, report: LoadReport, line: int) -> bool:
    """Whether the parts ``(start, inclusive end)`` of a mention lie in the sentence; if not, it is dropped and counted.

    Offsets that indicate a wrong reading of the whole file are errors: an end of exactly ``n_words`` (exclusive ends)
    and a mention entirely after the sentence (offsets counted from the start of the document). A mention that only
    ends after it, as in a truncated sentence, is dropped: clipping it would invent another one.

    Raises:
        DataFormatError: see above.
    """
    if any(end < start for start, end in pairs):
        report.add_line("mention whose end is before its start, dropped", line)
        return False
    first, last = min(start for start, _ in pairs), max(end for _, end in pairs)
    if last == n_words:
        raise DataFormatError(
            f"{report.path}:{line}: mention {first}..{last} in a sentence of {n_words} words. Expected the index of "
            f"the last word, at most {n_words - 1}. Subtract 1 if the ends of this file are exclusive."
        )
    if first >= n_words:
        raise DataFormatError(
            f"{report.path}:{line}: mention {first}..{last} starts after the end of a sentence of {n_words} "
            "words. Expected offsets from the start of the sentence. Subtract the sentence's offset if they count from "
            "the start of the document."
        )
    if last > n_words:
        report.add_line("mention that ends after its sentence, dropped", line)
        return False
    return True
