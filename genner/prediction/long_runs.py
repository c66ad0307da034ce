"""Long runs without white space, taken apart before spaCy's tokenizer sees them.

It removes affixes one by one, each with a search through the rest of the run: a run of ten thousand brackets takes ten
thousand searches. Here the same rules look at the nearest characters only, so the time per character does not depend on
the run: where there are more than a few, first all prefixes are removed, then all suffixes. What is left is the
tokenizer's; its exceptions, such as emoticons, are known only there. A word ends after 1,000 characters at the latest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.tokenizer import Tokenizer
    from spacy.tokens import Doc

__all__ = ["bounded"]

_LONG = 50  # characters; shorter runs are the tokenizer's own
_FEW = 24  # characters of affixes at one end that are left to the tokenizer
_AHEAD, _BEHIND = 24, 8  # characters that the rules for prefixes are shown, and those for suffixes, which search
_LONGEST = 1_000  # characters of a word
_LONG_RUN = re.compile(rf"\S{{{_LONG + 1},}}")

Tokenize = Callable[[str], "Doc"]


def bounded(tokenizer: Tokenizer | Tokenize) -> Tokenizer | Tokenize:
    """The tokenizer with a bound on its time per character; one without rules for affixes is returned as it is."""
    return _Bounded(tokenizer) if hasattr(tokenizer, "find_prefix") else tokenizer


class _Bounded:
    """Gives the tokenizer everything but the affixes of long runs."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Runs repeat themselves.
        self._find_prefix = lru_cache(maxsize=256)(tokenizer.find_prefix)
        self._find_suffix = lru_cache(maxsize=256)(tokenizer.find_suffix)

    def __call__(self, text: str) -> Doc:
        from spacy.tokens import Doc  # late: spaCy takes a second

        runs = list(_LONG_RUN.finditer(text))
        if not runs:
            return self._tokenizer(text)
        tokens: list[tuple[str, bool]] = []  # and whether a blank follows
        done = 0
        for run in runs:
            tokens += self._tokens(text[done : run.start()])
            tokens += self._in_run(run[0])
            done = run.end()
            if text.startswith(" ", done):
                tokens[-1] = tokens[-1][0], True
                done += 1
        tokens += self._tokens(text[done:])
        words, spaces = zip(*tokens, strict=True)
        return Doc(self._tokenizer.vocab, words=words, spaces=spaces)

    def _tokens(self, text: str) -> list[tuple[str, bool]]:
        return [(token.text, bool(token.whitespace_)) for token in self._tokenizer(text)]

    def _in_run(self, run: str) -> Iterator[tuple[str, bool]]:
        starts, ends = [0], [len(run)]
        while ends[0] - starts[-1] > _LONG and (n := self._prefix(run, starts[-1])):
            starts.append(starts[-1] + n)
        if starts[-1] <= _FEW:
            starts = [0]
        while ends[-1] - starts[-1] > _LONG and (n := self._suffix(run, starts[-1], ends[-1])):
            ends.append(ends[-1] - n)
        if ends[0] - ends[-1] <= _FEW:
            ends = [len(run)]
        for first, last in pairwise(starts):
            yield run[first:last], False
        for first in range(starts[-1], ends[-1], _LONGEST):
            yield from self._tokens(run[first : min(first + _LONGEST, ends[-1])])
        for first, last in pairwise(reversed(ends)):
            yield run[first:last], False

    def _prefix(self, run: str, start: int) -> int:
        """The length of the affix at a place; 0 if there is none."""
        near = _AHEAD
        while (found := self._find_prefix(run[start : start + near])) == near < _LONGEST:
            near = min(2 * near, _LONGEST)  # the affix may go on
        return found

    def _suffix(self, run: str, start: int, end: int) -> int:
        """The length of the affix before a place; 0 if there is none."""
        near = _BEHIND
        while (found := self._find_suffix(run[max(end - near, start) : end])) == near < _LONGEST:
            near = min(2 * near, _LONGEST)
        return found
