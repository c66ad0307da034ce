"""A text cut into pieces that carry the same entities, and groups of pieces within which no line breaks.

Nothing is measured: a browser lays the groups out like words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from genner.evaluation.terminal import columns_of
from genner.prediction.entities import TextEntity
from genner.prediction.pictures.marks import SIGNS, Mark, lanes

__all__ = ["by_lane", "description", "label_name", "label_text", "lines_of", "one_line", "spoken"]

_LABEL_SIZE, _LABEL_EDGES = 0.9, 2.5  # of a letter of a label, compared with one of the text, and what surrounds it
_WIDEST = 30  # columns of a group that takes in words for the sake of its labels
_LONGEST = 40  # characters of a piece
_TOO_WIDE = 40  # columns of a group that may be broken between any two pieces
_UNIT = re.compile(r"\S+|\s+")
_OPENING, _CLOSING = ("Ps", "Pi"), ("Pe", "Pf", "Po", "Mn", "Mc", "Me", "Sk", "Lm", "Cf")
_JOINER = "\u200d"
_FIXED_BLANKS = "\xa0\u202f\u2007"

# Characters that have no shape, or would control the reader's program or the direction of what follows. Each becomes
# one character, so that offsets stay as they are.
_SHOWN = {
    **{code: 0x2400 + code for code in range(0x20)},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), *range(0xFDD0, 0xFDF0), 0x202D, 0x202E], 0xFFFD),
    **dict.fromkeys([plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)], 0xFFFD),
    **{ord(char): char for char in "\t\n"},
    **dict.fromkeys(map(ord, "\x85\u2028\u2029"), "\n"),
}


class Stroke(NamedTuple):
    """What lies on one lane below a piece.

    Attributes:
        mark: whose part it is.
        is_solid: the piece belongs to the entity; False where the entity is interrupted.
        is_labelled: the label stands here; once for every entity.
        starts, ends: a part of the entity begins or ends with this piece.
        repeats: the label is repeated here, as a line may begin with this piece.
    """

    mark: Mark
    is_solid: bool
    is_labelled: bool
    starts: bool
    ends: bool
    repeats: bool = False


class Piece(NamedTuple):
    """Some characters and the strokes below them, lane by lane; None where a lane is empty."""

    text: str
    strokes: tuple[Stroke | None, ...] = ()


class Group(NamedTuple):
    """Pieces that stay on one line, and their direction: ``ltr``, ``rtl``, or empty if they have none."""

    pieces: tuple[Piece, ...]
    direction: str

    @property
    def has_strokes(self) -> bool:
        return any(piece.strokes for piece in self.pieces)


class Line(NamedTuple):
    """A line of the text with its line end, and its direction: that of its first letter."""

    groups: tuple[Group, ...]
    direction: str

    def directed(self) -> Iterator[tuple[str, Group]]:
        """The groups with their directions; one without goes with the line, or with equal ones on both its sides."""
        after, following = self.direction, []
        for group in reversed(self.groups):
            after = group.direction or after
            following.append(after)
        before = self.direction
        for group, after in zip(self.groups, reversed(following), strict=True):
            before = group.direction or (before if before == after else self.direction)
            yield before, group


class _Span(NamedTuple):
    """A part of an entity, or the gap between two parts."""

    start: int
    end: int
    lane: int
    mark: Mark
    is_solid: bool


def shown(text: str) -> str:
    """The text with a visible sign for every character that has no shape; as long as the text.

    >>> shown("a\\x00b\\ud800\\r\\n")
    'a␀b� \\n'
    """
    return text.replace("\r\n", " \n").replace("\r", "\n").translate(_SHOWN)


def lines_of(text: str, marks: Sequence[Mark], *, scores: bool) -> list[Line]:
    """Cut a text into lines, groups and pieces.

    Args:
        text: all of it.
        marks: its entities in reading order.
        scores: whether scores stand beside the labels, which then need more room.
    """
    text = shown(text)
    lines: list[Line] = []
    pieces: list[Piece] = []
    for piece in _pieces(text, _spans(marks, scores)):
        pieces.append(piece)
        if piece.text == "\n":
            lines.append(_line(pieces, scores))
            pieces = []
    return [*lines, _line(pieces, scores)] if pieces or not lines else lines


def label_text(mark: Mark, scores: bool) -> str:
    """What stands below a bar: the sign of a judgement, the label, the score."""
    parts = [SIGNS.get(mark.kind, ""), label_name(mark.entity.type), f"{mark.entity.score:.2f}" if scores else ""]
    return " ".join(filter(None, parts))


def label_name(label: str) -> str:
    """A label as it is shown; two quotation marks if it is only white space."""
    return one_line(label) or "''"


def one_line(text: str) -> str:
    """The text with single blanks as its white space, and a visible sign for what has no shape."""
    return " ".join(shown(text).split())


@lru_cache(maxsize=64)  # every piece of a long entity asks for it
def description(entity: TextEntity) -> str:
    """The entity in words: its label and its parts."""
    parts = " … ".join(one_line(part.text) for part in entity.segments)
    return f"{label_name(entity.type)}: {parts}"


def spoken(mark: Mark, scores: bool) -> str:
    """All about an entity, for screen readers."""
    score = f", score {mark.entity.score:.2f}" if scores else ""
    return description(mark.entity) + score + (f", {mark.kind}" if mark.kind else "")


def by_lane(pieces: Sequence[Piece]) -> list[list[Stroke | None]]:
    """The strokes of every lane, piece by piece."""
    n_lanes = max((len(piece.strokes) for piece in pieces), default=0)
    return [[piece.strokes[lane] if lane < len(piece.strokes) else None for piece in pieces] for lane in range(n_lanes)]


def _spans(marks: Sequence[Mark], scores: bool) -> list[_Span]:
    spans = []
    chosen = lanes([mark.entity for mark in marks], [_label_columns(mark, scores) for mark in marks])
    for mark, lane in zip(marks, chosen, strict=True):
        end = mark.entity.start
        for part in mark.entity.segments:
            if end < part.start:
                spans.append(_Span(end, part.start, lane, mark, False))
            spans.append(_Span(part.start, part.end, lane, mark, True))
            end = part.end
    return spans


def _pieces(text: str, spans: Sequence[_Span]) -> Iterator[Piece]:
    """The pieces in order, at most a word each; a line end is a piece of its own, without strokes."""
    opening: dict[int, list[_Span]] = {}
    for span in spans:
        opening.setdefault(span.start, []).append(span)
    breaks = [place for match in re.finditer("\n", text) for place in match.span()]
    places = sorted({0, len(text), *breaks, *opening, *(span.end for span in spans)})
    active: dict[int, _Span] = {}
    unlabelled: set[_Span] = set()  # by the first part of their entity
    for start, end in pairwise(places):
        active = {lane: span for lane, span in active.items() if span.end > start}
        for span in opening.get(start, ()):
            active[span.lane] = span
            if span.start == span.mark.entity.start:
                unlabelled.add(span)
        content = text[start:end]
        if content == "\n":
            closing = {lane: span for lane, span in active.items() if span in unlabelled and span.end == end}
            if closing:  # an entity that begins with nothing but line ends
                yield Piece("", _strokes(closing, unlabelled, start, end))
                unlabelled -= set(closing.values())
            yield Piece(content)
        elif not active:
            yield from map(Piece, _units(content))
        else:
            yield from _covered(content, _strokes(active, unlabelled, start, end))
            unlabelled -= set(active.values())


def _strokes(active: dict[int, _Span], unlabelled: set[_Span], start: int, end: int) -> tuple[Stroke | None, ...]:
    strokes: list[Stroke | None] = [None] * (max(active) + 1)
    for lane, span in active.items():
        is_first, is_last = span.start == start, span.end == end
        strokes[lane] = Stroke(span.mark, span.is_solid, span in unlabelled, is_first, is_last)
    return tuple(strokes)


def _covered(content: str, strokes: tuple[Stroke | None, ...]) -> Iterator[Piece]:
    """The words of a stretch; only the first has what marks the beginning, only the last what marks the end."""
    units = list(_units(content))
    for idx, unit in enumerate(units):
        is_first, is_last = idx == 0, idx == len(units) - 1
        yield Piece(unit, tuple(stroke and _part_of(stroke, is_first, is_last) for stroke in strokes))


def _part_of(stroke: Stroke, is_first: bool, is_last: bool) -> Stroke:
    is_labelled, starts = stroke.is_labelled and is_first, stroke.starts and is_first
    return stroke._replace(is_labelled=is_labelled, starts=starts, ends=stroke.ends and is_last)


def _units(text: str) -> Iterator[str]:
    """Words, the white space after them, scripts without white space sign by sign, and very long words in parts."""
    for match in _UNIT.finditer(text):
        unit = match[0]
        if unit.isascii():
            yield from (unit[first : first + _LONGEST] for first in range(0, len(unit), _LONGEST))
            continue
        first = 0
        for idx in range(1, len(unit)):
            is_long = idx - first >= _LONGEST and unicodedata.category(unit[idx]) not in _CLOSING
            if is_long or _may_part(unit[idx - 1], unit[idx]):
                yield unit[first:idx]
                first = idx
        yield unit[first:]


def _may_part(before: str, after: str) -> bool:
    """Whether a line may end between two characters: after white space, and next to square signs."""
    if before.isspace() or after.isspace():
        return before.isspace() and not after.isspace() and before not in _FIXED_BLANKS
    if "W" not in (unicodedata.east_asian_width(before), unicodedata.east_asian_width(after)) or before == _JOINER:
        return False
    return unicodedata.category(after) not in _CLOSING and unicodedata.category(before) not in _OPENING


def _line(pieces: Sequence[Piece], scores: bool) -> Line:
    """Groups of pieces: those that must stay together, and those whose labels would otherwise move them apart.

    An entity stays together as well if it is not too wide. Otherwise each of its groups has its label, since a line may
    begin with any of them.
    """
    directions = [_direction(piece.text) for piece in pieces]
    of_line = next(filter(None, directions), "ltr")
    coming = _coming(directions)
    groups: list[list[Piece]] = []
    of_groups: list[str] = []
    room = _Room(scores)
    before = " "
    for piece, direction, after in zip(pieces, directions, coming, strict=True):
        is_bound = bool(piece.text) and not _may_part(before, piece.text[0]) and room.taken < _TOO_WIDE
        is_end = piece.text == "\n"
        fits = bool(groups) and (not after or after == (of_groups[-1] or after))
        # White space between two directions belongs to neither.
        if (
            not groups
            or is_end
            or not (fits if piece.text.isspace() else is_bound or (fits and room.takes_in(piece)))
        ):
            groups.append([])
            of_groups.append("")
            room = _Room(scores)
            piece = Piece(piece.text, tuple(stroke and _repeated(stroke) for stroke in piece.strokes))
        groups[-1].append(piece)
        of_groups[-1] = of_groups[-1] or direction
        room.take(piece)
        before = piece.text[-1:] or before
    return Line(tuple(Group(tuple(group), of) for group, of in zip(groups, of_groups, strict=True)), of_line)


def _coming(directions: Sequence[str]) -> list[str]:
    """For every piece its direction or, if it has none, that of the next piece that has one."""
    coming, after = [], ""
    for direction in reversed(directions):
        after = direction or after
        coming.append(after)
    return coming[::-1]


def _repeated(stroke: Stroke) -> Stroke:
    return stroke._replace(repeats=not stroke.is_labelled)


class _Room:
    """The room that the labels of a group still need to its right, in columns of text; an estimate."""

    def __init__(self, scores: bool) -> None:
        self.scores, self.taken = scores, 0
        self.wanted: dict[int, float] = {}

    def takes_in(self, piece: Piece) -> bool:
        """Whether the group should have the piece as well: an entity goes on in it, or labels need more room.

        The latter only if the piece gives it, as it has no label that stands in the way.
        """
        is_open = any(stroke is not None and not stroke.is_labelled for stroke in piece.strokes)
        if is_open and self.taken + columns_of(piece.text.rstrip()) <= _WIDEST:
            return True
        wanting = {lane for lane, columns in self.wanted.items() if columns > 0}
        labelled = {lane for lane, stroke in enumerate(piece.strokes) if stroke is not None and stroke.is_labelled}
        return bool(wanting) and not wanting & labelled and self.taken < _WIDEST

    def take(self, piece: Piece) -> None:
        """Add a piece."""
        for lane, stroke in enumerate(piece.strokes):
            if stroke is not None and (stroke.is_labelled or stroke.repeats):
                self.wanted[lane] = _label_columns(stroke.mark, self.scores and stroke.is_labelled)
        columns = columns_of(piece.text.replace("\t", "    "))
        self.taken += columns
        self.wanted = {lane: wanted - columns for lane, wanted in self.wanted.items()}


def _label_columns(mark: Mark, scores: bool) -> float:
    return columns_of(label_text(mark, scores)) * _LABEL_SIZE + _LABEL_EDGES


def _direction(text: str) -> str:
    """The direction of the first letter that has one."""
    for char in text:
        kind = unicodedata.bidirectional(char)
        if kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return ""
