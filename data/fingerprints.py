"""Published counts of the eight sets, and the comparison of a copy with them.

A copy with other counts gives other scores. Counts that could not be confirmed are shown as unconfirmed and do not
affect the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from genner.data.statistics import SplitStatistics

__all__ = ["FINGERPRINTS", "Fingerprint", "Variant", "compare"]

_NAMES = ("train", "dev", "test")

Counts = Mapping[str, Mapping[str, int]]  # field of SplitStatistics -> split -> number


@dataclass(frozen=True)
class Variant:
    """Another known form of a set.

    Args:
        name: description.
        effect: on the score.
        counts: any of sentences, entities and discontinuous.
    """

    name: str
    effect: str
    counts: Counts


@dataclass(frozen=True)
class Fingerprint:
    """The counts of the published copy.

    Args:
        counts: confirmed ones, as in :class:`Variant`; they determine the verdict.
        source: of the counts, and how reliable it is.
        unconfirmed: counts from memory; only shown.
        informal: nested entities; papers count them differently, so they are only shown.
        hint: the usual reason for other counts.
        variants: other known forms.
    """

    counts: Counts
    source: str
    unconfirmed: Counts = field(default_factory=dict)
    informal: Counts = field(default_factory=dict)
    hint: str = ""
    variants: tuple[Variant, ...] = ()


def _three(train: int, dev: int, test: int) -> dict[str, int]:
    return {"train": train, "dev": dev, "test": test}


_READ = "R: read in the reference repository's files"
_COUNTED = "M: counted on released files"
_ACE_HINT = "counts move with the sentence splitter; docs/corpora.md names ours"
_CADEC_HINT = "CADEC has no official split and the sentences depend on the splitter: give the published document lists"

#: Data set -> fingerprint. Sources: read in the repository's files, or counted on released files.
FINGERPRINTS: dict[str, Fingerprint] = {
    "conll2003": Fingerprint(
        counts={"sentences": _three(14041, 3250, 3453)},
        source=_READ,
        unconfirmed={"entities": _three(23499, 5942, 5648)},
        hint="take eng.train, eng.testa and eng.testb of the original English release",
    ),
    "en-ontonotes": Fingerprint(
        counts={"sentences": _three(59924, 8528, 8262), "entities": _three(81828, 11066, 11257)},
        source=_READ,
        hint="leave out the New Testament (pt), take the CoNLL-2012 split (v4)",
        variants=(
            Variant(
                "the release with 115,812 training sentences, New Testament included",
                "F1 is about 87, not 90",
                {"sentences": {"train": 115812}},
            ),
            # Counted by the tools that the published preprocessing used, https://github.com/yhcc/OntoNotes-5.0-NER.
            Variant(
                "the v12 split without the New Testament",
                "another, larger split: not comparable with the published 90",
                {"sentences": _three(94292, 13900, 10348)},
            ),
        ),
    ),
    "en_ace04": Fingerprint(
        counts={"sentences": _three(6297, 742, 824), "entities": _three(22231, 2514, 3036)},
        source=_READ,
        informal={"nested": _three(10176, 1092, 1422)},
        hint=_ACE_HINT,
    ),
    "en_ace05": Fingerprint(
        counts={"sentences": _three(7178, 960, 1051), "entities": _three(25300, 3321, 3099)},
        source=_READ,
        informal={"nested": _three(10005, 1214, 1186)},
        hint=_ACE_HINT,
    ),
    "genia": Fingerprint(
        counts={"sentences": {"dev": 1669}},
        source=_READ,
        unconfirmed={"sentences": {"train": 15023, "test": 1854}},
        hint="the published run splits by sentences: 90 / 10, then every 4th of train to dev until 1,669",
        variants=(
            Variant(
                "the split by documents",
                "another split than the published run's, which is by sentences: do not compare with its F1 of 79",
                {"sentences": _three(15038, 1765, 1732), "entities": _three(46203, 4714, 5119)},
            ),
        ),
    ),
    "CADEC": Fingerprint(
        counts={"entities": _three(4428, 897, 990), "discontinuous": _three(491, 93, 94)},
        source=_COUNTED,
        unconfirmed={"sentences": _three(5340, 1097, 1160)},
        hint=_CADEC_HINT,
    ),
    "Share_2013": Fingerprint(
        counts={
            "sentences": _three(8508, 1250, 9009),
            "entities": _three(5146, 669, 5333),
            "discontinuous": _three(581, 71, 436),
        },
        source=_COUNTED,
        hint="dev is a published list of training notes; a sentence is a line of a note",
    ),
    "Share_2014": Fingerprint(
        counts={},
        source="nothing confirmed",
        unconfirmed={
            "sentences": _three(17407, 1360, 15850),
            "entities": _three(10354, 771, 7922),
            "discontinuous": _three(1004, 80, 566),
        },
    ),
}


def compare(dataset: str, statistics: Mapping[str, SplitStatistics]) -> list[str]:
    """Whether a copy has the published counts: a match, a known variant, or a mismatch with the numbers.

    Missing splits are not judged. If train and dev were joined (conll2003), train is compared with their sum. Give the
    statistics of whole splits: a limited one never matches.

    Args:
        dataset: name of a recipe.
        statistics: split -> counts.

    Returns:
        One line; none for a set without a fingerprint.
    """
    print_of = FINGERPRINTS.get(dataset)
    if print_of is None or not statistics:
        return []
    joined = "dev" not in statistics and {"train", "test"} <= statistics.keys()
    rows = _rows(print_of.counts, statistics, joined)
    differing = [row for row in rows if not row.agrees]
    if not differing:
        verdict = "every confirmed count matches" if rows else "no confirmed counts of these splits to compare with"
        found = "; ".join([f"{row.name} {_shown(row.found)}" for row in rows] + _asides(print_of, statistics, joined))
        return [f"{dataset}: {verdict} ({found}; {print_of.source})."]
    for variant in print_of.variants:
        known = _rows(variant.counts, statistics, joined)
        if known and all(row.agrees for row in known):
            return [f"{dataset}: not the published copy but a known variant: {variant.name}; {variant.effect}."]
    hint = f" Hint: {print_of.hint}." if print_of.hint else ""
    found = "; ".join(f"{row.name} {_shown(row.found)}, published {_shown(row.published)}" for row in differing)
    return [f"{dataset}: counts differ from the published copy: {found} ({print_of.source}).{hint}"]


class _Row(NamedTuple):
    """One kind of count in the given splits."""

    name: str
    found: dict[str, int]
    published: dict[str, int]

    @property
    def agrees(self) -> bool:
        return self.found == self.published


def _rows(counts: Counts, statistics: Mapping[str, SplitStatistics], joined: bool) -> list[_Row]:
    """Found and published counts, for every kind of count that some given split has."""
    rows = []
    for name, published in counts.items():
        if joined and {"train", "dev"} <= published.keys():
            published = {**published, "train": published["train"] + published["dev"]}
        published = {split: published[split] for split in _NAMES if split in published and split in statistics}
        found = {split: _value(statistics[split], name) for split in published}
        if published:
            rows.append(_Row(name, found, published))
    return rows


def _value(stats: SplitStatistics, name: str) -> int:
    # The published numbers also count entities as nested that have the same span as another one.
    return stats.nested + stats.same_span if name == "nested" else getattr(stats, name)


def _asides(print_of: Fingerprint, statistics: Mapping[str, SplitStatistics], joined: bool) -> list[str]:
    """Information without a verdict: unconfirmed counts, and nested entities, which papers count in several ways."""
    texts = []
    for row in _rows(print_of.unconfirmed, statistics, joined):
        text = "as in the unconfirmed count" if row.agrees else f"unconfirmed {_shown(row.published)}"
        texts.append(f"{row.name} {_shown(row.found)}, {text}")
    for row in _rows(print_of.informal, statistics, joined):
        text = "as published" if row.agrees else f"published {_shown(row.published)}, perhaps by another definition"
        texts.append(f"{row.name} {_shown(row.found)}, {text}")
    return texts


def _shown(counts: Mapping[str, int]) -> str:
    """``train 10, dev 2, test 3``."""
    return ", ".join(f"{split} {count:,}" for split, count in counts.items())
