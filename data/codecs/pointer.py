"""Entities <-> pointer symbols: four target types, and a decoder that counts what it cannot read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from operator import lt
from typing import Literal, NamedTuple
from zlib import crc32

from genner.data.schema import Entity, Segment
from genner.errors import ConfigError, DataFormatError

__all__ = ["BOS", "EOS", "Decoded", "PointerCodec", "PointerVocab", "Reject", "Target"]

Unit = Literal["word", "span", "bpe", "span_bpe"]
Order = Literal["position", "shuffled"]
BOS = 0
EOS = 1
_FIRST_LABEL = 2
#: Part of cache names: increase it whenever the target of the same input changes.
CODEC_VERSION = 2


@dataclass(frozen=True)
class PointerVocab:
    """Symbols of a label set: 0 BOS, 1 EOS, then the labels in order, then one pointer per source piece position.

    Yan et al. (2021), section 3.1, https://arxiv.org/abs/2106.01223

    >>> vocab = PointerVocab(("LOC", "PER"))
    >>> vocab.shift, vocab.label_id("PER"), vocab.label_of(2)
    (4, 3, 'LOC')
    """

    labels: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "_ids", {tag: _FIRST_LABEL + idx for idx, tag in enumerate(self.labels)})
        if len(self._ids) != len(self.labels):
            raise ConfigError(f"labels: a tag twice in {list(self.labels)}. Expected every tag once. Remove one.")

    @property
    def shift(self) -> int:
        """The pointer to source position 0, which is the leading special piece if there is one."""
        return _FIRST_LABEL + len(self.labels)

    def label_id(self, tag: str) -> int:
        """Symbol of a label; raises :class:`DataFormatError` naming the known labels."""
        try:
            return self._ids[tag]
        except KeyError:
            raise DataFormatError(
                f"label {tag!r}: not in the label set. Expected one of {list(self.labels)}. "
                "Collect the labels over all splits, or correct the tag."
            ) from None

    def label_of(self, symbol: int) -> str:
        """Label of a label symbol."""
        return self.labels[symbol - _FIRST_LABEL]


class Reject(NamedTuple):
    """A group of symbols that is not an entity; ``key``, its symbols, identifies repetitions.

    Reasons: ``empty`` a label without pointers; ``order`` pointers in an illegal order or an odd number of ends;
    ``open`` pointers without a label at the end (the reference's counting forgives these three); ``unaligned`` a
    pointer to a piece that the unit does not allow, an incomplete word, segments that touch or overlap; ``bos`` BOS
    instead of a label.
    """

    reason: str
    key: tuple[int, ...]


@dataclass(slots=True)
class Target:
    """The target of a sentence: ``symbols`` from BOS to EOS, and ``groups``, those of each entity."""

    symbols: list[int]
    groups: list[list[int]]


@dataclass(slots=True)
class Decoded:
    """Contents of a symbol sequence.

    Attributes:
        entities: in written order, repetitions included.
        symbol_spans: for each entity the half-open range of its symbols in the sequence, label included.
        rejected: the groups that are not entities, in written order.
        closed: whether there was an EOS.
        repeated, dropped: only of :meth:`PointerCodec.settle`, which keeps every entity once and rejects nothing: how
            many groups wrote an entity again, and how many were no entity, by reason.
    """

    entities: list[Entity] = field(default_factory=list)
    symbol_spans: list[tuple[int, int]] = field(default_factory=list)
    rejected: list[Reject] = field(default_factory=list)
    closed: bool = False
    repeated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class PointerCodec:
    """Writes entities as pointer symbols and reads them back.

    Yan et al. (2021), section 3.1 and figure 2, https://arxiv.org/abs/2106.01223

    Units: ``word`` first piece of every word of every segment; ``span`` first piece of the first and last piece of the
    last word of every segment; ``bpe`` all pieces; ``span_bpe`` all pieces of the first and of the last word of every
    segment. ``bounds`` of a sentence of W words has W + 1 entries: word w has the pieces
    ``bounds[w] .. bounds[w + 1] - 1``, counted from the leading special piece.

    Args:
        vocab: labels and their symbols.
        unit: the target type, see above.
        compat: the reference's targets (order and duplicates as given) and decoding: without EOS the last symbol is
            lost, and entities may have segments that touch or overlap.
        order: ``position``, the canonical order, or ``shuffled``, a pseudo-random but fixed order for ablations (not in
            compat mode, which keeps the order of the file).

    >>> codec = PointerCodec(PointerVocab(("LOC",)), "word")
    >>> target = codec.encode([Entity.from_flat("LOC", [0, 1, 2, 3])], bounds=[1, 3, 4, 6])
    >>> target.symbols, codec.decode(target.symbols, [1, 3, 4, 6]).entities[0].flat
    ([0, 4, 7, 2, 1], [0, 1, 2, 3])
    """

    def __init__(self, vocab: PointerVocab, unit: Unit, *, compat: bool = False, order: Order = "position") -> None:
        writers = {"word": _write_words, "span": _write_ends, "bpe": _write_pieces, "span_bpe": _write_end_pieces}
        if unit not in writers:
            raise ConfigError(f"pointer.unit: {unit!r}. Expected one of {list(writers)}. Choose one.")
        self.vocab = vocab
        self.unit = unit
        self.compat = compat
        self.order = order
        self._write: Callable[[Entity, Sequence[int]], Iterable[int]] = writers[unit]

    def encode(self, entities: Sequence[Entity], bounds: Sequence[int]) -> Target:
        """Target of a sentence. Default: canonical order, every entity once; compat: as given.

        The canonical order is by first start, then by last end (the reference's two keys), then by the symbols
        themselves: a strict order that the constraint of the search can follow symbol by symbol.

        Raises :class:`DataFormatError` for a label that is not in the vocabulary.
        """
        if not entities:
            return Target([BOS, EOS], [])
        shift, label_id, write = self.vocab.shift, self.vocab.label_id, self._write
        if not self.compat and len(entities) > 1:
            entities = list(dict.fromkeys(entities))
        groups = [[*(shift + piece for piece in write(e, bounds)), label_id(e.label)] for e in entities]
        if not self.compat and len(groups) > 1:
            keys = [(e.start, e.end, group) for e, group in zip(entities, groups, strict=True)]
            if self.order == "shuffled":
                keys = [(crc32(repr(group).encode()), 0, group) for group in groups]
            groups = [group for _, _, group in sorted(keys)]
        return Target([BOS, *chain.from_iterable(groups), EOS], groups)

    def decode(self, symbols: Sequence[int], bounds: Sequence[int]) -> Decoded:
        """Decode a sequence that starts with BOS; everything after the first EOS is ignored."""
        assert not symbols or symbols[0] == BOS, f"internal error: {symbols[0]} instead of BOS at the beginning"
        symbols = list(symbols)
        decoded = Decoded(closed=EOS in symbols)
        lost = 1 if self.compat and not decoded.closed else 0
        end = symbols.index(EOS) if decoded.closed else len(symbols) - lost
        if end <= 1:
            return decoded
        words = _WordStarts(bounds)
        shift, start = self.vocab.shift, 1
        for idx in range(1, end):
            if symbols[idx] < shift:
                self._close(symbols[start : idx + 1], (start, idx + 1), words, decoded)
                start = idx + 1
        if start < end:
            decoded.rejected.append(Reject("open", tuple(symbols[start:end])))
        return decoded

    def settle(self, symbols: Sequence[int], bounds: Sequence[int], structure: str) -> Decoded:
        """Decode a sequence of a search that knows the structure of entities.

        Besides the reasons of :class:`Reject`, groups are dropped for a ``gap`` in an entity, where the structure has
        none, and in ``flat`` structures for an ``overlap`` with an entity that was written before.
        """
        decoded = self.decode(symbols, bounds)
        dropped = Counter(reject.reason for reject in decoded.rejected)
        settled = Decoded(closed=decoded.closed, dropped=dropped)
        known: set[Entity] = set()
        taken: set[int] = set()
        for entity, span in zip(decoded.entities, decoded.symbol_spans, strict=True):
            if entity in known:
                settled.repeated += 1
            elif structure != "discontinuous" and entity.is_discontinuous:
                settled.dropped["gap"] += 1
            elif structure == "flat" and not taken.isdisjoint(range(entity.start, entity.end)):
                settled.dropped["overlap"] += 1
            else:
                known.add(entity)
                taken.update(range(entity.start, entity.end))
                settled.entities.append(entity)
                settled.symbol_spans.append(span)
        return settled

    def _close(self, group: list[int], span: tuple[int, int], words: _WordStarts, decoded: Decoded) -> None:
        """Check a group of pointers and the symbol that closes it."""
        shift = self.vocab.shift
        reason, segments = self._judge([symbol - shift for symbol in group[:-1]], words)
        if reason in (None, "unaligned") and group[-1] == BOS:
            reason = "bos"
        if reason is None:
            decoded.entities.append(Entity(self.vocab.label_of(group[-1]), segments))
            decoded.symbol_spans.append(span)
        else:
            decoded.rejected.append(Reject(reason, tuple(group)))

    def _judge(self, pointers: list[int], words: _WordStarts) -> tuple[str | None, tuple[Segment, ...]]:
        """The reason why the pointers are not an entity, or None and the segments."""
        if not pointers:
            return "empty", ()
        if self.unit in ("word", "bpe"):
            ordered = all(map(lt, pointers, pointers[1:]))
        elif self.unit == "span":
            ordered = len(pointers) % 2 == 0 and pointers == sorted(pointers)
        else:
            ordered = True  # depends on the words, below
        if not ordered:
            return "order", ()
        segments = self._segments(pointers, words)
        if segments is None:
            return "unaligned", ()
        if self.unit == "span_bpe" and not _non_decreasing(segments):
            return "order", ()
        apart = len(segments) == 1 or all(left.end < right.start for left, right in pairwise(segments))
        if not self.compat and not apart:
            return "unaligned", ()
        return None, segments

    def _segments(self, pointers: list[int], words: _WordStarts) -> tuple[Segment, ...] | None:
        """Segments as written; None if the unit does not allow a pointer to some piece.

        An odd last word of ``span_bpe`` becomes a segment that ends before it starts.
        """
        if self.unit == "span":
            starts = list(map(words.starting_at, pointers[::2]))
            ends = list(map(words.ending_at, pointers[1::2]))
            if None in starts or None in ends or len(starts) != len(ends):
                return None
            return tuple(Segment(first, last + 1) for first, last in zip(starts, ends, strict=True))
        one_each = self.unit == "word"
        indices = list(map(words.starting_at, pointers)) if one_each else words.complete(pointers)
        if not indices or None in indices:
            return None
        if self.unit == "span_bpe":
            indices += [-1] * (len(indices) % 2)
            return tuple(Segment(first, last + 1) for first, last in zip(indices[::2], indices[1::2], strict=True))
        return _runs(indices)


class _WordStarts:
    """Looks up words by their first or last piece. Words without pieces (compat only) are never found."""

    __slots__ = ("_bounds", "_n_words")

    def __init__(self, bounds: Sequence[int]) -> None:
        self._bounds = bounds
        self._n_words = len(bounds) - 1

    def starting_at(self, piece: int) -> int | None:
        # Of several words that start at the same piece only the last has pieces: the one left of the insertion point.
        word = bisect_right(self._bounds, piece, 0, self._n_words) - 1
        return word if word >= 0 and self._bounds[word] == piece else None

    def ending_at(self, piece: int) -> int | None:
        # The first bound after the piece is the end of the word before it.
        bound = bisect_left(self._bounds, piece + 1)
        return bound - 1 if 0 < bound <= self._n_words and self._bounds[bound] == piece + 1 else None

    def complete(self, pieces: list[int]) -> list[int] | None:
        """The words that consist of exactly these pieces, in order; None if there are none."""
        found, done = [], 0
        while done < len(pieces):
            word = self.starting_at(pieces[done])
            if word is None:
                return None
            length = max(self._bounds[word + 1] - self._bounds[word], 1)
            if pieces[done : done + length] != list(range(pieces[done], pieces[done] + length)):
                return None
            found.append(word)
            done += length
        return found


def _runs(indices: list[int]) -> tuple[Segment, ...]:
    """Join consecutive words into segments.

    >>> _runs([2, 3, 6])
    (Segment(start=2, end=4), Segment(start=6, end=7))
    """
    first = last = indices[0]
    runs: list[Segment] = []
    for index in indices[1:]:
        if index != last + 1:
            runs.append(Segment(first, last + 1))
            first = index
        last = index
    runs.append(Segment(first, last + 1))
    return tuple(runs)


def _non_decreasing(segments: tuple[Segment, ...]) -> bool:
    ends = [word for start, end in segments for word in (start, end - 1)]
    return all(left <= right for left, right in pairwise(ends))


def _write_words(entity: Entity, bounds: Sequence[int]) -> Iterable[int]:
    return [piece for start, end in entity.segments for piece in bounds[start:end]]


def _write_ends(entity: Entity, bounds: Sequence[int]) -> Iterable[int]:
    return [piece for start, end in entity.segments for piece in (bounds[start], bounds[end] - 1)]


def _write_pieces(entity: Entity, bounds: Sequence[int]) -> Iterable[int]:
    return [piece for start, end in entity.segments for piece in range(bounds[start], bounds[end])]


def _write_end_pieces(entity: Entity, bounds: Sequence[int]) -> Iterable[int]:
    written: list[int] = []
    for start, end in entity.segments:
        written += range(bounds[start], bounds[start + 1])
        written += range(bounds[end - 1], bounds[end])
    return written
