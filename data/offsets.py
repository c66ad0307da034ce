"""How the offsets of annotations count a text, and their conversion to characters.

brat and Python count code points ("characters"); tools in Java and JavaScript count UTF-16 units, tools in Go and Rust
often UTF-8 bytes; some count CRLF as one sign, or a LF that was CRLF once as two. A :class:`Reading` is one such way.
Annotations that state the text which they cover show which one was used::

    reading = find_reading(documents)                        # of a corpus: pairs of a text and its annotations
    mentions = to_characters(text, mentions, tally, reading=reading)

Texts are never changed: the offsets are converted to those of the text as it is. Where several ways fit, characters
win, with line ends as they are. Annotations without a covered text say nothing and follow the others.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import product
from typing import NamedTuple

from genner.data.schema import merge_segments
from genner.data.tally import Tally

__all__ = ["DROPPED", "EMPTY", "Mention", "Reading", "find_reading", "fit", "to_characters"]

Span = tuple[int, int]

CHARACTERS, UTF16, UTF8 = "characters", "UTF-16 units", "UTF-8 bytes"
AS_THEY_ARE, CRLF_ONE, LF_TWO = "", "CRLF counted as one", "LF counted as two"

MISPLACED = "annotation whose text is not at its offsets and at no single place near them, dropped"

_TAKEN = "annotation whose text is not that at its offsets, offsets taken"
BEYOND = "annotation that ends after its text, dropped"
EMPTY = "annotation with a fragment that ends before it starts, dropped"
UNPROVEN = "annotation behind emoji or the like, without its text: offsets taken as characters, not as UTF-16 units"
#: The reasons for which annotations are dropped.
DROPPED = (MISPLACED, BEYOND, EMPTY)

_NEAR = 100  # characters before and after the offsets, in which a covered text is looked for
_SIMILAR = 0.75
_FIRST_UNPARTED = "\u2e80"
_EXACT, _BUT_BLANKS, _BUT_FORM = 3, 2, 1  # how well a covered text agrees
_CRLF, _LF = re.compile(r"\r\n"), re.compile(r"(?<!\r)\n")
_WIDE = {UTF16: re.compile(r"[\U00010000-\U0010ffff]"), UTF8: re.compile(r"[^\0-\x7f]")}
_BREAKS = {CRLF_ONE: r"\r(?=\n)", LF_TWO: r"(?<!\r)\n"}


class Mention(NamedTuple):
    """An annotation on a text.

    Args:
        label: its type.
        fragments: ``(start, end)`` of every part, ends exclusive.
        place: for the tally.
        text: the covered text according to the annotation, the parts in order; may be empty.
    """

    label: str
    fragments: tuple[Span, ...]
    place: str
    text: str = ""


class Reading(NamedTuple):
    """What offsets count: a unit, and how line ends are counted.

    >>> str(Reading(UTF16, CRLF_ONE))
    'UTF-16 units, CRLF counted as one'
    """

    unit: str = CHARACTERS
    line_ends: str = AS_THEY_ARE

    def __str__(self) -> str:
        return ", ".join(filter(None, self))

    def within(self, text: str) -> Reading:
        """The first reading that counts this text in the same way.

        >>> Reading(UTF8).within("plain")
        Reading(unit='characters', line_ends='')
        """
        unit = self.unit if self.unit in _WIDE and _WIDE[self.unit].search(text) else CHARACTERS
        needed = {CRLF_ONE: _CRLF, LF_TWO: _LF}.get(self.line_ends)
        return Reading(unit, self.line_ends if needed is not None and needed.search(text) else AS_THEY_ARE)


_READINGS = tuple(Reading(*pair) for pair in product((CHARACTERS, UTF16, UTF8), (AS_THEY_ARE, CRLF_ONE, LF_TWO)))


def find_reading(documents: Iterable[tuple[str, Sequence[Mention]]]) -> Reading | None:
    """The way of counting in which most covered texts of a corpus lie at their offsets.

    Args:
        documents: texts with their annotations.

    Returns:
        the best reading; None if no covered text tells.
    """
    totals: Counter[Reading] = Counter()
    for text, mentions in documents:
        scores = _Document(text, mentions).scores()
        if len(scores) > 1:
            totals.update({reading: scores[reading.within(text)] for reading in _READINGS})
    return max(_READINGS, key=lambda reading: totals[reading]) if len(set(totals.values())) > 1 else None


def to_characters(
    text: str, mentions: Sequence[Mention], tally: Tally, *, reading: Reading | None = None, repair: bool = True
) -> list[Mention]:
    """The annotations of a text with offsets in characters; those that cannot be placed are left out.

    The document is read as its corpus, unless its own covered texts fit another reading better. An annotation that does
    not fit is read in another way if it fits there, else placed where its text occurs, once, near its offsets (or in
    the document), else dropped. All of that is counted.

    Args:
        text: the document, with its line ends.
        mentions: its annotations.
        tally: counts conversions and what does not fit.
        reading: of the corpus, from :func:`find_reading` or known otherwise; None: not known.
        repair: False: take the offsets of annotations that do not fit, as published preprocessing does.
    """
    document = _Document(text, mentions)
    scores = document.scores()
    chosen = Reading() if reading is None else reading.within(text)
    best = max(scores, key=lambda one: scores[one])
    if scores[chosen] < scores[best]:
        if reading is not None and chosen.unit != best.unit:
            tally.add(f"document with offsets in {best}, unlike others, read so", mentions[0].place)
        chosen = best
    if reading is None and len(set(scores.values())) == 1:
        document.count_unproven(mentions, tally)
    placed = (document.place(mention, chosen, tally, repair) for mention in mentions)
    return [mention for mention in placed if mention is not None]


def fit(text: str, mentions: Sequence[Mention]) -> int:
    """How well annotations fit a text in the best reading: to choose between several forms of a document."""
    return max(_Document(text, mentions).scores().values())


def count_cuts(text: str, mentions: Iterable[Mention], reading: Reading) -> tuple[int, int, int]:
    """How often annotations without a covered text begin or end inside words: a hint at how offsets count.

    Returns:
        the number of annotations that the reading places elsewhere than characters do; of these, those that cut words
        as characters, and those that cut words in the reading.
    """
    ruler = _Ruler(text, reading)
    n_moved = n_plain = n_other = 0
    for mention in mentions:
        found = ruler.spans(mention.fragments)
        if mention.text or found == (mention.fragments, True):
            continue
        n_moved += 1
        n_plain += _cuts_words(text, mention.fragments)
        n_other += found is None or not found[1] or _cuts_words(text, found[0])
    return n_moved, n_plain, n_other


class _Document:
    """A text, its annotations, and the ways in which they may count it."""

    def __init__(self, text: str, mentions: Sequence[Mention]) -> None:
        self._text = text
        self._telling = [mention for mention in mentions if mention.text]
        self._readings = list(dict.fromkeys(reading.within(text) for reading in _READINGS))
        self._rulers: dict[Reading, _Ruler] = {}

    def scores(self) -> dict[Reading, int]:
        """Reading -> how well the covered texts fit; readings that count this text alike are one."""
        return {one: sum(self._agreement(mention, one) for mention in self._telling) for one in self._readings}

    def place(self, mention: Mention, chosen: Reading, tally: Tally, repair: bool) -> Mention | None:
        """The annotation in characters, by the chosen reading unless its text shows another place; None: dropped."""
        found = self._ruler(chosen).spans(mention.fragments)
        if mention.text and not self._agreement(mention, chosen):
            if repair:
                return self._repaired(mention, found[0] if found else mention.fragments, tally)
            if found:
                tally.add(_TAKEN, mention.place)
        if found is None:
            tally.add(BEYOND, mention.place)
            return None
        spans, is_whole = found
        if not is_whole:
            tally.add("annotation that starts or ends inside a character, widened to the character", mention.place)
        if chosen.unit != CHARACTERS and spans != mention.fragments:
            tally.add(f"annotation with offsets counted in {chosen.unit}, converted", mention.place)
        return mention._replace(fragments=spans)

    def count_unproven(self, mentions: Iterable[Mention], tally: Tally) -> None:
        """Count the annotations that UTF-16 units would place elsewhere, if nothing says which count is right."""
        other = Reading(UTF16).within(self._text)
        if other == Reading():
            return
        for mention in mentions:
            found = self._ruler(other).spans(mention.fragments)
            if not mention.text and (found is None or found[0] != mention.fragments):
                tally.add(UNPROVEN, mention.place)

    def _repaired(self, mention: Mention, spans: Sequence[Span], tally: Tally) -> Mention | None:
        """The annotation at the place that its text shows, if it shows one; ``spans`` are where it should be."""
        other = next((one for one in self._readings if self._agreement(mention, one)), None)
        if other is not None:
            tally.add(f"annotation with offsets in {other}, unlike others of its document, read so", mention.place)
            return mention._replace(fragments=self._ruler(other).spans(mention.fragments)[0])
        near = _nearby(self._text, mention.text, spans)
        if near is not None:
            tally.add("annotation whose text is near its offsets, placed there", mention.place)
            return mention._replace(fragments=near)
        if spans[-1][1] > len(self._text):
            tally.add(BEYOND, mention.place)
            return None
        if _is_similar(self._covered(spans), mention.text):
            tally.add(_TAKEN, mention.place)
            return mention._replace(fragments=tuple(spans))
        tally.add(MISPLACED, mention.place)
        return None

    def _agreement(self, mention: Mention, reading: Reading) -> int:
        """How well the covered text agrees with that at the offsets; 0: not at all."""
        found = self._ruler(reading).spans(mention.fragments)
        if found is None or not found[1]:
            return 0
        return _likeness(self._covered(found[0]), mention.text) or (
            len(found[0]) > 1 and _likeness(self._covered(merge_segments(found[0])), mention.text)
        )

    def _covered(self, spans: Iterable[Span]) -> str:
        return " ".join(self._text[start:end] for start, end in spans)

    def _ruler(self, reading: Reading) -> _Ruler:
        if reading not in self._rulers:
            self._rulers[reading] = _Ruler(self._text, reading)
        return self._rulers[reading]


class _Ruler:
    """Offsets of a reading -> characters of a text, by the signs that have another width than 1."""

    def __init__(self, text: str, reading: Reading) -> None:
        self._reading, self._text = reading, text
        self._indices, self._offsets = [0], [0]  # just behind every such sign
        wide = _WIDE.get(reading.unit)
        patterns = [*([wide.pattern] if wide else []), *([_BREAKS[reading.line_ends]] if reading.line_ends else [])]
        for match in re.finditer("|".join(patterns), text) if patterns else ():
            offset = self._offsets[-1] + match.start() - self._indices[-1]
            self._indices.append(match.end())
            self._offsets.append(offset + _width(match.group(), reading.unit))
        self._length = self._offsets[-1] + len(text) - self._indices[-1]

    def spans(self, fragments: Sequence[Span]) -> tuple[tuple[Span, ...], bool] | None:
        """The fragments in characters, and whether all their ends lie between characters; None if beyond the text."""
        if not all(0 <= start <= end <= self._length for start, end in fragments):
            return None
        result, is_whole = [], True
        for start, end in fragments:
            (first, whole_first), (last, whole_last) = self._index(start), self._index(end)
            last += not whole_last
            result.append((first, last))
            is_whole &= whole_first and whole_last
        return tuple(result), is_whole

    def _index(self, offset: int) -> tuple[int, bool]:
        """The character at an offset; False with one that the offset cuts. No offset lies inside a CRLF that is one."""
        row = bisect_right(self._offsets, offset) - 1
        index = self._indices[row] + offset - self._offsets[row]
        if row + 1 < len(self._indices) and index >= self._indices[row + 1]:
            return self._indices[row + 1] - 1, False
        is_within = self._reading.line_ends == CRLF_ONE and self._text[max(index - 1, 0) : index + 1] == "\r\n"
        return index - is_within, True


def _width(sign: str, unit: str) -> int:
    if sign in "\r\n":
        return 2 if sign == "\n" else 0
    return 2 if unit == UTF16 else len(sign.encode("utf-8", "surrogatepass"))


def _likeness(found: str, stated: str) -> int:
    if found == stated or found.split() == stated.split():
        return _EXACT
    if "".join(found.split()) == "".join(stated.split()):
        return _BUT_BLANKS
    return _BUT_FORM if _folded(found) == _folded(stated) != "" else 0


def _folded(text: str) -> str:
    """Without case, width, blanks and invisible signs."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in plain if not char.isspace() and unicodedata.category(char) != "Cf")


def _cuts_words(text: str, spans: Iterable[Span]) -> bool:
    """Whether a part begins or ends inside a word, at a blank, or beyond the text; CJK scripts do not part words."""
    for start, end in spans:
        if end > len(text) or text[start:end] != text[start:end].strip():
            return True
        for around in (text[edge - 1 : edge + 1] for edge in (start, end) if 0 < edge < len(text)):
            if around.isalnum() and max(around) < _FIRST_UNPARTED:
                return True
    return False


def _is_similar(found: str, stated: str) -> bool:
    """Whether two texts are the same but for a typing error, or one of them was cut."""
    left, right = _folded(found), _folded(stated)
    return SequenceMatcher(None, left, right, autojunk=False).ratio() >= _SIMILAR


def _nearby(text: str, stated: str, spans: Sequence[Span]) -> tuple[Span, ...] | None:
    """Where a covered text occurs: once near the spans, or once in the text; several parts are moved together."""
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    if len(spans) > 1:
        moves = range(-min(_NEAR, first), _NEAR + 1)
        moved = (tuple((start + move, end + move) for start, end in spans) for move in moves)
        found = [some for some in moved if _likeness(" ".join(text[a:b] for a, b in some), stated) >= _BUT_BLANKS]
        return found[0] if len(found) == 1 else None
    nearby = (min(max(0, first - _NEAR), len(text)), min(last + _NEAR, len(text)))  # offsets may be huge
    for start, end in (nearby, (0, len(text))):
        places = list(_occurrences(text, stated, start, end))
        if len(places) > 1:
            places = [place for place in places if place[0] < last and place[1] > first]
        if places:
            return (places[0],) if len(places) == 1 else None
    return None


def _occurrences(text: str, stated: str, start: int, end: int) -> Iterator[Span]:
    words = stated.split()
    if not words:
        return
    before, after = r"(?<!\w)" if words[0][0].isalnum() else "", r"(?!\w)" if words[-1][-1].isalnum() else ""
    pattern = before + r"\s+".join(map(re.escape, words)) + after
    for match in re.compile(pattern).finditer(text, start, end):
        yield match.span()
