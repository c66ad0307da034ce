"""Shared by all sources: the request, the tally of changes, reading a raw file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from genner.data.loaders import LoadReport
from genner.errors import DataFormatError

__all__ = ["SPLITS", "HubColumns", "Request", "Tally", "progress", "read_raw"]

SPLITS = ("train", "dev", "test")
N_PLACES = 5  # places named per reason

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class HubColumns:
    """The columns of a Hugging Face dataset.

    Args:
        config: the dataset's configuration, if it has several.
        words: column of words.
        tags: column of BIO tags of these words.
        text: column of raw text, instead of words.
        spans: column of spans, instead of tags: of words if there are words, of characters if there is text.
        inclusive: whether the ends of spans are inclusive.
        splits: our split -> the dataset's.
    """

    config: str | None = None
    words: str | None = None
    tags: str | None = None
    text: str | None = None
    spans: str | None = None
    inclusive: bool = False
    splits: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What to prepare.

    Args:
        raw: the distributor's folder; for a Hugging Face dataset also its name.
        splits: file or folder with the documents of every split.
        labels: keep only these; None: the source's default; an empty tuple: all.
        across: ``drop`` annotations that cross a sentence boundary, or ``join`` the sentences.
        lines: every line end of a raw text ends a sentence; None: the source's default.
        new_testament: OntoNotes: keep the pivot text.
        hub: columns of a Hugging Face dataset.
    """

    raw: Path
    splits: Path | None = None
    labels: tuple[str, ...] | None = None
    across: str = "drop"
    lines: bool | None = None
    new_testament: bool = False
    hub: HubColumns = HubColumns()


class Tally:
    """Changes, repairs and losses, counted by reason, with the first places of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.places: dict[str, list[str]] = {}

    def add(self, reason: str, place: str, count: int = 1) -> None:
        """Count ``reason``; ``place`` is a file and a position in it."""
        self.counts[reason] += count
        places = self.places.setdefault(reason, [])
        if len(places) < N_PLACES and place not in places:
            places.append(place)

    def add_report(self, report: LoadReport) -> None:
        """Add a loader's counts."""
        for reason, count in report.counts.items():
            self.add(reason, report.places[reason][0], count)
            for place in report.places[reason][1:]:
                self.add(reason, place, 0)

    def lines(self) -> list[str]:
        """One line of text per reason, the most frequent first."""
        texts = []
        for reason, count in self.counts.most_common():
            places = self.places[reason]
            more = ", ..." if len(places) == N_PLACES < count else ""
            texts.append(f"{count:,} x {reason} ({', '.join(places)}{more})")
        return texts


def read_raw(path: Path) -> str:
    """The text of a UTF-8 file with its line ends unchanged, since offsets count them.

    Raises:
        DataFormatError: the file cannot be opened or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error.strerror}). Expected a text file.") from None
    except UnicodeDecodeError as error:
        raise DataFormatError(
            f"{path}:{error.object.count(10, 0, error.start) + 1}: byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start} is not UTF-8. Expected UTF-8. Convert the file, e.g. with iconv -f latin1 -t utf-8."
        ) from None


def progress(items: Iterable[_Item], unit: str) -> Iterable[_Item]:
    """The items, with a progress bar if standard error is a terminal."""
    return tqdm(items, unit=f" {unit}", disable=None, leave=False)
