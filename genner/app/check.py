"""``--check_data``: one table per split, and what a person should know before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genner.config import Recipe
from genner.data.bundle import LoadedCorpus
from genner.data.fingerprints import compare
from genner.data.pipe import PipeReport
from genner.data.statistics import SplitStatistics, corpus_notes
from genner.evaluation.report import split_table
from genner.formulations import Formulation, Rows

__all__ = ["check_text"]

_PIPE_CHANGES = {
    "unknown_words": "words without any piece, replaced by the unknown piece",
    "lookalikes": "words that look like special pieces, read as plain text",
    "split_sentences": "sentences too long for the backbone, split between entities",
    "dropped_sentences": "sentences too long for the backbone, dropped",
    "dropped_entities": "entities dropped with them",
}


def check_text(
    recipe: Recipe,
    corpus: LoadedCorpus,
    statistics: Mapping[str, SplitStatistics],
    formulation: Formulation,
    rows: Mapping[str, Rows],
) -> str:
    """The tables of all splits and the notes below them; ``rows`` is what ``formulation`` made of the corpus."""
    parts = [_table(split, corpus, statistics[split], formulation.reports[split]) for split in corpus.examples]
    verdict = compare(recipe.dataset, statistics) if recipe.data.limit is None else []
    notes = [*verdict, *corpus.notes, *corpus_notes(statistics), *_limit_notes(recipe, rows), *formulation.notes]
    title = f"{recipe.dataset}: {recipe.kind.value}, target type {recipe.codec.unit.value}, {recipe.backbone}"
    return "\n\n".join([title, *parts, *(["\n".join(f"note: {note}" for note in notes)] if notes else [])])


def _table(split: str, corpus: LoadedCorpus, statistics: SplitStatistics, report: PipeReport) -> str:
    changes = corpus.reports[split].lines() if split in corpus.reports else []
    changes += [f"{report.counts[key]} {text}" for key, text in _PIPE_CHANGES.items() if report.counts[key]]
    return split_table(
        split,
        statistics.to_dict(),
        lengths={"source pieces": report.longest_source, "target symbols": report.longest_target},
        oracle_f=report.oracle_f,
        changes=changes,
    )


def _limit_notes(recipe: Recipe, rows: Mapping[str, Rows]) -> Iterator[str]:
    """Targets that the search could not write in full because of its length limit."""
    constant, ratio = recipe.generation.max_len, recipe.generation.max_len_ratio
    for split, instances in rows.items():
        limits = constant + (ratio * instances.lengths).astype(int)
        too_long = int((instances.target_lengths > limits).sum())
        if too_long:
            yield (
                f"{split}: {too_long} gold targets are longer than generation.max_len + max_len_ratio * pieces "
                f"= {constant} + {ratio} * pieces. Raise them to make these targets reachable."
            )
