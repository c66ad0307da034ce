"""Constraints of the search: which symbols may come next, for all rows of a batch at once.

A constraint is started once per batch; its state is a :class:`genner.model.generation.state.ConstraintLike`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from genner.errors import ConfigError
from genner.model.generation.config import STRUCTURES, UNITS
from genner.model.generation.state import rows_of
from genner.model.generation.tables import INFINITE, SourceLayout, build_tables, set_rows
from genner.model.generation.words import CLOSED, GONE, OPEN, OUTSIDE, Registers, RowTables, allowed_words

__all__ = ["BOS", "EOS", "MOST_REPEATS", "AnyPiece", "ConstraintState", "PointerConstraint"]

BOS = 0
EOS = 1
MOST_REPEATS = 3
"""So many groups that were all written before, one after another, end a sequence."""

_FIRST_LABEL = 2
_TRACE_BASE = 1_000_003  # a group is remembered as a polynomial of its symbols, modulo 2 ** 64


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
    * ``structure``: ``flat`` entities have one segment and share no word with another; ``nested`` ones have one
      segment; ``discontinuous`` ones have any number;
    * entities come in any order. One may be written again, as no model is hurt by that, but after
      :data:`MOST_REPEATS` repetitions in a row the sequence ends: no loop lasts.

    The search may also give up on a group: it writes a symbol that is not allowed, and from then on whatever the
    sentence has symbols for, until a label ends the group. :meth:`PointerCodec.settle` finds that it is no entity.
    """

    unit: str
    n_labels: int
    structure: str = "discontinuous"

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
        # A group takes two symbols at least, but for labels alone; one column more absorbs what is no group.
        width = int(limits.max()) + 1 if limits.numel() else 1
        traces = registers.new_zeros(limits.numel(), width)
        taken = registers.new_zeros(limits.numel(), tables.values.shape[2]) if self.structure == "flat" else None
        return ConstraintState(self, rows, registers, traces, taken)


    def along(self, first: Tensor, src_seq_len: Tensor, lead: int, tail: int, symbols: Tensor, width: int) -> Tensor:
        """What may come at every place of given sequences, without a limit on their length.

        Args:
            first: as for :meth:`start`; src_seq_len, lead, tail: likewise.
            symbols: (B, T) sequences, BOS first; behind the first symbol that is not allowed anything may be found.
            width: S, the pointer columns.

        Returns:
            (B, T - 1, 2 + L + S) bool, for the places after BOS.
        """
        limits = torch.full((len(symbols),), symbols.shape[1] + 1)
        state = self.start(first, src_seq_len, lead, tail, limits, width)
        state.registers[Registers._fields.index("room")] = INFINITE
        return state.unroll(symbols[:, 1:-1]).allowed().view(*symbols[:, 1:].shape, -1)


class ConstraintState:
    """State of :class:`PointerConstraint`.

    The methods are those of :class:`~genner.model.generation.state.ConstraintLike`.

    Attributes:
        registers: (11, R), see :class:`~genner.model.generation.words.Registers`.
        traces: (R, M) of the groups so far, in order.
        taken: flat: (R, N) words of entities, see :meth:`~genner.model.generation.words.RowTables.take`.
    """

    guides = True

    def __init__(
        self, constraint: PointerConstraint, rows: RowTables, registers: Tensor, traces: Tensor, taken: Tensor | None
    ) -> None:
        self.constraint = constraint
        self.rows = rows
        self.registers = registers
        self.traces = traces
        self.taken = taken

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
        self.traces = _widened(self.traces, other.traces.shape[1]).index_fill_(0, rows, 0)
        self.rows = self.rows.refill(slots, other.rows, incoming)
        if self.taken is not None:
            self.taken = _widened(self.taken, self.rows.tables.values.shape[2]).index_fill_(0, rows, 0)
        return self

    def unroll(self, drafts: Tensor) -> ConstraintState:
        n_rows = drafts.shape[1] + 1
        states = [self]
        for symbols in drafts.unbind(1):
            states.append(states[-1].advance(symbols))
        registers = torch.stack([state.registers for state in states], 2).flatten(1)
        traces = torch.stack([state.traces for state in states], 1).flatten(0, 1)
        taken = None if self.taken is None else torch.stack([state.taken for state in states], 1).flatten(0, 1)
        rows = self.rows.with_tables(self.rows.tables, n_rows)
        return ConstraintState(self.constraint, rows, registers, traces, taken)

    def accept(self, n_accepted: Tensor) -> ConstraintState:
        chosen = torch.arange(len(n_accepted), device=n_accepted.device) * self.rows.n_rows + n_accepted
        return self._gather(chosen, self.rows.with_tables(self.rows.tables, 1))

    def _on_device(self, numbers: Tensor) -> Tensor:
        return numbers.to(self.registers.device, non_blocking=True)

    def _gather(self, chosen: Tensor, rows: RowTables) -> ConstraintState:
        """The present rows ``chosen``, (R',), with their tables ``rows``."""
        traces = self.traces.index_select(0, chosen)
        taken = None if self.taken is None else self.taken.index_select(0, chosen)
        return ConstraintState(self.constraint, rows, self.registers.index_select(1, chosen), traces, taken)

    def allowed(self) -> Tensor:
        """(R, V) bool: symbols that may come next, V = 2 + L + S. A row that has ended allows only EOS."""
        state = Registers(*self.registers.unbind(0))
        taken = None if self.taken is None else self.taken[:, : self.rows.width]
        words = allowed_words(self.rows, state, self.constraint.structure, taken)
        pointers = self.rows.by_position(words, state.phase)
        may_end, closed = (state.phase == OUTSIDE).unsqueeze(1), (state.phase == CLOSED).unsqueeze(1)
        if taken is None:
            labels = closed.expand(-1, self.constraint.n_labels)
        else:
            goal_label = state.goal_label.unsqueeze(1)
            is_same = (self.rows.labels == goal_label) & (state.word == state.goal).unsqueeze(1)
            labels = torch.where(goal_label > 0, is_same, True) & closed
        if self.constraint.all_pieces:
            inside_word = (state.piece < state.stop).unsqueeze(1)
            positions = torch.arange(pointers.shape[1], device=pointers.device)
            pointers = torch.where(inside_word, positions == (state.piece + 1).unsqueeze(1), pointers)
            may_end, labels = may_end & ~inside_word, labels & ~inside_word
        legal = torch.cat((torch.zeros_like(may_end), may_end, labels, pointers), 1)
        return torch.where((state.phase == GONE).unsqueeze(1), self.possible(), legal)

    def possible(self) -> Tensor:
        """(R, V) bool: what a row may write that gives up on its group; only EOS where the sequence must end."""
        room = self.registers[Registers._fields.index("room")].unsqueeze(1)
        symbols = torch.arange(self.constraint.shift + self.rows.tables.n_positions, device=room.device)
        return (self.rows.table("possible", len(symbols)) > 0) & (room > 1) | (symbols == EOS)

    def repeats(self) -> Tensor:
        return self.registers[Registers._fields.index("again")] > 0

    def advance(self, symbols: Tensor, gave_up: Tensor | None = None) -> ConstraintState:
        old = Registers(*self.registers.unbind(0))
        constraint = self.constraint
        is_pointer = symbols >= constraint.shift
        is_label = (symbols >= _FIRST_LABEL) ^ is_pointer
        # At this size every operation costs the same: masked_fill is one operation, torch.where with a scalar is two.
        is_gone = old.phase == GONE if gave_up is None else gave_up | (old.phase == GONE)
        new = {"room": (old.room - 1).masked_fill(symbols == EOS, 0)}
        is_word, chosen = is_pointer, self.rows.word_of(old.phase, symbols)
        if constraint.all_pieces:
            pointer = symbols - constraint.shift
            is_word = is_pointer & (old.piece >= old.stop)
            new["piece"] = torch.where(is_pointer, pointer, old.piece)
            stop = torch.where(is_word, self.rows.at("last_piece", chosen), old.stop)
            new["stop"] = stop.masked_fill(is_gone, 0)
        phase = old.phase.masked_fill(is_word, OPEN if constraint.pairs else CLOSED)
        phase = phase.masked_fill(is_word & (old.phase == OPEN), CLOSED) if constraint.pairs else phase
        new["phase"] = phase.masked_fill(is_gone, GONE).masked_fill(is_label, OUTSIDE)
        new["word"] = torch.where(is_word, chosen, old.word)
        traces = self._remember(old, new, symbols, is_label)
        taken = self._advance_flat(old, new, symbols, is_word, is_label & ~is_gone)
        return ConstraintState(constraint, self.rows, torch.stack(list(old._replace(**new))), traces, taken)

    def _remember(self, old: Registers, new: dict[str, Tensor], symbols: Tensor, is_label: Tensor) -> Tensor:
        """Count groups that repeat an earlier one, and end a sequence of many; return the traces with the new ones."""
        trace = old.trace * _TRACE_BASE + symbols
        is_again = (self.traces == trace.unsqueeze(1)).any(1) & is_label
        again = (old.again + is_again).masked_fill(is_label & ~is_again, 0)
        new["again"] = again
        new["room"] = torch.where(again >= MOST_REPEATS, new["room"].clamp(max=1), new["room"])
        new["trace"] = trace.masked_fill(is_label, 0)
        new["groups"] = old.groups + is_label
        column = old.groups.masked_fill(~is_label, self.traces.shape[1] - 1).unsqueeze(1)
        return self.traces.scatter(1, column, trace.masked_fill(~is_label, 0).unsqueeze(1))

    def _advance_flat(
        self, old: Registers, new: dict[str, Tensor], symbols: Tensor, is_word: Tensor, closes: Tensor
    ) -> Tensor | None:
        """Set the registers of flat entities; return their words with those of an entity that ``closes``."""
        if self.taken is None:
            return None
        starts = is_word & (old.phase == OUTSIDE)
        new["start"] = torch.where(starts, new["word"], old.start)
        code = self.taken.gather(1, new["word"].unsqueeze(1)).squeeze(1).clamp(min=0)
        new["goal"] = torch.where(starts, code // self.rows.code_base, old.goal)
        new["goal_label"] = torch.where(starts, code % self.rows.code_base, old.goal_label)
        return self.rows.take(old, self.taken, symbols, closes)


def _widened(table: Tensor, width: int) -> Tensor:
    """With ``width`` columns at least, new ones 0; in place if it is wide enough."""
    return table if table.shape[1] >= width else pad(table, (0, width - table.shape[1]))


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

    guides: ClassVar = False

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

    def possible(self) -> Tensor:
        return self.allowed()

    def repeats(self) -> Tensor:
        return torch.zeros_like(self.room, dtype=torch.bool)

    def advance(self, symbols: Tensor, gave_up: Tensor | None = None) -> AnyPieceState:
        return AnyPieceState(self.legal, self.n_symbols, torch.where(symbols == EOS, 0, self.room - 1))

    def _on_device(self, numbers: Tensor) -> Tensor:
        return numbers.to(self.room.device, non_blocking=True)

    @staticmethod
    def _narrow(legal: Tensor, n_symbols: Tensor, room: Tensor) -> AnyPieceState:
        """Without the columns that only longer sentences need."""
        return AnyPieceState(legal[:, : int(n_symbols.max())] if len(n_symbols) else legal, n_symbols, room)
