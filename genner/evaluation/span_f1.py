"""Precision, recall and F1 over entities: micro, per label and per subset, each counted in two ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from genner.data.schema import Entity, Example

__all__ = ["FORGIVEN", "SUBSETS", "UNSEEN", "F1Report", "Scores", "SpanF1", "entity_surfaces"]

#: Malformed groups that the reference counting ignores; any other reject is a false positive in both countings.
FORGIVEN = frozenset({"empty", "order", "open"})
#: The structural subsets; see :class:`SpanF1`.
SUBSETS = ("flat", "nested", "discontinuous", "overlapping")
#: The subset of entities whose surface does not occur in training; reported if ``seen_surfaces`` is given.
UNSEEN = "unseen"

_MICRO = "micro"
_TALLY = ("gold", "found", "predicted", "correct", "duplicates", "sentences", "exact")
_GOLD, _FOUND, _PREDICTED, _CORRECT, _DUPLICATES, _SENTENCES, _EXACT = range(len(_TALLY))


@dataclass(frozen=True)
class Scores:
    """Scores of one group of entities: percentages with two decimals; ``f pre rec`` use the reference counting."""

    f: float
    pre: float
    rec: float
    em: float
    strict_f: float
    strict_pre: float
    strict_rec: float
    support: int
    predicted: int


@dataclass(frozen=True)
class F1Report:
    """What :meth:`SpanF1.compute` returns.

    Attributes:
        micro: over all entities.
        per_label: by label, sorted; includes labels that were only predicted.
        subsets: by subset name, see :class:`SpanF1`.
        counts: ``tp fp fn em total`` of the reference counting (``em`` and ``total`` are sentences), ``strict_fp``,
            and ``duplicates``, the duplicate predictions.
        rejected: all malformed groups, by reason.
    """

    micro: Scores
    per_label: dict[str, Scores]
    subsets: dict[str, Scores]
    counts: dict[str, int]
    rejected: dict[str, int]

    @property
    def f(self) -> float:
        """Micro F1 in percent (reference counting)."""
        return self.micro.f

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the micro scores on top, ``per_label``, ``subsets``, ``counts``, ``rejected``."""
        groups = {
            "per_label": {label: asdict(scores) for label, scores in self.per_label.items()},
            "subsets": {name: asdict(scores) for name, scores in self.subsets.items()},
        }
        return {**asdict(self.micro), **groups, "counts": dict(self.counts), "rejected": dict(self.rejected)}


@dataclass
class SpanF1:
    """Entity-level scores; it sees entities, never symbols, so that all formulations are scored alike.

    A prediction is correct if its label and all its segments equal those of a gold entity of the sentence. The gold
    entities of a sentence are a set in both countings. They differ in the predictions (Yan et al. 2021 report the
    first):

    * ``reference``: a set as well, so duplicate predictions count once; rejects whose reason is in :data:`FORGIVEN`
      do not count, other rejects are false positives, once per distinct key in a sentence.
    * ``strict``: every duplicate and every reject is a false positive.

    Rejects have no entity and so affect only the micro scores, not labels and subsets.

    Subsets depend on the words that an entity covers and the *distinct entities of its sentence*: ``discontinuous`` has
    more than one segment; ``nested`` covers a proper subset or superset of another entity's words; ``overlapping``
    shares a word with another entity in any way (so it includes ``nested``, crossing entities and one span with two
    labels); ``flat`` has one segment and shares no word. An entity may be in several. Gold entities are assigned to
    subsets among the gold entities, predictions among the predictions; recall is over the former, precision over the
    latter. ``unseen`` contains the entities whose :meth:`~data.schema.Entity.surface_key` is not in ``seen_surfaces``.

    ``em`` is the share of sentences without errors; for a label or subset, among the sentences in which gold or
    predictions have such an entity.

    >>> metric = SpanF1()
    >>> knee = Entity.from_flat("BODY", [3, 4])
    >>> metric.update([knee, Entity.from_flat("SYMPTOM", [0, 4])], [knee, knee])
    >>> report = metric.compute()
    >>> report.micro.pre, report.micro.strict_pre, report.micro.rec, report.subsets["nested"].rec
    (100.0, 50.0, 50.0, 50.0)
    """

    seen_surfaces: Collection[str] | None = None
    _tallies: dict[str, dict[str, list[int]]] = field(default_factory=dict, init=False, repr=False)
    _rejects: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    _reference_rejects: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        names = SUBSETS if self.seen_surfaces is None else (*SUBSETS, UNSEEN)
        zeros = [0] * len(_TALLY)
        self._tallies = {_MICRO: {"": [*zeros]}, "label": {}, "subset": {name: [*zeros] for name in names}}

    def update(
        self,
        gold: Sequence[Entity],
        predicted: Sequence[Entity],
        *,
        words: Sequence[str] | None = None,
        rejected: Iterable[tuple[str, Hashable]] = (),
        exact: bool | None = None,
    ) -> None:
        """Count one sentence.

        Args:
            gold: its entities.
            predicted: as written by the model, with duplicates.
            words: the sentence; only needed for the subset ``unseen``.
            rejected: the malformed groups as ``(reason, key)``; equal groups have equal keys.
            exact: whether the formulation calls the output an exact match (it may compare more than entities, such as
                their order); by default, whether the entities are the gold ones, without duplicates and rejects.
        """
        rejected = list(rejected)
        gold_set, predicted_set = set(gold), set(predicted)
        if exact is None:
            exact = gold_set == predicted_set and len(predicted) == len(predicted_set) and not rejected
        self._count(_MICRO, "", gold_set, predicted_set, exact)
        gold_groups, predicted_groups = self._groups(gold_set, words), self._groups(predicted_set, words)
        for group in gold_groups.keys() | predicted_groups.keys():
            members = gold_groups.get(group, set()), predicted_groups.get(group, set())
            self._count(*group, *members, members[0] == members[1], gold_set, predicted_set)
        for entity, times in Counter(predicted).items():
            if times > 1:
                for kind, name in ((_MICRO, ""), *(g for g, members in predicted_groups.items() if entity in members)):
                    self._tallies[kind][name][_DUPLICATES] += times - 1
        self._rejects.update(reason for reason, _ in rejected)
        self._reference_rejects += len({key for reason, key in rejected if reason not in FORGIVEN})

    def state(self) -> dict[str, Any]:
        """The counts as plain values for JSON; :meth:`merge` adds them to another metric."""
        return {"tallies": self._tallies, "rejected": self._rejects, "reference_rejects": self._reference_rejects}

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the counts of a :meth:`state`."""
        for kind, group in state["tallies"].items():
            for name, tally in group.items():
                mine = self._tallies[kind].get(name, [0] * len(_TALLY))
                self._tallies[kind][name] = [a + b for a, b in zip(mine, tally, strict=True)]
        self._rejects.update(state["rejected"])
        self._reference_rejects += state["reference_rejects"]

    def compute(self) -> F1Report:
        """The scores of everything counted so far; all zero if nothing was."""
        tally = self._tallies[_MICRO][""]
        n_rejects = sum(self._rejects.values())
        wrong = tally[_PREDICTED] - tally[_CORRECT]
        counts = {
            "tp": tally[_CORRECT],
            "fp": wrong + self._reference_rejects,
            "fn": tally[_GOLD] - tally[_FOUND],
            "em": tally[_EXACT],
            "total": tally[_SENTENCES],
            "strict_fp": wrong + tally[_DUPLICATES] + n_rejects,
            "duplicates": tally[_DUPLICATES],
        }
        labels, subsets = self._tallies["label"], self._tallies["subset"]
        return F1Report(
            _scores(tally, self._reference_rejects, n_rejects),
            {label: _scores(labels[label]) for label in sorted(labels)},
            {name: _scores(subset) for name, subset in subsets.items()},
            counts,
            dict(sorted(self._rejects.items())),
        )

    def _groups(self, entities: set[Entity], words: Sequence[str] | None) -> dict[tuple[str, str], set[Entity]]:
        """The members of every label and subset among the distinct entities of one sentence."""
        groups: dict[tuple[str, str], set[Entity]] = {}
        for entity, names in _structure(entities):
            if self.seen_surfaces is not None:
                assert words is not None, "internal error: the subset 'unseen' needs the words of the sentence"
                if entity.surface_key(words) not in self.seen_surfaces:
                    names.append(UNSEEN)
            for group in (("label", entity.label), *(("subset", name) for name in names)):
                groups.setdefault(group, set()).add(entity)
        return groups

    def _count(self, kind: str, name: str, gold: set, predicted: set, exact: bool, *everything: set) -> None:
        """Add the members of one group; ``everything`` is all gold entities and all predictions, for a label or subset.

        A gold member is found if *any* prediction equals it, even one that is outside this subset of the predictions.
        """
        all_gold, all_predicted = everything or (gold, predicted)
        tally = self._tallies[kind].setdefault(name, [0] * len(_TALLY))
        tally[_GOLD] += len(gold)
        tally[_FOUND] += len(gold & all_predicted)
        tally[_PREDICTED] += len(predicted)
        tally[_CORRECT] += len(predicted & all_gold)
        tally[_SENTENCES] += 1
        tally[_EXACT] += exact


def entity_surfaces(examples: Iterable[Example]) -> frozenset[str]:
    """The case-folded surfaces of all entities; those of the training split are :class:`SpanF1`'s ``seen_surfaces``."""
    return frozenset(entity.surface_key(example.words) for example in examples for entity in example.entities)


def _structure(entities: Collection[Entity]) -> list[tuple[Entity, list[str]]]:
    """Each entity with the structural subsets it belongs to; word sets are integers, one bit per word."""
    masks = {entity: word_mask(entity) for entity in entities}
    rows = []
    for entity, mask in masks.items():
        others = [other for key, other in masks.items() if other & mask and key is not entity]
        names = ["discontinuous"] if entity.is_discontinuous else []
        if others:
            names.append("overlapping")
            if any(other != mask and other & mask in (other, mask) for other in others):
                names.append("nested")
        rows.append((entity, names or ["flat"]))
    return rows


def word_mask(entity: Entity) -> int:
    """The words of an entity as an integer, one bit per word."""
    mask = 0
    for start, end in entity.segments:
        mask |= (1 << max(end, start)) - (1 << start)  # a gold entity may be malformed in compat mode
    return mask


def _scores(tally: Sequence[int], reference_rejects: int = 0, all_rejects: int = 0) -> Scores:
    """Scores of one tally, including false positives without an entity."""
    n_gold, n_found, n_predicted, n_correct, n_duplicates, n_sentences, n_exact = tally
    written = n_predicted + n_duplicates + all_rejects
    f, pre, rec = _f_pre_rec(n_correct, n_predicted + reference_rejects, n_found, n_gold)
    strict_f, strict_pre, strict_rec = _f_pre_rec(n_correct, written, n_found, n_gold)
    em = _percent(n_exact / n_sentences) if n_sentences else 0.0
    return Scores(f, pre, rec, em, strict_f, strict_pre, strict_rec, n_gold, n_predicted)


def _f_pre_rec(n_correct: int, n_predicted: int, n_found: int, n_gold: int) -> tuple[float, float, float]:
    """F1, precision and recall in percent."""
    # The reference has this small term. It decides which way an exact half is rounded (45/96 is 46.87, not 46.88), so
    # without it scores would differ from recorded ones by 0.01. The share of exact sentences does without it.
    small = 1e-13
    pre, rec = n_correct / (n_predicted + small), n_found / (n_gold + small)
    return _percent(2 * pre * rec / (pre + rec + small)), _percent(pre), _percent(rec)


def _percent(share: float) -> float:
    """A fraction rounded to four places, as a percentage; the second rounding removes float noise."""
    return round(round(share, 4) * 100, 2)
