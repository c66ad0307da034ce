"""Raw text with character annotations -> sentences of words with entities: the same rules for every source.

Words: a run of letters and digits; numbers keep their inner points and commas (``3.5``), abbreviations their points
(``U.S.``), a clitic is a word of its own (``'s``, ``n't``); a run of the same sign is one word (``...``);
every other sign is a word. Sentences end after ``. ! ?`` and closing signs if white space and a possible sentence start
follow, but not after common abbreviations and initials; at empty lines; and optionally at every line end. Annotations
do not influence word and sentence boundaries, since new text has none; ``across="join"`` is the exception.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from genner.data.offsets import Mention, Span
from genner.data.schema import Entity, Example, Segment, merge_segments, sort_entities
from genner.data.tally import Tally

__all__ = [
    "Mention",
    "build_examples",
    "mention_segments",
    "sentence_words",
]

_WORD = re.compile(
    r"""
      (?:[^\W\d_]\.){2,}                # U.S., e.g.
    | \d+(?:[.,]\d+)*                   # 3.5, 1,000
      (?:[^\W\d_][^\W_]*)?              # 5mg, 20th
    | [^\W\d_]+(?=n['’]t\b) | n['’]t\b   # ca|n't
    | ['’](?:s|m|d|re|ve|ll)\b          # it|'s
    | [^\W_]+                           # letters and digits
    | ([^\w\s]|_)\1*                    # signs; equal ones together
    """,
    re.VERBOSE | re.IGNORECASE,
)
# A run of signs is matched possessively, so that a failed look-ahead is not retried from inside it.
_END = re.compile(r"""(?<![.!?])[.!?]++["'”’)\]}»]*+(?=\s+["'“‘(\[{«]*+[^\W_a-zß-öø-ÿ])""")
_BREAK = re.compile(r"\n[^\S\n]*(?:\n|$)|\r\n?[^\S\n]*\r")
_LINE = re.compile(r"[\r\n]")
_ABBREVIATIONS = set(
    """
    mr mrs ms dr prof gen gov sen rep lt col sgt capt maj cmdr adm rev hon st mt jr sr vs fig figs eq ref refs al
    cf eg ie approx dept est inc ltd co corp jan feb mar apr jun jul aug sep sept oct nov dec a.m p.m e.g i.e u.s
    """.split()  # noqa: SIM905  (a list would take a line per word)
)
_LONGEST = max(map(len, _ABBREVIATIONS)) + 4  # with opening signs before it


def words_in(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The character spans of the words of a text.

    >>> text = "Didn't the U.S. team's 3.5 mg/day..."
    >>> [text[start:end] for start, end in words_in(text)]
    ['Did', "n't", 'the', 'U.S.', 'team', "'s", '3.5', 'mg', '/', 'day', '...']
    """
    return [match.span() for match in _WORD.finditer(text, start, len(text) if end is None else end)]


def sentence_words(text: str, parts: Iterable[Span] | None = None, *, lines: bool = False) -> list[list[Span]]:
    """The words of every sentence.

    Args:
        text: the whole text.
        parts: the spans to read; sentences never cross their ends. None: the whole text.
        lines: every line end ends a sentence as well.
    """
    sentences = []
    for first, last in [(0, len(text))] if parts is None else parts:
        cuts = {match.end() for match in (_LINE if lines else _BREAK).finditer(text, first, last)}
        cuts |= {match.end() for match in _END.finditer(text, first, last) if not _is_abbreviation(match)}
        start = first
        for cut in [*sorted(cuts), last]:
            words = words_in(text, start, cut)
            start = cut
            if words:
                sentences.append(words)
    return sentences


def build_examples(
    text: str,
    sentences: Sequence[Sequence[Span]],
    mentions: Iterable[Mention],
    document: int,
    tally: Tally,
    *,
    across: str = "drop",
) -> list[Example]:
    """Examples of a document: annotations on characters become entities on words.

    Offsets inside words are widened to whole words; fragments that overlap or touch are merged; duplicates are counted
    once; annotations without a word, or across sentences (``across="drop"``), are dropped. All changes are counted.

    Args:
        text: the document.
        sentences: the words of every sentence, ascending; text between them is not part of the data.
        mentions: its annotations.
        document: its number.
        tally: counts changes.
        across: ``drop`` annotations that cross a sentence boundary, or ``join`` these sentences.
    """
    words = [span for sentence in sentences for span in sentence]
    firsts = [0]  # the first word of every sentence, and one past the last word of all
    for sentence in sentences:
        firsts.append(firsts[-1] + len(sentence))
    found = [(mention, mention_segments(mention, words, tally)) for mention in mentions]
    if across == "join":
        firsts = _joined(firsts, found, tally)
    entities: list[dict[Entity, None]] = [{} for _ in firsts[1:]]
    for mention, segments in found:
        if not segments:
            continue
        row = bisect_right(firsts, segments[0].start) - 1
        if segments[-1].end > firsts[row + 1]:
            tally.add("annotation that crosses a sentence boundary, dropped", mention.place)
            continue
        base = firsts[row]
        entity = Entity(mention.label, tuple(Segment(start - base, end - base) for start, end in segments))
        if entity in entities[row]:
            tally.add("duplicate annotation, counted once", mention.place)
        entities[row][entity] = None
    surfaces = [text[start:end] for start, end in words]
    bounds = zip(firsts[:-1], firsts[1:], entities, strict=True)
    return [Example(tuple(surfaces[a:b]), sort_entities(row), document) for a, b, row in bounds]


def mention_segments(mention: Mention, words: Sequence[Span], tally: Tally) -> tuple[Segment, ...]:
    """The words that a mention covers, as merged segments; empty if it cannot be used.

    Args:
        mention: an annotation on characters.
        words: character spans, ascending.
        tally: counts changes, and the mention if it has no word.
    """
    segments = []
    fragments = sorted(mention.fragments)
    if any(right[0] < left[1] for left, right in pairwise(fragments)):
        tally.add("annotation with overlapping fragments, merged", mention.place)
    widened = False
    for start, end in fragments:
        first = bisect_right(words, start, key=lambda word: word[1])
        last = bisect_left(words, end, key=lambda word: word[0])
        if first >= last:
            tally.add("annotation with a fragment that holds no word, dropped", mention.place)
            return ()
        widened |= words[first][0] < start or words[last - 1][1] > end
        segments.append(Segment(first, last))
    if widened:
        tally.add("annotation that starts or ends inside a word, widened to the word", mention.place)
    merged = merge_segments(segments)
    if len(merged) < len(segments):
        tally.add("annotation with fragments that touch as words, merged", mention.place)
    return merged


def _joined(firsts: list[int], found: Sequence[tuple[Mention, tuple[Segment, ...]]], tally: Tally) -> list[int]:
    """The first words of the sentences, without boundaries that an annotation crosses."""
    crossed: set[int] = set()
    for mention, segments in found:
        if segments:
            low, high = bisect_right(firsts, segments[0].start), bisect_left(firsts, segments[-1].end)
            if low < high:
                crossed.update(firsts[low:high])
                tally.add("annotation that crosses a sentence boundary, sentences joined", mention.place)
    return [first for first in firsts if first not in crossed]


def _is_abbreviation(match: re.Match[str]) -> bool:
    """Whether the full stop belongs to the word before it: ``Dr. Lee``, ``J. Lee``, ``No. 5``."""
    if match.group() != ".":
        return False
    before = match.string[max(0, match.start() - _LONGEST) : match.start()].split(" ")[-1].split("\n")[-1]
    word = before.lstrip("\"'“‘([{«")
    follows = match.string[match.end() : match.end() + 2].strip()
    is_number = word.casefold() == "no" and follows.isdecimal()
    return is_number or word.casefold() in _ABBREVIATIONS or (len(word) == 1 and word.isupper())
