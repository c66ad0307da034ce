"""Pictures as SVG: files of their own for papers and pages, drawn by any viewer, whatever fonts it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from genner.evaluation.errors_table import KINDS
from genner.evaluation.terminal import columns_of
from genner.prediction.pictures.boxes import COLUMN, LABEL_COLUMN, MOST_COLUMNS, Bar, joined, rows_of
from genner.prediction.pictures.layout import description, label_name, label_text, lines_of, one_line, spoken
from genner.prediction.pictures.marks import RIGHT, SIGNS, Judged, Mark, Mistake
from genner.prediction.pictures.palette import COLOURS, DOTTED, TEXTURES, Looks
from genner.prediction.results import TextResult

__all__ = ["drawing"]

_TEXT_ROW, _LANE_ROW, _SMALL_ROW = 22.0, 19.0, 18.0
_SMALL = 7.2  # a column of notes and legend
_EDGE = 16.0
_GREY = 9
_STYLE = (
    "text{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}"
    "@media (prefers-color-scheme:dark){.paper{fill:#16181d}.ink{fill:#e8e8e8}}"
)


def drawing(
    results: Sequence[TextResult], judged: Sequence[Judged], looks: Looks, *, scores: bool, titled: bool
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


@dataclass
class _Sheet:
    """Elements drawn so far, the height where the next ones go, and the width they need."""

    looks: Looks
    elements: list[str] = field(default_factory=list)
    y: float = _EDGE
    right: float = 40 * COLUMN

    def document(self, title: str) -> str:
        width, height = f"{self.right + _EDGE:.0f}", f"{self.y + _EDGE - 10:.0f}"
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        paper = '<rect class="paper" width="100%" height="100%" rx="6" fill="#ffffff"/>'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<title>{title}</title>'
        return "\n".join([head, f"<style>{_STYLE}</style>", paper, *self.elements, "</svg>\n"])

    def text(self, text: str, marks: Sequence[Mark], *, scores: bool) -> None:
        """Words, and lanes below them."""
        for line in lines_of(text, marks, scores=scores):
            for row in rows_of(line, scores=scores, left=_EDGE):
                n_lanes = max((len(piece.strokes) for box in row for piece in box.group.pieces), default=0)
                for box in row:
                    for word, left, right in box.words():
                        self._word(word, left, right, box.direction)
                    for lane, left, right, mark in box.chips(scores):
                        top = self.y + _TEXT_ROW + 0.5 + lane * _LANE_ROW
                        self._chip(label_text(mark, scores), left, right, top, mark, spoken(mark, scores))
                for bar in joined([bar for box in row for bar in box.bars()]):
                    self._bar(bar, self.y + _TEXT_ROW - 5 + bar.lane * _LANE_ROW)
                self.y += _TEXT_ROW + n_lanes * _LANE_ROW

    def note(self, text: str, *, weight: int = 400) -> None:
        """A small line, or several."""
        line, n_most = "", int(MOST_COLUMNS * COLUMN / _SMALL)
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
        rows = [(_swatch(*look), label_name(label)) for label, look in self.looks.items() if label in labels]
        if any(mark.entity.is_discontinuous for mark in marks):
            rows.append((_dotted(0, 24, 0, COLOURS[_GREY]), DOTTED))
        rows += [("", f"{SIGNS[kind]} {kind}") for kind in (RIGHT, *KINDS) if kind in kinds]
        left = _EDGE
        for drawn, text in rows:
            indent = 32 if drawn else 0
            width = indent + columns_of(text) * _SMALL + 18
            if left > _EDGE and left + width > _EDGE + MOST_COLUMNS * COLUMN:
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
            f"{_stretched(columns_of(text) * LABEL_COLUMN)}>{escape(text)}</text></g>"
        )
        self.right = max(self.right, right)

    def _bar(self, bar: Bar, top: float) -> None:
        colour, texture = self.looks[bar.stroke.mark.entity.type]
        left, width = bar.left + 0.7, max(bar.right - bar.left - 1.4, 1.0)
        drawn = _solid(width, colour, texture) if bar.stroke.is_solid else _dotted(0, width, 2, COLOURS[colour])
        told = escape(description(bar.stroke.mark.entity))
        self.elements.append(f'<g transform="translate({left:.1f} {top:.1f})"><title>{told}</title>{drawn}</g>')
        self.right = max(self.right, bar.right)


def _told(mistake: Mistake) -> str:
    """A mistake in words."""
    sides = (("gold", mistake.gold), ("predicted", mistake.predicted))
    parts = [f"{side} {description(entity)}" for side, entity in sides if entity is not None]
    return f"{SIGNS[mistake.kind]} {mistake.kind}: {', '.join(parts)}"


def _stretched(width: float) -> str:
    return f' textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"' if width > 0 else ""


def _swatch(colour: int, texture: int) -> str:
    return _solid(24, colour, texture)


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
