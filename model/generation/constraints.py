"""Constraints of the search: which symbols may come next, for all rows of a batch at once.

A constraint is started once per batch; its state is a :class:`genner.model.generation.state.ConstraintLike`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.errors import ConfigError
from genner.model.generation.config import STRUCTURES, UNITS
from genner.model.generation.order import CLOSED, OPEN, OUTSIDE, Registers, RowTables, allowed_words
from genner.model.generation.state import rows_of
from genner.model.generation.tables import INFINITE, SourceLayout, build_tables, set_rows

__all__ = ["BOS", "EOS", "AnyPiece", "ConstraintState", "PointerConstraint"]

BOS = 0
EOS = 1
_FIRST_LABEL = 2


def check_limits(limits: Tensor) -> None:
    """Raise :class:`ConfigError` for a limit too small for BOS and EOS."""
    if limits.numel() and int(limits.min()) < 2:
        row = int(limits.argmin())
        raise ConfigError(
            f"generation: the length limit of sentence {row} of the batch is {int(limits[row])}. Expected at least 2: "
            "BOS and EOS count. Raise max_len."
        )


@dataclass(frozen=True)
class PointerConstraint:
    """Legal sequences of the pointer formulation within a length limit.

    A symbol is allowed if and only if some complete legal sequence within the row's limit continues with it: no row
    can get stuck, and no legal sequence is excluded. In a legal sequence

    * the pointers of an entity are, by ``unit``: ``word`` the first piece of every word; ``bpe`` all pieces of every
      word; ``span`` the first piece of the first and the last piece of the last word of every segment; ``span_bpe``
      all pieces of those two words. Words ascend, segments do not touch, a label closes the entity;
    * ``structure``: ``flat`` entities have one segment and start after the previous one; ``nested`` ones have one
      segment; ``discontinuous`` ones have any number;
    * ``ordered``: entities ascend strictly by (first word, last word, written words compared lexicographically, label).

    ``flat`` implies an order of its own; without ``ordered`` it is treated as ``nested``.
    """

    unit: str
    n_labels: int
    structure: str = "discontinuous"
    ordered: bool = True

    def __post_init__(self) -> None:
        wrong = []
        if self.unit not in UNITS:
            wrong.append(f"unit is {self.unit!r}. Expected one of {', '.join(UNITS)}.")
        if self.structure not in STRUCTURES:
            wrong.append(f"structure is {self.structure!r}. Expected one of {', '.join(STRUCTURES)}.")
        if self.n_labels < 1:
            wrong.append(f"n_labels is {self.n_labels}. Expected at least 1: entities are closed by a label.")
        if wrong:
            raise ConfigError("constraint: " + " ".join(wrong))

    @property
    def pairs(self) -> bool:
        """Whether segments are written as first and last words."""
        return self.unit in ("span", "span_bpe")

    @property
    def shift(self) -> int:
        """Symbols before the source positions."""
        return _FIRST_LABEL + self.n_labels

    @property
    def all_pieces(self) -> bool:
        """Whether words are written with all their pieces."""
        return self.unit in ("bpe", "span_bpe")

    def start(
        self, first: Tensor, src_seq_len: Tensor, lead: int, tail: int, limits: Tensor, n_positions: int | None = None
    ) -> ConstraintState:
        """State after BOS.

        Args:
            first: (B, W) position of the first piece of every word, padded with 0.
            src_seq_len: (B,) source pieces, specials included; best on the host, as the limits.
            lead: special pieces before the words.
            tail: special pieces after the words.
            limits: (B,) longest sequences, BOS and EOS included.
            n_positions: S, the pointer columns of the logits; by default the longest source.

        Raises:
            ConfigError: a limit below 2, or first pieces that do not ascend.
        """
        check_limits(limits)
        layout = SourceLayout(first.long(), src_seq_len.long(), lead, tail, n_positions)
        tables = build_tables(layout, pairs=self.pairs, all_pieces=self.all_pieces, shift=self.shift)
        rows = RowTables(tables, 1, pairs=self.pairs, labels=range(_FIRST_LABEL, self.shift))
        registers = torch.zeros(len(Registers._fields), limits.numel(), dtype=torch.long, device=first.device)
        registers[Registers._fields.index("room")] = limits.to(first.device, non_blocking=True) - 1
        return ConstraintState(self, rows, registers, self._history(limits, first.device))

    def _history(self, limits: Tensor, device: torch.device) -> Tensor | None:
        """(B, M): the words of a sequence, one column for writes that are no words, and three for looking ahead."""
        if self.structure != "discontinuous" or not self.ordered:
            return None
        width = int(limits.max()) + 4 if limits.numel() else 4
        return torch.zeros(limits.numel(), width, dtype=torch.long, device=device)


class ConstraintState:
    """State of :class:`PointerConstraint`: (12, R) registers and, if entities are compared by words, the words.

    The methods are those of :class:`~genner.model.generation.state.ConstraintLike`.
    """

    def __init__(
        self, constraint: PointerConstraint, rows: RowTables, registers: Tensor, history: Tensor | None
    ) -> None:
        self.constraint = constraint
        self.rows = rows
        self.registers = registers
        self.history = history

    def expand_beams(self, n_beams: int) -> ConstraintState:
        rows = self.rows.with_tables(self.rows.tables, n_beams)
        return self._gather(rows.owner, rows)

    def select(self, sentences: Tensor) -> ConstraintState:
        rows = self.rows.with_tables(self.rows.tables.select(sentences))
        return self._gather(self._on_device(rows_of(sentences, self.rows.n_rows)), rows)

    def reorder(self, parents: Tensor) -> ConstraintState:
        return self._gather((self.rows.owner.view_as(parents) * self.rows.n_rows + parents).flatten(), self.rows)

    def refill(self, slots: Tensor, other: ConstraintState, incoming: slice) -> ConstraintState:
        n_rows = self.rows.n_rows
        rows = self._on_device(rows_of(slots, n_rows))
        registers = other.registers[:, incoming]
        self.registers.index_copy_(1, rows, registers if n_rows == 1 else registers.repeat_interleave(n_rows, 1))
        if self.history is not None:
            extra = other.history.shape[1] - self.history.shape[1]
            self.history = (pad(self.history, (0, extra)) if extra > 0 else self.history).index_fill_(0, rows, 0)
        self.rows = self.rows.refill(slots, other.rows, incoming)
        return self

    def unroll(self, drafts: Tensor) -> ConstraintState:
        n_rows = drafts.shape[1] + 1
        state = self
        if self.history is not None:  # a draft may hold more words than a legal sequence
            state = ConstraintState(self.constraint, self.rows, self.registers, pad(self.history, (0, n_rows)))
        states = [state]
        for symbols in drafts.unbind(1):
            states.append(states[-1].advance(symbols))
        registers = torch.stack([state.registers for state in states], 2).flatten(1)
        history = None if self.history is None else torch.stack([state.history for state in states], 1).flatten(0, 1)
        return ConstraintState(self.constraint, self.rows.with_tables(self.rows.tables, n_rows), registers, history)

    def accept(self, n_accepted: Tensor) -> ConstraintState:
        chosen = torch.arange(len(n_accepted), device=n_accepted.device) * self.rows.n_rows + n_accepted
        return self._gather(chosen, self.rows.with_tables(self.rows.tables, 1))

    def _on_device(self, numbers: Tensor) -> Tensor:
        return numbers.to(self.registers.device, non_blocking=True)

    def _gather(self, chosen: Tensor, rows: RowTables) -> ConstraintState:
        """The present rows ``chosen``, (R',), with their tables ``rows``."""
        history = None if self.history is None else self.history.index_select(0, chosen)
        return ConstraintState(self.constraint, rows, self.registers.index_select(1, chosen), history)

    def allowed(self) -> Tensor:
        """(R, V) bool: symbols that may come next, V = 2 + L + S. A row that has ended allows only EOS."""
        state = Registers(*self.registers.unbind(0))
        structure, ordered = self._rules()
        outside = state.phase == OUTSIDE
        words = allowed_words(self.rows, state, outside, structure, self.history, ordered)
        pointers = self.rows.by_position(words, state.phase)
        outside = outside.unsqueeze(1)
        labels = self._labels(state, structure, ordered)
        if self.constraint.all_pieces:
            inside_word = (state.piece < state.stop).unsqueeze(1)
            positions = torch.arange(pointers.shape[1], device=pointers.device)
            pointers = torch.where(inside_word, positions == (state.piece + 1).unsqueeze(1), pointers)
            outside, labels = outside & ~inside_word, labels & ~inside_word
        return torch.cat((torch.zeros_like(outside), outside, labels, pointers), 1)

    def advance(self, symbols: Tensor) -> ConstraintState:
        old = Registers(*self.registers.unbind(0))
        constraint = self.constraint
        is_pointer = symbols >= constraint.shift
        is_label = (symbols >= _FIRST_LABEL) ^ is_pointer
        # At this size every operation costs the same: masked_fill is one operation, torch.where with a scalar is two.
        new = {"room": (old.room - 1).masked_fill(symbols == EOS, 0)}
        is_word, chosen = is_pointer, self.rows.word_of(old.phase, symbols)
        if constraint.all_pieces:
            pointer = symbols - constraint.shift
            is_word = is_pointer & (old.piece >= old.stop)
            new["piece"] = torch.where(is_pointer, pointer, old.piece)
            new["stop"] = torch.where(is_word, self.rows.at("last_piece", chosen), old.stop)
        phase = old.phase.masked_fill(is_label, OUTSIDE).masked_fill(is_word, OPEN if constraint.pairs else CLOSED)
        new["phase"] = phase.masked_fill(is_word & (old.phase == OPEN), CLOSED) if constraint.pairs else phase
        new["word"] = torch.where(is_word, chosen, old.word)
        history = self._advance_order(old, new, symbols, is_word, is_label)
        return ConstraintState(constraint, self.rows, torch.stack(list(old._replace(**new))), history)

    def _rules(self) -> tuple[str, bool]:
        """Structure and order in force: flat entities need not be compared."""
        structure, ordered = self.constraint.structure, self.constraint.ordered
        if structure == "flat":
            return ("flat", False) if ordered else ("nested", False)
        return structure, ordered

    def _labels(self, state: Registers, structure: str, ordered: bool) -> Tensor:
        """(R, L) labels that may close the entity."""
        closed = state.phase == CLOSED
        if not ordered:
            return closed.unsqueeze(1).expand(-1, self.constraint.n_labels)
        # A free entity, or one that ends later than the previous: any label; same end: depends on the words; else none.
        above = state.label
        if structure == "discontinuous":
            above = above - state.lead * INFINITE
        above = above.masked_fill(state.word > state.end, 0)
        may_end = closed & (state.word >= state.end)
        return (self.rows.labels > above.unsqueeze(1)) & may_end.unsqueeze(1)

    def _advance_order(
        self, old: Registers, new: dict[str, Tensor], symbols: Tensor, is_word: Tensor, is_label: Tensor
    ) -> Tensor | None:
        """Set the registers that compare entities; return the history with the new words."""
        structure, ordered = self._rules()
        if structure == "flat":
            new["end"] = torch.where(is_label, old.word, old.end)
        if not ordered:
            return self.history
        chosen = new["word"]
        starts = is_word & (old.phase == OUTSIDE)
        freed = starts & (chosen != old.start)
        new["start"] = torch.where(starts, chosen, old.start)
        new["end"] = torch.where(is_label, old.word, old.end.masked_fill(freed, 0))
        new["label"] = torch.where(is_label, symbols, old.label)
        if self.history is None:
            return None
        column = torch.where(is_word, old.written, self.history.shape[1] - 1)
        history = self.history.scatter(1, column.unsqueeze(1), chosen.unsqueeze(1))
        other = self.history.gather(1, old.compared.unsqueeze(1)).squeeze(1)
        lead = torch.where(is_word & (old.lead == 0), (chosen - other).sign(), old.lead)
        new["lead"] = lead.masked_fill(is_label, 0)
        new["first"] = torch.where(starts, old.written, old.first)
        new["compared"] = torch.where(is_label, old.first, old.compared + is_word)
        new["written"] = old.written + is_word
        return history


@dataclass(frozen=True)
class AnyPiece:
    """Only the length limit, and no BOS, special pieces or padding.

    Any symbol may follow any other, so sequences may hold malformed entities. A row at its limit allows only EOS.
    """

    n_labels: int

    def start(
        self, first: Tensor, src_seq_len: Tensor, lead: int, tail: int, limits: Tensor, n_positions: int | None = None
    ) -> AnyPieceState:
        """As :meth:`PointerConstraint.start`."""
        check_limits(limits)
        width = SourceLayout(first, src_seq_len, lead, tail, n_positions).width
        positions = torch.arange(width, device=first.device)
        lens, on_host = src_seq_len.to(first.device, non_blocking=True), src_seq_len.cpu()
        pointers = (positions >= lead) & (positions < (lens - tail).unsqueeze(1))
        symbols = pointers.new_ones(limits.numel(), _FIRST_LABEL + self.n_labels)
        symbols[:, BOS] = False
        legal = torch.cat((symbols, pointers), 1)
        room = limits.to(first.device, non_blocking=True) - 1
        return AnyPieceState(legal, on_host + _FIRST_LABEL + self.n_labels, room)


@dataclass(frozen=True)
class AnyPieceState:
    """State of :class:`AnyPiece`, see :class:`~genner.model.generation.state.ConstraintLike`.

    Attributes:
        legal: (G, V) bool, symbols that a sentence can hold.
        n_symbols: (G,) 2 + L + source pieces; on the host.
        room: (R,) symbols left, EOS included.
    """

    legal: Tensor
    n_symbols: Tensor
    room: Tensor

    @property
    def n_rows(self) -> int:
        """K."""
        return len(self.room) // max(len(self.legal), 1)

    def expand_beams(self, n_beams: int) -> AnyPieceState:
        return AnyPieceState(self.legal, self.n_symbols, self.room.repeat_interleave(n_beams))

    def select(self, sentences: Tensor) -> AnyPieceState:
        room = self.room[self._on_device(rows_of(sentences, self.n_rows))]
        return self._narrow(self.legal[self._on_device(sentences)], self.n_symbols[sentences], room)

    def refill(self, slots: Tensor, other: AnyPieceState, incoming: slice) -> AnyPieceState:
        rows = self._on_device(rows_of(slots, self.n_rows))
        room = self.room.index_copy(0, rows, other.room[incoming].repeat_interleave(self.n_rows))
        n_symbols = self.n_symbols.index_copy(0, slots, other.n_symbols[incoming])
        legal = set_rows(self.legal, self._on_device(slots), other.legal[incoming], False)
        return self._narrow(legal, n_symbols, room)

    def reorder(self, parents: Tensor) -> AnyPieceState:
        return AnyPieceState(self.legal, self.n_symbols, self.room.view_as(parents).gather(1, parents).flatten())

    def unroll(self, drafts: Tensor) -> AnyPieceState:
        ended = (drafts == EOS).cumsum(1) > 0
        room = self.room.unsqueeze(1) - torch.arange(drafts.shape[1] + 1, device=drafts.device)
        room[:, 1:].masked_fill_(ended, 0)
        return AnyPieceState(self.legal, self.n_symbols, room.flatten())

    def accept(self, n_accepted: Tensor) -> AnyPieceState:
        room = self.room.view(len(n_accepted), -1).gather(1, n_accepted.unsqueeze(1))
        return AnyPieceState(self.legal, self.n_symbols, room[:, 0])

    def allowed(self) -> Tensor:
        is_eos = torch.arange(self.legal.shape[1], device=self.legal.device) == EOS
        legal = self.legal if self.n_rows == 1 else self.legal.repeat_interleave(self.n_rows, dim=0)
        return legal & ((self.room > 1).unsqueeze(1) | is_eos)

    def advance(self, symbols: Tensor) -> AnyPieceState:
        return AnyPieceState(self.legal, self.n_symbols, torch.where(symbols == EOS, 0, self.room - 1))

    def _on_device(self, numbers: Tensor) -> Tensor:
        return numbers.to(self.room.device, non_blocking=True)

    @staticmethod
    def _narrow(legal: Tensor, n_symbols: Tensor, room: Tensor) -> AnyPieceState:
        """Without the columns that only longer sentences need."""
        return AnyPieceState(legal[:, : int(n_symbols.max())] if len(n_symbols) else legal, n_symbols, room)
