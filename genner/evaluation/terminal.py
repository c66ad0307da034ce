"""Sentences with their entities for the terminal: bars below the words show nested and discontinuous entities.

    I woke up with pain in the left knee and shoulder .
                   ━━━━━━━━━━━━━━━━━━━━━ SYMPTOM
                   ━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌━━━━━━━━ SYMPTOM
                               ━━━━━━━━━ BODY
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO
from zlib import crc32

from wcwidth import wcswidth

from genner.data.schema import Entity

__all__ = ["ERROR_LEGEND", "Style", "columns_of", "render_sentence", "visible"]

#: The signs before a label where predictions are compared with gold.
ERROR_LEGEND = "+ predicted, not in gold    - in gold, not predicted"

_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)  # no red, which marks errors
_RED, _BOLD = 31, 1
_BARS = {True: ("━", "╌", "→", "…"), False: ("=", ".", ">", "~")}
_FALLBACK_WIDTH = 100
_LEAST_WIDTH = 20


@dataclass(frozen=True)
class Style:
    """How to draw: the maximal width in columns, whether in colour, and whether with Unicode or ASCII bars.

    ``labels`` is the label set; its order decides the colours, so that a label looks the same in every sentence.
    """

    width: int = _FALLBACK_WIDTH
    colour: bool = False
    unicode: bool = True
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, stream: TextIO, labels: Sequence[str] = ()) -> Style:
        """A style that suits a stream: colours only on a terminal, and never if ``NO_COLOR`` is set (https://no-color.org)."""
        is_terminal, is_unicode = stream.isatty(), True
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        width = shutil.get_terminal_size((_FALLBACK_WIDTH, 24)).columns if is_terminal else _FALLBACK_WIDTH
        try:
            "".join(_BARS[True]).encode(stream.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            is_unicode = False
        return cls(width, is_terminal and not plain, is_unicode, tuple(labels))

    def label_colour(self, label: str) -> int:
        """The escape code of a label's colour; unknown labels get one by their name, which may not be unique."""
        known = label in self.labels
        number = self.labels.index(label) if known else crc32(label.encode("utf-8", "replace"))
        return _COLOURS[number % len(_COLOURS)]


@dataclass(frozen=True)
class _Mark:
    """An entity to draw: ``sign`` is ``+`` or ``-`` for an error, empty otherwise; ``score`` follows its label."""

    entity: Entity
    sign: str = ""
    score: str = ""


@dataclass(frozen=True)
class _Bar:
    """One entity on one line of words: the columns of its pieces, and its label, with arrows where it continues."""

    mark: _Mark
    pieces: list[tuple[int, int]]
    text: str

    @property
    def start(self) -> int:
        return self.pieces[0][0]

    @property
    def end(self) -> int:
        return self.pieces[-1][1]


def render_sentence(
    words: Sequence[str],
    entities: Iterable[Entity],
    style: Style = Style(),
    *,
    gold: Collection[Entity] | None = None,
    scores: Mapping[Entity, float] | None = None,
) -> str:
    """A sentence and, below it, one bar per entity: solid under its words, dotted across gaps.

    Args:
        words: the sentence.
        entities: the predictions, or the gold entities if there is nothing to compare.
        style: see :class:`Style`; long sentences are wrapped at its width.
        gold: if given, predictions that are not in it are marked with ``+``, and gold entities that were not predicted
            are drawn with ``-``; see :data:`ERROR_LEGEND`.
        scores: of predictions, from 0 to 1; they stand behind the labels.

    Returns:
        Lines without a final line break. No character of a word or label can act as a terminal control.
    """
    marks = _marks(dict.fromkeys(entities), gold, scores or {})
    width = max(style.width, _LEAST_WIDTH)
    shown = [_cut(visible(word) or "''", width, style) for word in words]
    lines = []
    for first, last in _wrap([columns_of(word) for word in shown], width):
        columns = _columns([columns_of(word) for word in shown[first:last]])
        here = [mark for mark in marks if mark.entity.start < last and mark.entity.end > first]
        lines.append(" ".join(_paint_word(shown[idx], idx, here, style) for idx in range(first, last)))
        bars = [bar for mark in here if (bar := _bar(mark, first, last, columns, style)) is not None]
        lines += [_paint_row(row, style) for row in _rows(bars, width, style)]
    return "\n".join(lines)


def visible(text: str) -> str:
    """Text in which characters that are invisible or could control a terminal are written as escapes.

    >>> visible("red" + chr(27) + "[31m"), visible("Zoë"), visible(chr(0x202E))
    ('red\\\\x1b[31m', 'Zoë', '\\\\u202e')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else char.encode("unicode_escape").decode() for char in text)


def columns_of(text: str) -> int:
    """The number of terminal columns of a text without control characters.

    >>> columns_of("Zoë"), columns_of("日本")
    (3, 4)
    """
    return len(text) if text.isascii() else max(wcswidth(text), 0)


def _is_harmless(char: str) -> bool:
    # Cc controls, Cf format (direction overrides among them), Cs surrogates, Co private use, Cn unassigned,
    # Zl and Zp line separators; of the spaces (Zs), only the ordinary one is harmless.
    return char == " " or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")


def _marks(
    entities: Mapping[Entity, Any], gold: Collection[Entity] | None, scores: Mapping[Entity, float]
) -> list[_Mark]:
    """What to draw, by position, longer ones first."""
    marks = []
    for entity in entities:
        sign = "+" if gold is not None and entity not in gold else ""
        marks.append(_Mark(entity, sign, f" {scores[entity]:.2f}" if entity in scores else ""))
    marks += [_Mark(entity, "-") for entity in dict.fromkeys(gold or ()) if entity not in entities]
    return sorted(marks, key=lambda mark: _reading_order(mark.entity))


def _reading_order(entity: Entity) -> tuple[Any, ...]:
    return entity.start, -entity.end, entity.segments, entity.label


def _cut(word: str, width: int, style: Style) -> str:
    """A word that fits on a line."""
    if columns_of(word) <= width:
        return word
    word = word[:width]
    while columns_of(word) >= width:
        word = word[:-1]
    return word + _BARS[style.unicode][3]


def _wrap(widths: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Half-open ranges of words that fit on a line, with one space between words."""
    lines, first, used = [], 0, 0
    for idx, columns in enumerate(widths):
        if idx > first and used + 1 + columns > width:
            lines.append((first, idx))
            first, used = idx, columns
        else:
            used += columns + (idx > first)
    return [*lines, (first, len(widths))] if widths else []


def _columns(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Half-open column range of every word of a line."""
    ranges, start = [], 0
    for columns in widths:
        ranges.append((start, start + columns))
        start += columns + 1
    return ranges


def _bar(mark: _Mark, first: int, last: int, columns: Sequence[tuple[int, int]], style: Style) -> _Bar | None:
    """The part of an entity on the line with words ``first`` to ``last - 1``; ``None`` if it has no word there."""
    pieces = []
    for start, end in mark.entity.segments:
        start, end = max(start, first), min(end, last)
        if start < end:
            pieces.append((columns[start - first][0], columns[end - first - 1][1]))
    if not pieces:
        return None
    arrow = _BARS[style.unicode][2]
    before = arrow if mark.entity.start < first else ""
    after = arrow if mark.entity.end > last else ""
    return _Bar(mark, pieces, f"{before}{mark.sign}{visible(mark.entity.label)}{mark.score}{after}")


def _rows(bars: Sequence[_Bar], width: int, style: Style) -> list[list[tuple[int, str, _Bar]]]:
    """Put every bar on the first row that has room for it, with its first column and its text."""
    rows: list[list[tuple[int, str, _Bar]]] = []
    taken: list[list[tuple[int, int]]] = []
    for bar in bars:
        start, text = _place(bar, width, style)
        end = start + columns_of(text)
        free = (i for i, spans in enumerate(taken) if all(end < left or right < start for left, right in spans))
        idx = next(free, len(rows))
        if idx == len(rows):
            rows.append([])
            taken.append([])
        rows[idx].append((start, text, bar))
        taken[idx].append((start, end))
    return rows


def _place(bar: _Bar, width: int, style: Style) -> tuple[int, str]:
    """The bar's first column and text: the label after it, before it, or on top of it if there is no room."""
    solid, dotted, *_ = _BARS[style.unicode]
    cells = [dotted] * (bar.end - bar.start)
    for start, end in bar.pieces:
        cells[start - bar.start : end - bar.start] = solid * (end - start)
    drawn, label = "".join(cells), columns_of(bar.text)
    if bar.end + 1 + label <= width:
        return bar.start, f"{drawn} {bar.text}"
    if bar.start - 1 - label >= 0:
        return bar.start - 1 - label, f"{bar.text} {drawn}"
    # There is no room on either side, so the bar is wide: the label is written over its first piece.
    text = bar.text if label + 2 <= len(cells) else _cut(bar.text, max(len(cells) - 2, 1), style)
    return bar.start, f"{drawn[:1]}{text}{drawn[1 + columns_of(text) :]}"


def _paint_word(word: str, idx: int, marks: Sequence[_Mark], style: Style) -> str:
    """The word in the colour of the smallest entity that covers it."""
    covering = [mark for mark in marks if any(start <= idx < end for start, end in mark.entity.segments)]
    if not covering or not style.colour:
        return word
    smallest = min(covering, key=lambda mark: len(mark.entity.word_indices()))
    return _paint(word, style.label_colour(smallest.entity.label), _BOLD)


def _paint_row(row: Sequence[tuple[int, str, _Bar]], style: Style) -> str:
    """One line of bars."""
    line, column = "", 0
    for start, text, bar in sorted(row, key=lambda item: item[0]):
        painted = text
        if style.colour:
            codes = (_RED, _BOLD) if bar.mark.sign else (style.label_colour(bar.mark.entity.label),)
            painted = _paint(text, *codes)
        line += " " * (start - column) + painted
        column = start + columns_of(text)
    return line


def _paint(text: str, *codes: int) -> str:
    return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m"
