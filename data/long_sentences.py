"""Splitting of sentences that are too long for the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from genner.data.schema import Entity

__all__ = ["Limits", "cut_sentence"]


@dataclass(frozen=True)
class Limits:
    """Length limits of a sentence; None: no limit.

    Attributes:
        pieces: source pieces, special pieces included.
        symbols: decoder inputs: the target with BOS and without EOS.
    """

    pieces: int | None = None
    symbols: int | None = None

    def hold(self, n_pieces: int, n_symbols: int) -> bool:
        """Whether a source of ``n_pieces`` and a decoder input of ``n_symbols`` fit."""
        fits = self.pieces is None or n_pieces <= self.pieces
        return fits and (self.symbols is None or n_symbols <= self.symbols)

    def less(self, n_pieces: int, n_symbols: int) -> Limits:
        """The limits that remain after this many pieces and symbols."""
        pieces = None if self.pieces is None else self.pieces - n_pieces
        return Limits(pieces, None if self.symbols is None else self.symbols - n_symbols)

    def __str__(self) -> str:
        stated = {"pieces": self.pieces, "decoder inputs": self.symbols}
        return " and ".join(f"{limit:,} {name}" for name, limit in stated.items() if limit is not None) or "any number"


def cut_sentence(
    bounds: Sequence[int], entities: Sequence[Entity], sizes: Sequence[int], limits: Limits
) -> list[tuple[int, int]] | None:
    """Split a sentence of W words without cutting an entity, each part as long as the limits allow.

    Args:
        bounds: (W + 1,) piece bounds of the words, see :class:`genner.data.alignment.WordAlignment`.
        entities: a cut never falls between the first and the last word of one of them, gaps included.
        sizes: symbols of each entity in the target.
        limits: of a part, *without* special pieces and BOS.

    Returns:
        The word ranges of the parts, or None if some stretch without a legal cut is too long.

    >>> cut_sentence([1, 3, 4, 6], [Entity.from_flat("X", [1, 3])], [2], Limits(pieces=4))
    [(0, 1), (1, 3)]
    """
    n_words = len(bounds) - 1
    spanned = [0] * (n_words + 2)  # spanned[w]: entities that a cut before word w would break, as differences
    written = [0] * (n_words + 1)
    for entity, size in zip(entities, sizes, strict=True):
        spanned[entity.start + 1] += 1
        spanned[entity.end] -= 1
        written[entity.end] += size
    cuts = [word for word, broken in enumerate(accumulate(spanned[: n_words + 1])) if not broken and word]
    symbols = list(accumulate(written))
    parts: list[tuple[int, int]] = []
    start, latest = 0, 0
    for cut in cuts:
        if not limits.hold(bounds[cut] - bounds[start], symbols[cut] - symbols[start]):
            if latest == start:
                return None
            parts.append((start, latest))
            start = latest
            if not limits.hold(bounds[cut] - bounds[start], symbols[cut] - symbols[start]):
                return None
        latest = cut
    parts.append((start, n_words))
    return parts
