"""Long passages: overlapping windows of words, and one answer from the answers for all of them.

An entity that is no longer than the overlap, from its first word to its last, lies whole in some window. Of several
windows that hold it, the one that shows most of its surroundings decides. So a model that finds just the gold entities
that lie in a window finds just the gold entities of the passage (``tests/prediction/test_windows.py``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from genner.data.schema import Entity, Segment

__all__ = ["cut_windows", "merge_windows"]

Scored = Mapping[Entity, float]


def cut_windows(lens: Sequence[int], limit: int, overlap: int | None = None) -> list[Segment]:
    """Windows that cover all words, each as large as it can be.

    Args:
        lens: pieces of every word, each at most ``limit``.
        limit: most pieces of a window.
        overlap: words that neighbours share; None: half of a window. They share fewer where the next word would not fit
            otherwise.

    Returns:
        half-open ranges of words, ascending.

    >>> cut_windows([1, 1, 1, 1, 1, 1], limit=4, overlap=2)
    [Segment(start=0, end=4), Segment(start=2, end=6)]
    """
    ends = list(accumulate(lens, initial=0))
    windows, start = [], 0
    while True:
        end = bisect_right(ends, ends[start] + limit) - 1
        windows.append(Segment(start, end))
        if end >= len(lens):
            return windows
        shared = (end - start) // 2 if overlap is None else overlap
        start = max(end - shared, bisect_left(ends, ends[end + 1] - limit))  # with room for one word more


def merge_windows(windows: Sequence[Segment], found: Sequence[Scored]) -> dict[Entity, float]:
    """The entities of a passage.

    Args:
        windows: what :func:`cut_windows` gives.
        found: for every window its entities with their scores; words count from the beginning of the passage.

    Returns:
        entities with the score that the deciding window gives.
    """
    if len(windows) == 1:
        return dict(found[0])
    starts = [window.start for window in windows]
    kept: dict[Entity, float] = {}
    for idx, entities in enumerate(found):
        for entity, score in entities.items():
            if _decides(idx, entity, windows, starts) and not _is_cut_off(idx, entity, windows, found):
                kept[entity] = score
    return kept


def _decides(idx: int, entity: Entity, windows: Sequence[Segment], starts: Sequence[int]) -> bool:
    """Whether no other window shows more of what is around the entity."""
    last = bisect_right(starts, entity.start)
    holders = []
    for other in range(last - 1, -1, -1):
        if windows[other].end < entity.end:
            break
        holders.append(other)
    return idx == max(holders, key=lambda other: (_margin(windows[other], entity, windows[-1].end), other))


def _margin(window: Segment, entity: Entity, n_words: int) -> int:
    """Words between the entity and the nearer seam; the ends of the passage are no seams."""
    before = entity.start - window.start if window.start else n_words
    behind = window.end - entity.end if window.end < n_words else n_words
    return min(before, behind)


def _is_cut_off(idx: int, entity: Entity, windows: Sequence[Segment], found: Sequence[Scored]) -> bool:
    """Whether it is what this window shows of an entity that another one shows whole, and has without this one."""
    window = windows[idx]
    for other in _neighbours(idx, windows):
        if entity in found[other]:
            continue
        for whole in found[other]:
            beyond = whole.start < window.start or whole.end > window.end
            if beyond and whole.label == entity.label and _within(whole, window) == entity.segments:
                return True
    return False


def _neighbours(idx: int, windows: Sequence[Segment]) -> Iterator[int]:
    """Windows that share words with this one."""
    start, end = windows[idx]
    for step in (-1, 1):
        other = idx + step
        while 0 <= other < len(windows) and windows[other].start < end and windows[other].end > start:
            yield other
            other += step


def _within(entity: Entity, window: Segment) -> tuple[Segment, ...]:
    """The parts of an entity that a window shows."""
    parts = (Segment(max(start, window.start), min(end, window.end)) for start, end in entity.segments)
    return tuple(part for part in parts if part.start < part.end)
