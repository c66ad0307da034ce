"""``--check_data``: one table per split, and what a person should know before training."""

from __future__ import annotations

from collections.abc import Mapping

from genner.config import Recipe
from genner.data.bundle import LoadedCorpus
from genner.data.fingerprints import compare
from genner.data.statistics import SplitStatistics, corpus_notes
from genner.evaluation.report import split_table
from genner.formulations.base import Encoded

__all__ = ["check_text"]


def check_text(
    recipe: Recipe, corpus: LoadedCorpus, statistics: Mapping[str, SplitStatistics], encoded: Encoded
) -> str:
    """The tables of all splits and the notes below them; ``encoded`` is what the formulation made of the corpus."""
    parts = [_table(split, corpus, statistics[split], encoded) for split in corpus.examples]
    verdict = compare(recipe.dataset, statistics) if recipe.data.limit is None else []
    notes = [*verdict, *corpus.notes, *corpus_notes(statistics), *encoded.notes]
    target = recipe.settings.describe()
    title = [f"{recipe.dataset}: {recipe.kind.value}", *([f"{target} targets"] if target else []), recipe.backbone]
    return "\n\n".join([", ".join(title), *parts, *(["\n".join(f"note: {note}" for note in notes)] if notes else [])])


def _table(split: str, corpus: LoadedCorpus, statistics: SplitStatistics, encoded: Encoded) -> str:
    found = encoded.splits[split]
    repairs = corpus.reports[split].lines() if split in corpus.reports else []
    return split_table(
        split,
        statistics.to_dict(),
        lengths=found.lengths,
        oracle_f=found.oracle_f,
        changes=[*repairs, *found.changes],
    )
