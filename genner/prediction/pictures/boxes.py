"""Where everything in an SVG picture lies: groups in rows, bars and labels in lanes, in units of the picture.

Positions come from counting columns, as in a terminal; the picture then tells every word how wide it has to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from genner.evaluation.terminal import columns_of
from genner.prediction.pictures.layout import Group, Line, Stroke, by_lane, label_text
from genner.prediction.pictures.marks import Mark

__all__ = ["COLUMN", "MOST_COLUMNS", "Bar", "Box", "chip_width", "joined", "rows_of"]

MOST_COLUMNS = 96
COLUMN, LABEL_COLUMN = 8.4, 6.2
_CHIP_EDGES, _CHIP_GAP = 8.0, 4.0
_LEAST_BAR = 3.0


class Bar(NamedTuple):
    """A stretch of an entity or of a gap in it, in one row."""

    lane: int
    left: float
    right: float
    stroke: Stroke


class Box(NamedTuple):
    """A group in its place.

    Attributes:
        group: what it holds.
        direction: ``ltr`` or ``rtl``.
        left, width: of the whole.
        starts: where its pieces begin, and the last one ends, counted from the side where the group begins.
        texts: how wide the texts of its pieces are; less than their columns where labels need more.
    """

    group: Group
    direction: str
    left: float
    width: float
    starts: list[float]
    texts: list[float]

    def span(self, start: float, end: float) -> tuple[float, float]:
        """Left and right of what lies between two distances from the side where the group begins."""
        if self.direction == "rtl":
            return self.left + self.width - end, self.left + self.width - start
        return self.left + start, self.left + end

    def words(self) -> Iterator[tuple[str, float, float]]:
        """Texts that are not blank, with left and right."""
        for piece, start, width in zip(self.group.pieces, self.starts[:-1], self.texts, strict=True):
            if piece.text.strip():
                kept = _width(piece.text.rstrip())
                yield piece.text.strip(), *self.span(start + width - _width(piece.text.lstrip()), start + kept)

    def bars(self) -> Iterator[Bar]:
        """What lies below every piece; a bar that goes on behind the group reaches to its end."""
        last = len(self.texts) - 1
        for lane, strokes in enumerate(by_lane(self.group.pieces)):
            for idx, stroke in enumerate(strokes):
                if stroke is not None:
                    start, width = self.starts[idx], self.texts[idx]
                    end = self.width if idx == last else self.starts[idx + 1]
                    end = max(start + width, start + _LEAST_BAR) if stroke.ends else end
                    yield Bar(lane, *self.span(start, end), stroke)

    def chips(self, scores: bool) -> Iterator[tuple[int, float, float, Mark]]:
        """Labels: lane, left, right, and whose they are."""
        for piece, start in zip(self.group.pieces, self.starts, strict=False):
            for lane, stroke in enumerate(piece.strokes):
                if stroke is not None and stroke.is_labelled:
                    yield lane, *self.span(start, start + chip_width(stroke.mark, scores)), stroke.mark


def chip_width(mark: Mark, scores: bool) -> float:
    """How wide a label is with its edges."""
    return columns_of(label_text(mark, scores)) * LABEL_COLUMN + _CHIP_EDGES


def rows_of(line: Line, *, scores: bool, left: float) -> Iterator[list[Box]]:
    """The rows of a line with their boxes in the order of the text; a line from right to left begins at the right.

    Args:
        line: a line of the text.
        scores: whether scores stand beside labels.
        left: where rows begin.
    """
    row: list[Box] = []
    used = 0.0
    for direction, group in line.directed():
        box = _box(group, direction, scores)
        text = "".join(piece.text for piece in group.pieces)
        blanks = 0.0 if group.has_strokes else box.width - _width(text.rstrip())  # they need no room at an end
        if row and used + box.width - blanks > MOST_COLUMNS * COLUMN:
            yield _placed(row, line.direction, left)
            row, used = [], 0.0
        row.append(box)
        used += box.width
    yield _placed(row, line.direction, left)


def joined(bars: Sequence[Bar]) -> Iterator[Bar]:
    """Neighbouring stretches of one part of an entity as one."""
    waiting: Bar | None = None
    for bar in sorted(bars, key=lambda bar: (bar.lane, bar.left)):
        if waiting is not None:
            if _are_one(waiting, bar):
                waiting = waiting._replace(right=bar.right)
                continue
            yield waiting
        waiting = bar
    if waiting is not None:
        yield waiting


def _are_one(left: Bar, right: Bar) -> bool:
    touch = left.lane == right.lane and abs(left.right - right.left) < 0.01
    return touch and left.stroke.mark is right.stroke.mark and left.stroke.is_solid == right.stroke.is_solid


def _width(text: str) -> float:
    return columns_of(text.replace("\n", "").replace("\t", "    ")) * COLUMN


def _box(group: Group, direction: str, scores: bool) -> Box:
    """Columns as wide as their texts, or wider where two labels of a lane would overlap; room behind the last label."""
    texts = [_width(piece.text) for piece in group.pieces]
    widths = list(texts)
    behind = 0.0
    for strokes in by_lane(group.pieces):
        labelled = [idx for idx, stroke in enumerate(strokes) if stroke is not None and stroke.is_labelled]
        for idx, after in pairwise([*labelled, len(strokes)]):
            lacking = chip_width(strokes[idx].mark, scores) + _CHIP_GAP - sum(widths[idx:after])
            if after < len(strokes):
                widths[after - 1] += max(lacking, 0.0)
            else:
                behind = max(behind, lacking)
    return Box(group, direction, 0.0, sum(widths) + behind, [0.0, *accumulate(widths)], texts)


def _placed(row: Sequence[Box], direction: str, left: float) -> list[Box]:
    """The boxes of a row in the order of the text, each in its place: runs of one direction keep their order in it."""
    runs = [(own, list(boxes)) for own, boxes in groupby(enumerate(row), key=lambda pair: pair[1].direction)]
    if direction == "rtl":
        runs.reverse()
        left += max(MOST_COLUMNS * COLUMN - sum(box.width for box in row), 0.0)
    placed = {}
    for own, boxes in runs:
        for number, box in boxes if own == "ltr" else reversed(boxes):
            placed[number] = box._replace(left=left)
            left += box.width
    return [placed[number] for number in range(len(row))]
