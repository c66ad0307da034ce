"""Brute force: all legal sequences of a tiny sentence, written down without any of the constraint's formulas."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

BOS, EOS, MOST_REPEATS = 0, 1, 3


@dataclass(frozen=True)
class Rules:
    """What a constraint is told."""

    unit: str
    structure: str
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
    """(key, symbols) of every possible entity; a key begins with first and last word."""
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


def may_follow(before: list[tuple], after: tuple, rules: Rules) -> bool:
    """Whether an entity may come after others, by their keys."""
    shares_words = any(after[0] <= earlier[1] and earlier[0] <= after[1] for earlier in before)
    return rules.structure != "flat" or not shares_words or after in before


def n_repetitions(entities: list[tuple]) -> int:
    """How many entities at the end, one after another, stand further ahead as well."""
    is_new = [entity not in entities[:place] for place, entity in enumerate(entities)]
    return [*reversed(is_new), True].index(True)


def prefix_tree(sentence: Sentence, rules: Rules) -> dict[tuple[int, ...], set[int]]:
    """For every prefix of a legal sequence within the limit: the symbols that go on with one."""
    entities = entities_of(sentence, rules)
    tree: dict[tuple[int, ...], set[int]] = defaultdict(set)
    stack: list[tuple[tuple[int, ...], list[tuple]]] = [((BOS,), [])]
    while stack:
        sequence, before = stack.pop()
        complete = (*sequence, EOS)
        for cut in range(1, len(complete)):
            tree[complete[:cut]].add(complete[cut])
        for key, symbols in entities:
            longer = (*sequence, *symbols)
            may_go_on = len(longer) < sentence.limit and n_repetitions(before) < MOST_REPEATS
            if may_go_on and may_follow(before, key, rules):
                stack.append((longer, [*before, key]))
    return dict(tree)


def following(sentence: Sentence, rules: Rules, prefix: tuple[int, ...]) -> tuple[set[int], set[int]]:
    """What may follow any prefix, of legal groups and of others that were given up: by the rules, and at all."""
    shift = 2 + rules.n_labels
    pointers = {shift + place for word in range(len(sentence.pieces)) for place in sentence.positions(word)}
    possible = {EOS, *range(2, shift), *pointers} if len(prefix) + 1 < sentence.limit else {EOS}
    entities, before, groups, group, is_gone = entities_of(sentence, rules), [], [], (), False
    for place, symbol in enumerate(prefix[1:], 1):
        is_gone = is_gone or symbol not in _legal(sentence, rules, entities, before, groups, group, place)
        group = (*group, symbol)
        if symbol < shift:
            groups.append(group)
            before += [] if is_gone else [key for key, symbols in entities if tuple(symbols) == group]
            group, is_gone = (), False
    if not group and n_repetitions(groups) >= MOST_REPEATS:
        possible = {EOS}
    legal = possible if is_gone else _legal(sentence, rules, entities, before, groups, group, len(prefix))
    return legal, possible


def _legal(sentence: Sentence, rules: Rules, entities: list, before: list, groups: list, group: tuple, n: int) -> set:
    """What the rules allow at place ``n``, behind the beginning of a group."""
    if not group and n_repetitions(groups) >= MOST_REPEATS:
        return {EOS}
    fitting = [
        symbols
        for key, symbols in entities
        if tuple(symbols[: len(group)]) == group
        and may_follow(before, key, rules)
        and n - len(group) + len(symbols) < sentence.limit
    ]
    return {symbols[len(group)] for symbols in fitting if len(symbols) > len(group)} | ({EOS} if not group else set())
