"""Whether the offsets of a source can be believed; a source that contradicts itself is refused."""

from __future__ import annotations

from collections.abc import Sequence

from genner.data.offsets import DROPPED, Mention, Reading, count_cuts, find_reading
from genner.data.prepare.request import Request
from genner.data.tally import Tally
from genner.errors import DataFormatError

__all__ = ["OFFSETS", "reading_of", "refuse_misplaced"]

#: Option -> what offsets count.
OFFSETS = {"characters": Reading(), "utf-16": Reading("UTF-16 units"), "utf-8": Reading("UTF-8 bytes")}

_MOST, _FEW = 0.5, 0.1  # shares of annotations


def reading_of(documents: Sequence[tuple[str, Sequence[Mention]]], request: Request, where: str) -> Reading | None:
    """How a source counts: as the user says, as most covered texts show, or as words are not cut; None: not known.

    Args:
        documents: texts with their annotations.
        request: may say how.
        where: the source, for messages.

    Raises:
        DataFormatError: no covered text shows it, and most annotations cut words unless they count another unit.
    """
    reading = request.offsets or find_reading(documents)
    if reading is not None:
        return reading
    for option in ("utf-16", "utf-8"):
        counts = [count_cuts(text, mentions, OFFSETS[option]) for text, mentions in documents if not text.isascii()]
        n_moved, n_plain, n_other = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
        if n_moved and n_plain >= _MOST * n_moved and n_other <= _FEW * n_moved:
            raise DataFormatError(
                f"{where}: offsets seem to count {OFFSETS[option].unit}: {n_plain} of {n_moved} annotations behind "
                f"special signs begin or end inside words if they count characters, {n_other or 'none'} otherwise. "
                f"Expected to know, as no covered text shows it. Set --offsets {option}, or --offsets characters."
            )
        if option == "utf-16" and n_moved and n_other >= _MOST * n_moved and n_plain <= _FEW * n_moved:
            return OFFSETS["characters"]
    return None


def refuse_misplaced(n_mentions: int, tally: Tally, where: str, cure: str = "Check") -> None:
    """Refuse a source of which most annotations cover nothing at their offsets, or another text than they state.

    Args:
        n_mentions: how many annotations it has.
        tally: counts those that were dropped.
        where: the source, for the message.
        cure: begins the last sentence of the message.

    Raises:
        DataFormatError: it is one.
    """
    lost = Tally()
    for reason in DROPPED:
        if count := tally.counts[reason]:
            lost.add(reason, ", ".join(tally.places[reason]), count)
    if lost.counts.total() > n_mentions / 2:
        raise DataFormatError(
            f"{where}: most of the {n_mentions} annotations do not fit their texts: {'; '.join(lost.lines())}. "
            f"Expected offsets in characters, UTF-16 units or UTF-8 bytes, ends exclusive. {cure} that texts and "
            "annotations are of the same version."
        )
