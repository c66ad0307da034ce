"""The search, run on probability tables of sentences of two words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch

from genner.model.generation import AnyPiece, GenerationConfig, PointerConstraint, PreparedBatch, search_all
from genner.model.generation.state import Hypothesis
from tests.model.generation.table_model import Table, TableModel

# Two labels (2, 3); two words of one piece between two specials: pointers 5 and 6.
LABEL, OTHER, FIRST, SECOND = 2, 3, 5, 6
N_SYMBOLS = 8
N_LABELS = 2


def run(
    table: Table, limits: Sequence[int], config: GenerationConfig, sentences: Sequence[int] | None = None
) -> tuple[list[list[Hypothesis]], TableModel]:
    """Search the table for some sentences of two words each, in one batch."""
    model = TableModel(table)
    rows = range(len(limits)) if sentences is None else sentences
    found = dict(search_all(model, [prepare(model, rows, limits, config)], config))
    return [found[number] for number in range(len(limits))], model


def prepare(
    model: TableModel, sentences: Sequence[int], limits: Sequence[int], config: GenerationConfig
) -> PreparedBatch:
    bounds = torch.tensor(limits, dtype=torch.long)
    kind = PointerConstraint("word", N_LABELS, config.structure) if config.constrained else AnyPiece(N_LABELS)
    first = torch.tensor([[1, 2]]).repeat(len(limits), 1)
    constraint = kind.start(first, torch.full_like(bounds, 4), 1, 1, bounds)
    return PreparedBatch(model.start(sentences), constraint, bounds)


def run_all(
    table: Table, sizes: Sequence[int], limits: Sequence[int], config: GenerationConfig, guess: object = None
) -> tuple[list[list[Hypothesis]], TableModel]:
    """Search all sentences of the table in batches of these sizes."""
    model = TableModel(table, guess)
    starts = list(accumulate(sizes, initial=0))
    batches = [prepare(model, range(start, end), limits[start:end], config) for start, end in pairwise(starts)]
    found = dict(search_all(model, batches, config))
    return [found[number] for number in range(len(limits))], model


def path_table(*paths: Sequence[int], base: float = 0.0, peak: float = 3.0) -> Table:
    """Logits that are ``peak`` along the paths and ``base`` elsewhere."""

    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        path = paths[sentence]
        row = [base] * N_SYMBOLS
        if tuple(path[: len(prefix)]) == prefix and len(prefix) < len(path):
            row[path[len(prefix)]] = peak
        return row

    return table
