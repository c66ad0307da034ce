"""A model without weights: a probability table over prefixes, hand-written or random."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from genner.model.generation.state import Hypothesis

Table = Callable[[int, tuple[int, ...]], list[float]]
BOS, EOS = 0, 1


@dataclass
class TableState:
    """The sentence and the prefix of every row."""

    sentences: list[int]
    prefixes: list[tuple[int, ...]]

    n_rows: int = 1  # per sentence

    def expand_beams(self, n_beams: int) -> TableState:
        return self._take([row for row in range(len(self.sentences)) for _ in range(n_beams)], n_beams)

    def select(self, sentences: Tensor) -> TableState:
        return self._take([sentence * self.n_rows + k for sentence in sentences.tolist() for k in range(self.n_rows)])

    def reorder(self, parents: Tensor) -> TableState:
        return self._take([g * self.n_rows + parent for g, row in enumerate(parents.tolist()) for parent in row])

    def refill(self, slots: Tensor, other: TableState, incoming: slice) -> TableState:
        for slot, new in zip(slots.tolist(), range(incoming.start, incoming.stop), strict=True):
            rows = slice(slot * self.n_rows, (slot + 1) * self.n_rows)
            self.sentences[rows] = [other.sentences[new]] * self.n_rows
            self.prefixes[rows] = [other.prefixes[new]] * self.n_rows
        return self

    def rewind(self, n_symbols: Tensor) -> None:
        pairs = zip(self.prefixes, n_symbols.tolist(), strict=True)
        self.prefixes = [prefix[: len(prefix) - n] for prefix, n in pairs]

    def _take(self, rows: list[int], n_rows: int | None = None) -> TableState:
        picked = [self.sentences[row] for row in rows], [self.prefixes[row] for row in rows]
        return TableState(*picked, n_rows or self.n_rows)


class TableModel:
    """``table(sentence, prefix)`` gives the logits of the next symbol; counts the rows of every step.

    ``guess(sentence, prefix, n)``, if given, drafts the next n symbols.
    """

    def __init__(self, table: Table, guess: Callable[[int, list[int], int], list[int]] | None = None) -> None:
        self.table = table
        self.guess = guess
        self.rows_per_step: list[int] = []

    def start(self, sentences: Sequence[int]) -> TableState:
        return TableState(list(sentences), [()] * len(sentences))

    def step(self, symbols: Tensor, state: TableState) -> Tensor:
        assert len(symbols) == len(state.prefixes)
        self.rows_per_step.append(len(symbols))
        logits = [self._feed(column, state) for column in symbols.view(len(symbols), -1).T.tolist()]
        return torch.stack(logits, 1) if symbols.dim() == 2 else logits[0]

    def draft(self, written: Tensor, steps: Tensor, n_symbols: int, state: TableState) -> Tensor | None:
        if self.guess is None:
            return None
        prefixes = [row[:step] for row, step in zip(written.tolist(), steps.tolist(), strict=True)]
        return torch.tensor([self.guess(*row, n_symbols) for row in zip(state.sentences, prefixes, strict=True)])

    def _feed(self, column: list[int], state: TableState) -> Tensor:
        state.prefixes = [(*old, new) for old, new in zip(state.prefixes, column, strict=True)]
        return torch.tensor([self.table(*row) for row in zip(state.sentences, state.prefixes, strict=True)])


def random_table(seed: int, n_symbols: int, scale: float = 2.0) -> Table:
    """Logits that depend only on the sentence and the whole prefix."""

    def table(sentence: int, prefix: tuple[int, ...]) -> list[float]:
        draw = random.Random(f"{seed} {sentence} {prefix}")
        return [draw.gauss(0.0, scale) for _ in range(n_symbols)]

    return table


def logprob_of(table: Table, sentence: int, sequence: Sequence[int]) -> list[float]:
    """Log-probability of every symbol after BOS."""
    return [
        torch.tensor(table(sentence, tuple(sequence[:cut]))).log_softmax(0)[sequence[cut]].item()
        for cut in range(1, len(sequence))
    ]


def all_sequences(symbols: Sequence[int], limit: int) -> list[tuple[int, ...]]:
    """Every sequence of ``symbols`` between BOS and EOS within the limit."""
    return [(BOS, *body, EOS) for size in range(limit - 1) for body in product(symbols, repeat=size)]


def answers(found: list[list[Hypothesis]]) -> list[list[int]]:
    """Symbols of the best hypothesis of every sentence."""
    return [hypotheses[0].ids for hypotheses in found]
