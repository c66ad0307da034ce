"""brat's ``.ann`` files: the text-bound annotations become mentions, all else is counted by kind."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from genner.data.offsets import EMPTY, Mention
from genner.data.tally import Tally
from genner.data.utf8 import read_raw
from genner.errors import DataFormatError

__all__ = ["read_terms"]

# ``T1<tab>LABEL 3 9;15 20<tab>covered text``: ends exclusive, fragments parted by ``;``.
_TERM = re.compile(r"T\S*\t(?P<label>\S+) (?P<offsets>\d+ \d+(?: ?; ?\d+ \d+)*) *(?:\t(?P<text>.*))?", re.DOTALL)
_TERM_ID, _ANY_TERM = re.compile(r"T\d+\s"), re.compile(r"T\S*\t")
_OTHER = re.compile(r"(?:(?P<kind>[REAMN])\d+|(?P<sign>[#*])\S*)\t")
_KINDS = {
    "R": "relation", "E": "event", "A": "attribute", "M": "attribute", "N": "normalisation", "#": "note",
    "*": "relation of equivalence",
}  # fmt: skip


def read_terms(path: Path, labels: Collection[str], tally: Tally) -> Iterator[Mention]:
    """The text-bound annotations of a brat ``.ann`` file, with the offsets that stand there.

    A covered text that is broken over lines goes on in the lines behind its annotation.

    Args:
        path: the file.
        labels: keep only these; none keeps all.
        tally: counts what else the file holds.

    Raises:
        DataFormatError: the file cannot be read, or an annotation is malformed.
    """
    for number, line in _annotations(path, tally):
        place = f"{path.name}:{number}"
        match = _TERM.fullmatch(line.rstrip("\r"))
        if match is None:
            raise DataFormatError(
                f"{path}:{number}: {line[:60]!r}. Expected 'T1<tab>LABEL start end[;start end...]<tab>text', the "
                "offsets in numbers. Fix the line."
            )
        if labels and match["label"] not in labels:
            tally.add(f"annotation of type {match['label']}, left out", place)
            continue
        fragments = _fragments(match["offsets"])
        if any(end <= start for start, end in fragments):
            tally.add(EMPTY, place)
            continue
        yield Mention(match["label"], fragments, place, match["text"] or "")


def _annotations(path: Path, tally: Tally) -> Iterator[tuple[int, str]]:
    """Number and text of every text-bound annotation, broken ones put together."""
    open_term: tuple[int, str] | None = None
    raw = read_raw(path)
    end = "\n" if "\n" in raw else "\r"  # not both: covered texts have line ends of their own
    for number, line in enumerate(raw.split(end), 1):
        other = _OTHER.match(line)
        if open_term and not (_TERM_ID.match(line) or other) and _lacks_text(open_term[1]):
            open_term = (open_term[0], f"{open_term[1]}\n{line}")
            continue
        if not line.strip():
            continue
        if open_term:
            yield open_term
        open_term = (number, line) if _TERM_ID.match(line) or _ANY_TERM.match(line) else None
        if other:
            tally.add(f"{_KINDS[other['kind'] or other['sign']]}, no entity, left out", f"{path.name}:{number}")
        elif open_term is None:
            tally.add("line that is no annotation, left out", f"{path.name}:{number}")
    if open_term:
        yield open_term


def _lacks_text(term: str) -> bool:
    """Whether the covered text of an annotation is shorter than its offsets say: it goes on in the next line."""
    match = _TERM.fullmatch(term)
    if match is None or not match["text"]:
        return False
    return len(match["text"]) < sum(end - start for start, end in _fragments(match["offsets"]))


def _fragments(offsets: str) -> tuple[tuple[int, int], ...]:
    pairs = (pair.split() for pair in offsets.split(";"))
    return tuple((int(start), int(end)) for start, end in pairs)
