"""Corpus statistics: the tables that are printed before training, and warnings derived from them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations

from genner.data.schema import Entity, Example

__all__ = ["SplitStatistics", "corpus_notes", "corpus_statistics", "digest", "fingerprint", "split_statistics"]

Splits = Mapping[str, Sequence[Example]]


@dataclass
class SplitStatistics:
    """Counts of one split.

    Args:
        nested: entities that properly contain another entity of the sentence or are contained in one.
        same_span: entities with the same words as another entity with another label.
        crossing: entities that share words with another one, neither containing the other.
        repeated: sentences with the same words as a sentence of an earlier split.
        unseen_labels: labels that are not in the training split, with their counts.
    """

    sentences: int = 0
    documents: int | None = None
    words: int = 0
    entities: int = 0
    nested: int = 0
    same_span: int = 0
    discontinuous: int = 0
    crossing: int = 0
    longest_sentence: int = 0
    most_segments: int = 0
    without_entities: int = 0
    repeated: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    unseen_labels: dict[str, int] = field(default_factory=dict)

    def percent(self, name: str) -> float:
        """Percentage of the entities that are ``name``: nested, same_span, discontinuous or crossing."""
        return 100 * getattr(self, name) / self.entities if self.entities else 0.0

    def to_dict(self) -> dict[str, object]:
        """All counts, and the percentages as ``nested_percent`` and so on."""
        shares = ("nested", "same_span", "discontinuous", "crossing")
        return asdict(self) | {f"{name}_percent": round(self.percent(name), 2) for name in shares}


def split_statistics(examples: Iterable[Example]) -> SplitStatistics:
    """The statistics of one split."""
    stats = SplitStatistics()
    labels: Counter[str] = Counter()
    documents = set()
    for example in examples:
        stats.sentences += 1
        stats.words += len(example.words)
        stats.entities += len(example.entities)
        stats.longest_sentence = max(stats.longest_sentence, len(example.words))
        stats.without_entities += not example.entities
        documents.add(example.document)
        labels.update(entity.label for entity in example.entities)
        for entity in example.entities:
            stats.most_segments = max(stats.most_segments, len(entity.segments))
            stats.discontinuous += entity.is_discontinuous
        if len(example.entities) > 1:
            nested, same_span, crossing = _relations(example.entities)
            stats.nested += nested
            stats.same_span += same_span
            stats.crossing += crossing
    stats.labels = dict(sorted(labels.items()))
    stats.documents = None if None in documents else len(documents)
    return stats


def corpus_statistics(splits: Splits) -> dict[str, SplitStatistics]:
    """Statistics of every split, and comparisons between splits (in the given order, train first)."""
    seen: set[tuple[str, ...]] = set()
    result = {}
    for name, examples in splits.items():
        stats = result[name] = split_statistics(examples)
        stats.repeated = sum(example.words in seen for example in examples) if seen else 0
        seen.update(example.words for example in examples)
        known = result["train"].labels if "train" in result else stats.labels
        stats.unseen_labels = {label: count for label, count in stats.labels.items() if label not in known}
    return result


def corpus_notes(statistics: Mapping[str, SplitStatistics]) -> list[str]:
    """Warnings to read before training on these splits, one sentence each."""
    notes = []
    by_case: dict[str, set[str]] = {}
    for name, stats in statistics.items():
        for label in stats.labels:
            by_case.setdefault(label.casefold(), set()).add(label)
        if stats.unseen_labels:
            counts = ", ".join(f"{label} ({count})" for label, count in stats.unseen_labels.items())
            notes.append(f"{name}: labels that are not in train: {counts}. They cannot be learned.")
        if stats.repeated:
            notes.append(f"{name}: {stats.repeated} of {stats.sentences} sentences also occur in an earlier split.")
        if not stats.entities:
            notes.append(f"{name}: no entities at all.")
    for tags in by_case.values():
        if len(tags) > 1:
            notes.append(f"labels that differ only in case are different labels: {sorted(tags)}.")
    return notes


def digest(examples: Iterable[Example]) -> str:
    """SHA-256 of words, entities and their order, independent of the file format."""
    sha = hashlib.sha256()
    for example in examples:
        row = [example.words, [[entity.label, entity.flat] for entity in example.entities]]
        sha.update(json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n")
    return sha.hexdigest()


def fingerprint(splits: Splits, statistics: Mapping[str, SplitStatistics]) -> dict[str, dict[str, object]]:
    """Identifies the data of a run: per split the digest, and counts to compare with published ones."""
    names = ("sentences", "words", "entities", "nested", "discontinuous")
    return {
        split: {name: getattr(statistics[split], name) for name in names} | {"sha256": digest(examples)}
        for split, examples in splits.items()
    }


def _relations(entities: Sequence[Entity]) -> tuple[int, int, int]:
    """How many entities of a sentence are nested, have the words of another label's entity, or cross another one."""
    # Sets of words as bits of an integer: a pair costs two operations, whatever its length.
    masks = [sum((1 << end) - (1 << start) for start, end in entity.segments) for entity in entities]
    nested, same_span, crossing = set(), set(), set()
    for first, second in combinations(range(len(masks)), 2):
        common = masks[first] & masks[second]
        if not common:
            continue
        if masks[first] == masks[second]:
            if entities[first].label != entities[second].label:
                same_span |= {first, second}
        elif common in (masks[first], masks[second]):
            nested |= {first, second}
        else:
            crossing |= {first, second}
    return len(nested), len(same_span), len(crossing)
