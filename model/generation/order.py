"""Closed forms of the constraint: which words may come next, given the order of entities and the room left.

An entity that starts later than the previous one is *free*: only its own form matters. One that starts at the same
word is *tied*: it must end later, or end at the same word with words or a label later in the order. The functions
compute for every next word whether the cheapest valid completion fits into the room.

Every function works on :class:`Registers`, one number per row, and never on symbols. Words count from 1, 0 is none.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genner.model.generation.state import reading_waits
from genner.model.generation.tables import INFINITE, SentenceTables, suffix_min

__all__ = ["CLOSED", "OPEN", "OUTSIDE", "Registers", "RowTables", "allowed_words"]

OUTSIDE, CLOSED, OPEN = 0, 1, 2
"""Between entities; in an entity that a label may close; in a segment that lacks its last word."""


class Registers(NamedTuple):
    """State of the constraint: (R,) int64 each.

    Attributes:
        room: symbols left, EOS included; below 1 the row has ended.
        phase: ``OUTSIDE``, ``CLOSED`` or ``OPEN``.
        word: last word written.
        start: first word of the entity; between entities, of the previous one.
        end: last word of the previous entity; 0 = there is none, or the present entity is free.
        label: label symbol of the previous entity, 0 = none.
        lead: discontinuous: 0 while the words of a tied entity equal those of the previous one, 1 once they are
            greater, -1 once they are smaller.
        compared: discontinuous: history column of the next word of the previous entity.
        first: discontinuous: history column of this entity's first word.
        written: discontinuous: words in the history.
        piece: last position written.
        stop: last position of the word being written.
    """

    room: Tensor
    phase: Tensor
    word: Tensor
    start: Tensor
    end: Tensor
    label: Tensor
    lead: Tensor
    compared: Tensor
    first: Tensor
    written: Tensor
    piece: Tensor
    stop: Tensor


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
        columns: (N,) their numbers.
        labels: (L,) symbols; last_label: the last of them.
    """

    def __init__(self, tables: SentenceTables, n_rows: int, *, pairs: bool, labels: range) -> None:
        self.n_rows = n_rows
        self.pairs = pairs
        self.last_label = labels[-1]
        n_sentences, n_tables, length = tables.values.shape
        device = tables.values.device
        self.owner = torch.arange(n_sentences, device=device).repeat_interleave(n_rows)
        self.labels = torch.arange(labels.start, labels.stop, device=device)
        self._range = labels
        self._all_columns = torch.arange(length, device=device)
        self._base = self.owner * n_tables  # of a row's first table among all of them
        self._offset = self._base * length
        self._tables = tables.values.flatten(0, 1)
        flat = self._tables.flatten()
        self._flat = {name: flat[idx * length :] for idx, name in enumerate(tables.names)}
        self._set_tables(tables)

    def _set_tables(self, tables: SentenceTables) -> None:
        self.tables, self.width = tables, tables.n_columns
        self.columns = self._all_columns[: self.width]
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

    @property
    def _has_ends(self) -> bool:
        return "ends" in self._flat


def allowed_words(
    rows: RowTables, state: Registers, outside: Tensor, structure: str, history: Tensor | None, ordered: bool
) -> Tensor:
    """Words that may come next, unless a word is still being written.

    Args:
        rows: tables of the R rows.
        state: their registers.
        outside: (R,) bool, phase ``OUTSIDE``.
        structure: ``flat``, ``nested`` or ``discontinuous``.
        history: (R, M) words written so far, for ordered discontinuous entities.
        ordered: entities must come in canonical order.

    Returns:
        (R, N) bool.
    """
    budget = state.room - 2  # room for a label and EOS
    if structure == "discontinuous":
        lowest = torch.where(outside, state.start, state.word + _gap(state.phase, rows.pairs))
        if not ordered:
            return _affordable(rows, state, lowest, budget)
        return _discontinuous(rows, state, outside, history, lowest, budget)
    if structure == "flat":
        start = state.end + 1
        target = None
    else:
        # A tied entity of one segment must end at this word at least.
        target = state.end + (state.label == rows.last_label) if ordered else None
        start = state.start
    if rows.pairs:
        return _one_pair(rows, state, outside, start, target, budget)
    return _one_run(rows, state, outside, start, target, budget)


def _gap(phase: Tensor, pairs: bool) -> Tensor | int:
    """Minimum distance to the next word: in a list 1; in pairs 0 to a last word, 2 to another segment."""
    return (phase == CLOSED) * 2 if pairs else 1


def _affordable(rows: RowTables, state: Registers, lowest: Tensor, budget: Tensor) -> Tensor:
    return (rows.columns >= lowest.unsqueeze(1)) & (rows.entry(state.phase) <= budget.unsqueeze(1))


def _one_run(
    rows: RowTables, state: Registers, outside: Tensor, start: Tensor, target: Tensor | None, budget: Tensor
) -> Tensor:
    """Lists without gaps: inside an entity only the word right after the last one."""
    lowest = torch.where(outside, start, state.word + 1)
    highest = torch.where(outside, rows.width, lowest)
    if target is not None:
        remaining = (rows.at("prefix", target) - rows.at("prefix", lowest)).clamp(min=0)
        lowest = lowest + ((state.end > 0) & (rows.at("cost", lowest) + remaining > budget))
    return _affordable(rows, state, lowest, budget) & (rows.columns <= highest.unsqueeze(1))


def _one_pair(
    rows: RowTables, state: Registers, outside: Tensor, start: Tensor, target: Tensor | None, budget: Tensor
) -> Tensor:
    """One first word and one last word."""
    last = state.word
    if target is not None:
        needed = rows.at("cost", start) + rows.at("cheapest", target)
        start = start + ((state.end > 0) & (needed > budget))
        last = torch.where(state.end > 0, torch.maximum(last, target), last)
    inside = last.masked_fill(state.phase == CLOSED, rows.width)
    lowest = torch.where(outside, start, inside)
    return _affordable(rows, state, lowest, budget)


class _Tie(NamedTuple):
    """What the words of a tied discontinuous entity are compared with: (R,) each.

    Attributes:
        equal: bool, True = its words so far equal those of the previous entity.
        floor: otherwise, the lowest word that keeps it later in order: 0 once its words are greater, else ``INFINITE``.
        following: (R, 3) the next words of the previous entity, from the one to compare with.
        later_label: bool, True = there is a label greater than that of the previous entity.
        beyond: lowest cost of a word after the end of the previous entity.
        at_end: cost of the last word of the previous entity.
    """

    equal: Tensor
    floor: Tensor
    following: Tensor
    later_label: Tensor
    beyond: Tensor
    at_end: Tensor

    @classmethod
    def of(cls, rows: RowTables, state: Registers, history: Tensor, beyond: Tensor) -> _Tie:
        columns = state.compared.unsqueeze(1) + rows.columns[:3]
        return cls(
            equal=state.lead == 0,
            floor=(state.lead < 0) * INFINITE,
            following=history.gather(1, columns),
            later_label=state.label < rows.last_label,
            beyond=beyond,
            at_end=rows.at("cost", state.end),
        )


def _discontinuous(
    rows: RowTables, state: Registers, outside: Tensor, history: Tensor, lowest: Tensor, budget: Tensor
) -> Tensor:
    """Lists with gaps, or any number of pairs.

    After a word of a list, or the first word of a segment, the cheapest way to put a tied entity after the previous one
    is one more word: one beyond the previous end or, if the words are or will be greater, the same last word.
    """
    beyond = rows.at("cheapest", state.end + 1)
    # With room for any word and one beyond the old end, ties forbid nothing. Less room is rare, and the check is cheap
    # where the host need not wait for it.
    checks = not reading_waits(budget)
    if checks and not rows.pairs and not bool(((budget - beyond < rows.tables.max_cost) & (budget > 0)).any()):
        return _affordable(rows, state, lowest, budget)
    tie = _Tie.of(rows, state, history, beyond)
    following, following2 = tie.following[:, 0], tie.following[:, 1]
    greater_later = following2 < state.end
    if not rows.pairs:
        # After the last word the history continues with other entities.
        greater_later = greater_later & (following < state.end)
    same_end_from = following + ~(tie.later_label | greater_later)
    after_end = state.end + 1
    same_end_from = torch.where(tie.equal, same_end_from, tie.floor).minimum(after_end)
    free_from = after_end if rows.pairs else torch.maximum(same_end_from, state.end)
    # Between entities only the first word of the previous one leads to a tie.
    cap = (state.start + 1).masked_fill(~outside, INFINITE)
    same_end_from = same_end_from.minimum(cap).unsqueeze(1)
    free_from = free_from.minimum(cap).unsqueeze(1)
    cost, budget = rows.cost, budget.unsqueeze(1)
    beyond = beyond.unsqueeze(1)
    same_end = tie.beyond.minimum(tie.at_end).unsqueeze(1)
    allowed = (rows.columns >= lowest.unsqueeze(1)) & (rows.entry(state.phase) <= budget)
    allowed &= (rows.columns >= free_from) | (cost <= budget - same_end)
    allowed &= (rows.columns >= same_end_from) | (cost <= budget - beyond)
    if not rows.pairs:
        return allowed
    is_open = state.phase == OPEN
    is_tied = not checks or bool((is_open & (state.end > 0)).any())  # rare and expensive
    need = _need_after_segment(rows, state, tie) if is_tied else 0
    closing = (rows.columns >= lowest.unsqueeze(1)) & (cost + need <= budget)
    return torch.where(is_open.unsqueeze(1), closing, allowed)


def _need_after_segment(rows: RowTables, state: Registers, tie: _Tie) -> Tensor:
    """(R, N) lowest cost of completing a tied entity of pairs after a segment that ends at this word."""
    columns, end = rows.columns, state.end.unsqueeze(1)
    following, following2, following3 = tie.following.unbind(1)
    # Cheapest first word between the word after next and the old end.
    inner = suffix_min(rows.cost.masked_fill(columns > end, INFINITE))
    inner_after = torch.cat((inner[:, 2:], inner.new_full((inner.shape[0], 2), INFINITE)), 1)
    after_end = rows.at("cost", (state.end + 1)).unsqueeze(1)
    pair_beyond = rows.at("cheapest_pair", state.end + 2)
    beyond = inner_after.minimum(after_end) + tie.beyond.unsqueeze(1)
    beyond = beyond.minimum(pair_beyond.unsqueeze(1))
    # Another segment that ends at the old end: any after a greater word, a greater one after an equal word.
    from_word = following2 + ((following3 == state.end) & ~tie.later_label)
    equal_need = inner.gather(1, from_word.unsqueeze(1))
    greater_than = torch.where(tie.equal, following, tie.floor).unsqueeze(1)
    same_end = torch.where(columns > greater_than, inner_after, INFINITE)
    is_equal = tie.equal.unsqueeze(1) & (columns == greater_than)
    same_end = torch.where(is_equal, equal_need, same_end) + tie.at_end.unsqueeze(1)
    need = beyond.minimum(same_end)
    complete = (state.end > greater_than.squeeze(1)) | (tie.equal & (following == state.end) & tie.later_label)
    need_at_end = torch.where(complete, 0, pair_beyond).unsqueeze(1)
    return torch.where(columns < end, need, torch.where(columns == end, need_at_end, 0))
