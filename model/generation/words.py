"""Which words may come next, by what has been written of the entity and by the room left.

Every function works on :class:`Registers`, one number per row, and never on symbols. Words count from 1, 0 is none.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genner.model.generation.tables import INFINITE, SentenceTables, suffix_min

__all__ = ["CLOSED", "GONE", "OPEN", "OUTSIDE", "Registers", "RowTables", "allowed_words"]

OUTSIDE, CLOSED, OPEN, GONE = 0, 1, 2, 3
"""Between entities; in an entity that a label may close; in a segment that lacks its last word; in a group that the
search gave up on, which ends with a label."""


class Registers(NamedTuple):
    """State of the constraint: (R,) int64 each.

    Attributes:
        room: symbols left, EOS included; below 1 the row has ended.
        phase: ``OUTSIDE``, ``CLOSED``, ``OPEN`` or ``GONE``.
        word: last word written.
        trace: number that stands for the symbols of the group so far.
        groups: number of closed groups.
        again: how many of the last groups, one after another, had been written before.
        piece: all pieces are written: last position written.
        stop: all pieces are written: last position of the word being written.
        start: flat: first word of the entity.
        goal: flat: last word of the earlier entity that is written again, 0 = a new one.
        goal_label: flat: its label.
    """

    room: Tensor
    phase: Tensor
    word: Tensor
    trace: Tensor
    groups: Tensor
    again: Tensor
    piece: Tensor
    stop: Tensor
    start: Tensor
    goal: Tensor
    goal_label: Tensor


class RowTables:
    """Lookups in the sentence tables for K rows per sentence.

    Args:
        tables: of G sentences.
        n_rows: K.
        pairs: entities are written as first and last words.
        labels: their L symbols.

    Attributes:
        width: N.
        cost: (R, N) of words.
        columns: (N,) their numbers; ``all_columns``: as many as the tables have columns.
        labels: (L,) symbols.
        code_base: above every symbol of a label.
    """

    def __init__(self, tables: SentenceTables, n_rows: int, *, pairs: bool, labels: range) -> None:
        self.n_rows = n_rows
        self.pairs = pairs
        self.code_base = labels.stop
        n_sentences, n_tables, length = tables.values.shape
        device = tables.values.device
        self.owner = torch.arange(n_sentences, device=device).repeat_interleave(n_rows)
        self.labels = torch.arange(labels.start, labels.stop, device=device)
        self._range = labels
        self.all_columns = torch.arange(length, device=device)
        self._base = self.owner * n_tables  # of a row's first table among all of them
        self._offset = self._base * length
        self._tables = tables.values.flatten(0, 1)
        flat = self._tables.flatten()
        self._flat = {name: flat[idx * length :] for idx, name in enumerate(tables.names)}
        self._set_tables(tables)

    def _set_tables(self, tables: SentenceTables) -> None:
        self.tables, self.width = tables, tables.n_columns
        self.columns = self.all_columns[: self.width]
        self.cost = tables.values[:, 0, : self.width]
        if self.n_rows > 1:
            self.cost = self.cost.index_select(0, self.owner)

    def with_tables(self, tables: SentenceTables, n_rows: int | None = None) -> RowTables:
        """The same with other tables or another K."""
        return RowTables(tables, n_rows or self.n_rows, pairs=self.pairs, labels=self._range)

    def refill(self, slots: Tensor, other: RowTables, incoming: slice) -> RowTables:
        """Overwrite ``slots`` with the sentences ``incoming`` of ``other``; works in place if it can."""
        tables = self.tables.refill(slots, other.tables, incoming)
        if tables.values is not self.tables.values:
            return self.with_tables(tables)
        self._set_tables(tables)
        return self

    def table(self, name: str, width: int | None = None) -> Tensor:
        """(R, N) entries of a table by word, or (R, ``width``) by symbol."""
        return self._tables.index_select(0, self._base + self.tables.names.index(name))[:, : width or self.width]

    def at(self, name: str, word: Tensor) -> Tensor:
        """(R,) entries of a table."""
        return self._flat[name].index_select(0, self._offset + word)

    def entry(self, phase: Tensor) -> Tensor:
        """(R, N) cost of a word and of all that must follow it, given the row's phase."""
        if not self.pairs:
            return self.cost
        table = (phase != OPEN) * self.tables.names.index("first_and_rest")  # else the first table, cost
        return self._tables.index_select(0, self._base + table)[:, : self.width]

    def by_position(self, words: Tensor, phase: Tensor) -> Tensor:
        """Values of words, (R, N), spread to their pointers, (R, S); which these are depends on the row's phase."""
        positions = slice(self._range.stop, self._range.stop + self.tables.n_positions)
        starts = self.tables.names.index("starts")
        if self._has_ends:
            return words.gather(1, self._tables.index_select(0, self._base + starts + (phase == OPEN))[:, positions])
        word_at = self.tables.values[:, starts, positions]
        if self.n_rows == 1:
            return words.gather(1, word_at)
        n_sentences, n_rows = len(word_at), self.n_rows
        word_at = word_at.unsqueeze(1).expand(-1, n_rows, -1)
        return words.view(n_sentences, n_rows, -1).gather(2, word_at).flatten(0, 1)

    def word_of(self, phase: Tensor, symbols: Tensor) -> Tensor:
        """(R,) words whose pointers the symbols are, 0 for none."""
        if self._has_ends:
            symbols = symbols + (phase == OPEN) * self._tables.shape[1]  # the next table
        return self.at("starts", symbols)

    def take(self, state: Registers, taken: Tensor, label: Tensor, closes: Tensor) -> Tensor:
        """The words of flat entities, after those that ``closes``, (R,) bool, closes with ``label``, (R,).

        Returns:
            (R, N) as ``taken``: 0 for a word of no entity; for the first word of one, its last word and label as one
            number above 0; -1 for its other words.
        """
        columns, first, last = self.all_columns[: taken.shape[1]], state.start.unsqueeze(1), state.word.unsqueeze(1)
        code = (state.word * self.code_base + label).unsqueeze(1)
        inside = (columns > first) & (columns <= last) & closes.unsqueeze(1)
        return torch.where((columns == first) & closes.unsqueeze(1), code, taken.masked_fill(inside, -1))

    @property
    def _has_ends(self) -> bool:
        return "ends" in self._flat


def allowed_words(rows: RowTables, state: Registers, structure: str, taken: Tensor | None) -> Tensor:
    """Words that may come next, unless a word is still being written.

    Args:
        rows: tables of the R rows.
        state: their registers; rows that gave up on their group get what means nothing.
        structure: ``flat``, ``nested`` or ``discontinuous``.
        taken: (R, N) of flat entities, see :meth:`RowTables.take`.

    Returns:
        (R, N) bool.
    """
    budget = (state.room - 2).unsqueeze(1)  # room for a label and EOS
    outside = state.phase == OUTSIDE
    if taken is not None:
        return _flat(rows, state, outside, taken, budget)
    if structure == "discontinuous":
        lowest = (state.word + _gap(state.phase, rows.pairs)).masked_fill(outside, 1)
        return (rows.columns >= lowest.unsqueeze(1)) & (rows.entry(state.phase) <= budget)
    fits = rows.entry(state.phase) <= budget
    if rows.pairs:  # one first word and one last word
        lowest = state.word.masked_fill(state.phase == CLOSED, rows.width).masked_fill(outside, 1)
        return (rows.columns >= lowest.unsqueeze(1)) & fits
    following = (state.word + 1).unsqueeze(1)  # inside an entity, only the word right after the last one
    return ((rows.columns == following) | outside.unsqueeze(1)) & (rows.columns >= 1) & fits


def _gap(phase: Tensor, pairs: bool) -> Tensor | int:
    """Minimum distance to the next word: in a list 1; in pairs 0 to a last word, 2 to another segment."""
    return (phase == CLOSED) * 2 if pairs else 1


def _flat(rows: RowTables, state: Registers, outside: Tensor, taken: Tensor, budget: Tensor) -> Tensor:
    """Words of no earlier entity; or an earlier entity again, exactly as it was."""
    is_free = (taken == 0) & (rows.columns >= 1)
    cost, columns = rows.cost, rows.columns
    last = (taken // rows.code_base).clamp(min=0)  # of the entity that begins at a word
    if rows.pairs:
        # The cheapest last word before the next taken one: each run of free words gets a level of its own.
        level = (taken != 0).long().cumsum(1) * (rows.tables.max_cost + 1)
        ending = cost.masked_fill(~is_free, rows.tables.max_cost)
        need = cost + suffix_min(ending + level) - level
        again = cost + cost.gather(1, last)
    else:
        need = cost
        prefix = rows.table("prefix")
        again = prefix.gather(1, last) - prefix + cost
    begins = torch.where(taken > 0, again, need.masked_fill(~is_free, INFINITE)) <= budget
    word, goal = state.word.unsqueeze(1), state.goal.unsqueeze(1)
    if rows.pairs:
        blocked = torch.where((taken != 0) & (columns > word), columns, rows.width).amin(1, keepdim=True)
        inside = (columns >= word) & (columns < blocked) & (cost <= budget)
        inside = torch.where(goal > 0, columns == goal, inside) & (state.phase == OPEN).unsqueeze(1)
    else:
        inside = (columns == word + 1) & torch.where(goal > 0, columns <= goal, is_free & (cost <= budget))
    return torch.where(outside.unsqueeze(1), begins, inside)
