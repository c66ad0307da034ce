"""Pictures as SVG: files of their own for papers and pages, drawn by any viewer, whatever fonts it has.

Where a browser would lay the groups out, places come from counting columns, as in a terminal; the picture then tells
every word how wide it has to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from genner.evaluation.errors_table import KINDS
from genner.evaluation.terminal import columns_of
from genner.prediction.entities import AnnotatedText
from genner.prediction.pictures.layout import (
    Group,
    Line,
    Piece,
    Stroke,
    by_lane,
    description,
    label_name,
    label_text,
    lines_of,
    one_line,
    spoken,
)
from genner.prediction.pictures.marks import RIGHT, SIGNS, Judged, Mark, Mistake
from genner.prediction.pictures.palette import COLOURS, DOTTED, TEXTURES, Looks

__all__ = ["drawing"]

_MOST_COLUMNS = 96
_COLUMN, _LABEL_COLUMN = 8.4, 6.2
_CHIP_EDGES, _CHIP_GAP = 8.0, 4.0
_LEAST_BAR = 3.0
_TEXT_ROW, _LANE_ROW, _SMALL_ROW = 22.0, 19.0, 18.0
_SMALL = 7.2  # a column of notes and legend
_EDGE = 16.0
_GREY = 9
_STYLE = (
    "text{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}"
    "@media (prefers-color-scheme:dark){.paper{fill:#16181d}.ink{fill:#e8e8e8}}"
)


def drawing(
    results: Sequence[AnnotatedText], judged: Sequence[Judged], looks: Looks, *, scores: bool, titled: bool
) -> str:
    """Draw texts one below the other, and a legend.

    Args:
        results: the texts.
        judged: their entities.
        looks: of every label.
        scores: whether scores stand beside labels.
        titled: whether the texts' ids stand above them.
    """
    sheet = _Sheet(looks)
    for result, one in zip(results, judged, strict=True):
        if titled and result.id:
            sheet.note(result.id, weight=700)
        if result.error is not None:
            sheet.note(f"Not read: {result.error}")
        if one.gold is not None:
            sheet.note("GOLD", weight=700)
            sheet.text(result.text, one.gold, scores=False)
            sheet.note("PREDICTED", weight=700)
        if result.error is None or result.text:
            sheet.text(result.text, one.predicted, scores=scores)
        for line in (*map(_told, one.mistakes), *result.notes):
            sheet.note(line)
        sheet.y += 10
    sheet.legend([mark for one in judged for mark in one.marks])
    told = escape(", ".join(filter(None, (one_line(result.id) for result in results)))) or "entities"
    return sheet.document(told)


class _Box(NamedTuple):
    """A piece in its place; ``width`` is more than its text needs where labels need more."""

    piece: Piece
    direction: str
    width: float
    left: float = 0.0

    def span(self, start: float, end: float) -> tuple[float, float]:
        """Left and right of what lies between two distances from the side where the piece begins."""
        if self.direction == "rtl":
            return self.left + self.width - end, self.left + self.width - start
        return self.left + start, self.left + end

    def word(self) -> tuple[float, float]:
        """Left and right of the text without white space around it."""
        text = self.piece.text
        return self.span(_width(text) - _width(text.lstrip()), _width(text.rstrip()))

    def chips(self, scores: bool) -> Iterator[tuple[int, float, float, Mark]]:
        """Labels that begin here: lane, left, right, and whose they are."""
        for lane, stroke in enumerate(self.piece.strokes):
            if stroke is not None and stroke.is_labelled:
                yield lane, *self.span(0, _chip_width(stroke.mark, scores)), stroke.mark


class _Bar(NamedTuple):
    """A stretch of an entity or of a gap in it, in one row."""

    lane: int
    left: float
    right: float
    stroke: Stroke


@dataclass
class _Sheet:
    """Elements drawn so far, the height where the next ones go, and the width they need."""

    looks: Looks
    elements: list[str] = field(default_factory=list)
    y: float = _EDGE
    right: float = 40 * _COLUMN

    def document(self, title: str) -> str:
        width, height = f"{self.right + _EDGE:.0f}", f"{self.y + _EDGE - 10:.0f}"
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        paper = '<rect class="paper" width="100%" height="100%" rx="6" fill="#ffffff"/>'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<title>{title}</title>'
        return "\n".join([head, f"<style>{_STYLE}</style>", paper, *self.elements, "</svg>\n"])

    def text(self, text: str, marks: Sequence[Mark], *, scores: bool) -> None:
        """Words, and lanes below them."""
        for line in lines_of(text, marks, scores=scores):
            for row in _rows(line, scores=scores, left=_EDGE):
                for box in row:
                    if word := box.piece.text.strip():
                        self._word(word, *box.word(), box.direction)
                    for lane, left, right, mark in box.chips(scores):
                        top = self.y + _TEXT_ROW + 0.5 + lane * _LANE_ROW
                        self._chip(label_text(mark, scores), left, right, top, mark, spoken(mark, scores))
                for bar in _bars(row):
                    self._bar(bar, self.y + _TEXT_ROW - 5 + bar.lane * _LANE_ROW)
                n_lanes = max((len(box.piece.strokes) for box in row), default=0)
                self.y += _TEXT_ROW + n_lanes * _LANE_ROW

    def note(self, text: str, *, weight: int = 400) -> None:
        """A small line, or several."""
        line, n_most = "", int(_MOST_COLUMNS * _COLUMN / _SMALL)
        for word in one_line(text).split():
            if line and columns_of(f"{line} {word}") > n_most:
                self._small(line, _EDGE, weight)
                line = ""
                self.y += _SMALL_ROW
            line = f"{line} {word}".strip()
        self._small(line, _EDGE, weight)
        self.y += _SMALL_ROW

    def legend(self, marks: Iterable[Mark]) -> None:
        """Labels that are drawn, the dotted line and the signs of judgements as far as they occur."""
        marks = list(marks)
        labels, kinds = {mark.entity.type for mark in marks}, {mark.kind for mark in marks}
        rows = [(_solid(24, *look), label_name(label)) for label, look in self.looks.items() if label in labels]
        if any(mark.entity.is_discontinuous for mark in marks):
            rows.append((_dotted(0, 24, 0, COLOURS[_GREY]), DOTTED))
        rows += [("", f"{SIGNS[kind]} {kind}") for kind in (RIGHT, *KINDS) if kind in kinds]
        left = _EDGE
        for drawn, text in rows:
            indent = 32 if drawn else 0
            width = indent + columns_of(text) * _SMALL + 18
            if left > _EDGE and left + width > _EDGE + _MOST_COLUMNS * _COLUMN:
                left = _EDGE
                self.y += _SMALL_ROW
            if drawn:
                self.elements.append(f'<g transform="translate({left:.1f} {self.y + 8:.1f})">{drawn}</g>')
            self._small(text, left + indent, 400)
            left += width
        self.y += _SMALL_ROW if rows else 0

    def _word(self, word: str, left: float, right: float, direction: str) -> None:
        start = left if direction == "ltr" else right
        about = ' direction="rtl"' * (direction == "rtl") + _stretched(right - left)
        self.elements.append(
            f'<text class="ink" x="{start:.1f}" y="{self.y + 13:.1f}" font-size="14" fill="#1a1a1a"{about}>'
            f"{escape(word)}</text>"
        )
        self.right = max(self.right, right)

    def _small(self, text: str, left: float, weight: int) -> None:
        width = columns_of(text) * _SMALL
        self.elements.append(
            f'<text class="ink" x="{left:.1f}" y="{self.y + 13:.1f}" font-size="12" font-weight="{weight}" '
            f'fill="#3a3a3a"{_stretched(width)}>{escape(text)}</text>'
        )
        self.right = max(self.right, left + width)

    def _chip(self, text: str, left: float, right: float, top: float, mark: Mark, told: str) -> None:
        """A label: white upon its colour, or the other way round for mistakes."""
        colour = COLOURS[self.looks[mark.entity.type][0]]
        is_wrong = mark.kind not in ("", RIGHT)
        paper, ink = ("#ffffff", colour) if is_wrong else (colour, "#ffffff")
        dashes = ' stroke-dasharray="3 2"' * is_wrong
        self.elements.append(
            f'<g><title>{escape(told)}</title><rect x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" '
            f'height="13" rx="2.5" fill="{paper}" stroke="{colour}"{dashes}/><text x="{left + 4.5:.1f}" '
            f'y="{top + 10:.1f}" font-size="10" font-weight="700" fill="{ink}"'
            f"{_stretched(columns_of(text) * _LABEL_COLUMN)}>{escape(text)}</text></g>"
        )
        self.right = max(self.right, right)

    def _bar(self, bar: _Bar, top: float) -> None:
        colour, texture = self.looks[bar.stroke.mark.entity.type]
        left, width = bar.left + 0.7, max(bar.right - bar.left - 1.4, 1.0)
        drawn = _solid(width, colour, texture) if bar.stroke.is_solid else _dotted(0, width, 2, COLOURS[colour])
        told = escape(description(bar.stroke.mark.entity))
        self.elements.append(f'<g transform="translate({left:.1f} {top:.1f})"><title>{told}</title>{drawn}</g>')
        self.right = max(self.right, bar.right)


def _rows(line: Line, *, scores: bool, left: float) -> Iterator[list[_Box]]:
    """The rows of a line, boxes in the order of the text; a line from right to left begins at the right.

    Args:
        line: a line of the text.
        scores: whether scores stand beside labels.
        left: where rows begin.
    """
    row: list[_Box] = []
    used = 0.0
    for direction, group in line.directed():
        boxes = [
            _Box(piece, direction, width) for piece, width in zip(group.pieces, _widths(group, scores), strict=True)
        ]
        width = sum(box.width for box in boxes)
        text = "".join(piece.text for piece in group.pieces)
        blanks = 0.0 if group.has_strokes else width - _width(text.rstrip())  # they need no room at an end
        if row and used + width - blanks > _MOST_COLUMNS * _COLUMN:
            yield _placed(row, line.direction, left)
            row, used = [], 0.0
        row += boxes
        used += width
    yield _placed(row, line.direction, left)


def _bars(row: Sequence[_Box]) -> list[_Bar]:
    """What lies below a row; neighbouring stretches of one part of an entity are one."""
    bars: list[_Bar] = []
    for bar in sorted(_stretches(row), key=lambda bar: (bar.lane, bar.left)):
        last = bars[-1] if bars else None
        touches = last is not None and last.lane == bar.lane and abs(last.right - bar.left) < 0.01
        if touches and last.stroke.mark is bar.stroke.mark and last.stroke.is_solid == bar.stroke.is_solid:
            bars[-1] = last._replace(right=bar.right)
        else:
            bars.append(bar)
    return bars


def _stretches(row: Sequence[_Box]) -> Iterator[_Bar]:
    """A bar that goes on reaches to the end of its box."""
    for box in row:
        for lane, stroke in enumerate(box.piece.strokes):
            if stroke is not None:
                end = max(_width(box.piece.text), _LEAST_BAR) if stroke.ends else box.width
                yield _Bar(lane, *box.span(0, end), stroke)


def _widths(group: Group, scores: bool) -> list[float]:
    """Of every piece its text's, or more where labels of a lane would overlap; room behind the last label."""
    widths = [_width(piece.text) for piece in group.pieces]
    behind = 0.0
    for strokes in by_lane(group.pieces):
        labelled = [idx for idx, stroke in enumerate(strokes) if stroke is not None and stroke.is_labelled]
        for idx, after in pairwise([*labelled, len(strokes)]):
            lacking = _chip_width(strokes[idx].mark, scores) + _CHIP_GAP - sum(widths[idx:after])
            if after < len(strokes):
                widths[after - 1] += max(lacking, 0.0)
            else:
                behind = max(behind, lacking)
    return [*widths[:-1], widths[-1] + behind]


def _placed(row: Sequence[_Box], direction: str, left: float) -> list[_Box]:
    """The boxes of a row in the order of the text, each in its place: runs of one direction keep their order in it."""
    runs = [list(boxes) for _, boxes in groupby(range(len(row)), key=lambda idx: row[idx].direction)]
    if direction == "rtl":
        runs.reverse()
        left += max(_MOST_COLUMNS * _COLUMN - sum(box.width for box in row), 0.0)
    seen = [idx for run in runs for idx in (run if row[run[0]].direction == "ltr" else reversed(run))]
    lefts = dict(zip(seen, accumulate((row[idx].width for idx in seen), initial=left), strict=False))
    return [box._replace(left=lefts[idx]) for idx, box in enumerate(row)]


def _chip_width(mark: Mark, scores: bool) -> float:
    return columns_of(label_text(mark, scores)) * _LABEL_COLUMN + _CHIP_EDGES


def _width(text: str) -> float:
    return columns_of(text.replace("\n", "").replace("\t", "    ")) * _COLUMN


def _told(mistake: Mistake) -> str:
    """A mistake in words."""
    sides = (("gold", mistake.gold), ("predicted", mistake.predicted))
    parts = [f"{side} {description(entity)}" for side, entity in sides if entity is not None]
    return f"{SIGNS[mistake.kind]} {mistake.kind}: {', '.join(parts)}"


def _stretched(width: float) -> str:
    return f' textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"' if width > 0 else ""


def _solid(width: float, colour: int, texture: int) -> str:
    fill, name = COLOURS[colour], TEXTURES[texture]
    if name in ("double", "rail"):
        upper, lower = ((0.0, 1.6), (3.2, 1.6)) if name == "double" else ((0.0, 2.6), (3.8, 1.0))
        return "".join(f'<rect y="{y}" width="{width:.1f}" height="{h}" fill="{fill}"/>' for y, h in (upper, lower))
    bar = f'<rect width="{width:.1f}" height="4" rx="1.5" fill="{fill}"/>'
    if name == "striped":
        bar += f'<path d="M4 2H{max(width, 5):.1f}" stroke="#888888" stroke-width="4" stroke-dasharray="3 4"/>'
    return bar


def _dotted(left: float, right: float, y: float, colour: str) -> str:
    return f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="{colour}" stroke-width="2.4" stroke-dasharray="2.4 3"/>'
