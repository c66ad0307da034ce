"""brat's stand-off annotation: ``T1<tab>LABEL 3 9;15 20<tab>covered text``.

Offsets count characters, ends are exclusive, fragments are parted by ``;``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from genner.data.tally import Tally
from genner.data.text import Mention, best_reading
from genner.data.utf8 import read_raw
from genner.errors import DataFormatError

__all__ = ["brat_text", "read_terms"]

_TERM = re.compile(r"T\S*\t(?P<label>\S+) (?P<offsets>\d+ \d+(?: ?; ?\d+ \d+)*) *(?:\t(?P<text>.*))?")


def brat_text(raw: str, mentions: Sequence[Mention], tally: Tally) -> tuple[str, list[Mention]]:
    """The text as its annotations count it, and those of them that lie in it.

    Args:
        raw: the file's content with its line ends.
        mentions: as :func:`read_terms` gives them.
        tally: counts those that do not fit.
    """
    readings = [raw, raw.replace("\r\n", "\n")] if "\r" in raw else [raw]
    text = best_reading(readings, mentions, tally)
    inside = []
    for mention in mentions:
        if max(end for _, end in mention.fragments) > len(text):
            tally.add("annotation that ends after its text, dropped", mention.place)
        else:
            inside.append(mention)
    return text, inside


def read_terms(path: Path, labels: Collection[str], tally: Tally) -> Iterator[Mention]:
    """The text-bound annotations of an ``.ann`` file.

    Args:
        path: the file.
        labels: keep only these; none keeps all.
        tally: counts what else the file holds.

    Raises:
        DataFormatError: the file cannot be read, or a line is no annotation.
    """
    for number, line in enumerate(read_raw(path).replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        if not line.startswith("T"):
            what = "note" if line.startswith("#") else "relation, event or attribute"
            tally.add(f"{what}, no entity, left out", place)
            continue
        match = _TERM.fullmatch(line)
        if match is None:
            raise DataFormatError(
                f"{path}:{number}: {line[:60]!r}. Expected 'T1<tab>LABEL start end[;start end...]<tab>text' with "
                "character offsets. Fix the line."
            )
        if labels and match["label"] not in labels:
            tally.add(f"annotation of type {match['label']}, left out", place)
            continue
        pairs = [pair.split() for pair in match["offsets"].split(";")]
        fragments = tuple((int(start), int(end)) for start, end in pairs)
        if any(end <= start for start, end in fragments):
            tally.add("annotation with a fragment that ends before it starts, dropped", place)
            continue
        yield Mention(match["label"], fragments, place, match["text"] or "")
