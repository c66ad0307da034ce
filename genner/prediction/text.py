"""Words and sentences of raw text with exact offsets, by spaCy's rules for a language.

These rules keep every character, so ``text[start:end]`` is always the word. They are applied to stretches of at most
2,000 characters, cut at empty lines, which end sentences, and otherwise at white space; long runs without white space
are taken apart beforehand (:mod:`genner.prediction.long_runs`). So neither time nor memory per character grows with the
text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from genner.data.schema import Segment
from genner.data.text import sentence_words
from genner.errors import ConfigError
from genner.prediction.long_runs import bounded

if TYPE_CHECKING:
    from spacy.language import Language

__all__ = ["RULES", "SplitText", "TextSplitter"]

#: spaCy's rules for a language; those with which ``data.prepare`` makes corpora; or white space and line ends.
RULES = ("spacy", "plain", "blanks")

_STRETCH = 2_000  # characters given to the library at once; it holds up all threads meanwhile
_GAP = re.compile(r"\n[^\S\n]*\n\s*|\r\n?[^\S\n]*\r\s*")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ENDINGS = ["...", "…", "?!", "!?", "!!", "??"]  # besides the single characters that the library knows


class SplitText(NamedTuple):
    """Character spans of the words, word spans of the sentences; the sentences cover all words, none is empty."""

    words: tuple[Segment, ...]
    sentences: tuple[Segment, ...]


class TextSplitter:
    """Finds words and sentences.

    Args:
        language: spaCy's code, such as ``en`` or ``de``; ``xx`` for any language. For the rules ``spacy`` only.
        rules: one of :data:`RULES`.
        pause: called now and then while a text is split by the rules ``spacy``.

    Raises:
        ConfigError: an unknown language or rule, or one that needs a package that is not installed.
    """

    def __init__(
        self, language: str = "en", rules: str = "spacy", *, pause: Callable[[], None] | None = None
    ) -> None:
        if rules not in RULES:
            raise ConfigError(f"words: unknown rules {rules!r}. Expected one of {', '.join(RULES)}. Choose one.")
        self._split = {"spacy": self._by_library, "plain": _by_preparation, "blanks": _by_blanks}[rules]
        self._library = _library(language) if rules == "spacy" else None
        self._pause = pause

    def split(self, text: str) -> SplitText:
        """Words and sentences of a text.

        >>> found = TextSplitter().split("Dr. Lee fell.  Then, Zoë didn't.")
        >>> len(found.words), [tuple(sentence) for sentence in found.sentences]
        (10, [(0, 4), (4, 10)])
        """
        # spaCy refuses lone surrogates; each is replaced by one character.
        return self._split(_SURROGATE.sub("\ufffd", text))

    def _by_library(self, text: str) -> SplitText:
        words: list[Segment] = []
        firsts: list[int] = []
        signs = _signs()
        has_ended = False  # a sentence, with what was read last
        for start, end, goes_on in _stretches(text):
            begins, has_ended = not goes_on, goes_on and has_ended
            with self._library.memory_zone():  # otherwise it would keep every word it has seen
                for token in self._library(text[start:end]):
                    word = token.text
                    is_sign = word in signs
                    is_first = has_ended and not is_sign and not token.is_punct
                    begins |= is_first or (token.is_sent_start and token.i > 0)
                    has_ended = is_sign or (has_ended and not is_first)
                    if token.is_space or not any(map(str.isprintable, word)):  # such as a byte order mark
                        continue
                    if begins or not words:
                        firsts.append(len(words))
                        begins = False
                    words.append(Segment(start + token.idx, start + token.idx + len(token)))
            if self._pause is not None:
                self._pause()
        return _as_split(words, firsts)


def _library(language: str) -> Language:
    import spacy  # takes a second; other rules do not need it

    try:
        library = spacy.blank(language)
    except ImportError as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"language: {language!r} cannot be used ({reason}). Expected a code that spaCy has rules for, such as en, "
            "de or xx (any language). Install what it names, or choose another."
        ) from None
    library.tokenizer = bounded(library.tokenizer)
    library.add_pipe("sentencizer", config={"punct_chars": sorted(_signs())})
    library.max_length = _STRETCH + 1
    return library


@cache
def _signs() -> frozenset[str]:
    """Words after which a sentence ends."""
    from spacy.pipeline.sentencizer import Sentencizer

    return frozenset([*Sentencizer.default_punct_chars, *_ENDINGS])


def _stretches(text: str) -> Iterator[tuple[int, int, bool]]:
    """Half-open parts of the text that the library reads at once, and whether each continues a sentence."""
    start = 0
    for gap in _GAP.finditer(text):
        yield from _cut(text, start, gap.start())
        start = gap.end()
    yield from _cut(text, start, len(text))


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """A part between empty lines, cut where it is too long."""
    first = start
    while end - first > _STRETCH:
        cut = _last_blank(text, first + _STRETCH // 2, first + _STRETCH)
        yield first, cut, first > start
        first = cut
    if end > first:
        yield first, end, first > start


def _last_blank(text: str, first: int, last: int) -> int:
    """The end of the last white space in the range; the end of the range if there is none."""
    return next((place + 1 for place in range(last - 1, first - 1, -1) if text[place].isspace()), last)


def _by_preparation(text: str) -> SplitText:
    words, firsts = [], []
    for sentence in sentence_words(text):
        firsts.append(len(words))
        words += [Segment(start, end) for start, end in sentence]
    return _as_split(words, firsts)


def _by_blanks(text: str) -> SplitText:
    words, firsts, start = [], [], 0
    for line in text.splitlines(keepends=True):
        found = [Segment(start + run.start(), start + run.end()) for run in re.finditer(r"\S+", line)]
        if found:
            firsts.append(len(words))
            words += found
        start += len(line)
    return _as_split(words, firsts)


def _as_split(words: list[Segment], firsts: list[int]) -> SplitText:
    """From the first word of each sentence."""
    return SplitText(tuple(words), tuple(Segment(*pair) for pair in pairwise([*firsts, len(words)])))
