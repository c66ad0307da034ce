"""Brute force: all legal sequences of a tiny sentence, written down without any of the constraint's formulas."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

BOS, EOS = 0, 1


@dataclass(frozen=True)
class Rules:
    """What a constraint is told."""

    unit: str
    structure: str
    ordered: bool
    n_labels: int


@dataclass(frozen=True)
class Sentence:
    """Pieces per word, the special pieces around them, and the length limit."""

    pieces: tuple[int, ...]
    lead: int
    tail: int
    limit: int

    @property
    def first(self) -> list[int]:
        return [self.lead + sum(self.pieces[:word]) for word in range(len(self.pieces))]

    @property
    def length(self) -> int:
        return self.lead + sum(self.pieces) + self.tail

    def positions(self, word: int) -> list[int]:
        return list(range(self.first[word], self.first[word] + self.pieces[word]))


def segments_of(words: tuple[int, ...]) -> list[tuple[int, int]]:
    """Maximal runs (first word, last word) of ascending words."""
    segments: list[tuple[int, int]] = []
    for word in words:
        if segments and segments[-1][1] == word - 1:
            segments[-1] = (segments[-1][0], word)
        else:
            segments.append((word, word))
    return segments


def written_words(words: tuple[int, ...], unit: str) -> list[int]:
    """The words whose pointers are written."""
    if unit in ("word", "bpe"):
        return list(words)
    return [word for segment in segments_of(words) for word in segment]


def pointers_of(words: tuple[int, ...], unit: str, sentence: Sentence) -> list[int]:
    """Positions that an entity points at."""
    written = written_words(words, unit)
    if unit == "word":
        return [sentence.first[word] for word in written]
    if unit == "span":
        return [sentence.positions(word)[-(index % 2)] for index, word in enumerate(written)]
    return [position for word in written for position in sentence.positions(word)]


def entities_of(sentence: Sentence, rules: Rules) -> list[tuple[tuple, list[int]]]:
    """(order key, symbols) of every possible entity, in canonical order."""
    n_words = len(sentence.pieces)
    subsets = [words for size in range(1, n_words + 1) for words in combinations(range(n_words), size)]
    if rules.structure != "discontinuous":
        subsets = [words for words in subsets if len(segments_of(words)) == 1]
    found = []
    for words in subsets:
        pointers = [2 + rules.n_labels + position for position in pointers_of(words, rules.unit, sentence)]
        for label in range(rules.n_labels):
            found.append(((words[0], words[-1], written_words(words, rules.unit), label), [*pointers, 2 + label]))
    return sorted(found)


def may_follow(before: tuple | None, after: tuple, rules: Rules) -> bool:
    """Whether an entity may come after another one, by their order keys."""
    if before is None or not rules.ordered:
        return True
    return after[0] > before[1] if rules.structure == "flat" else after > before


def prefix_tree(sentence: Sentence, rules: Rules) -> dict[tuple[int, ...], set[int]]:
    """For every prefix of a legal sequence within the limit: the symbols that go on with one."""
    entities = entities_of(sentence, rules)
    tree: dict[tuple[int, ...], set[int]] = defaultdict(set)
    stack: list[tuple[tuple[int, ...], tuple | None]] = [((BOS,), None)]
    while stack:
        sequence, before = stack.pop()
        complete = (*sequence, EOS)
        for cut in range(1, len(complete)):
            tree[complete[:cut]].add(complete[cut])
        for key, symbols in entities:
            longer = (*sequence, *symbols)
            if len(longer) < sentence.limit and may_follow(before, key, rules):
                stack.append((longer, key))
    return dict(tree)
