"""What to prepare, whatever the source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["SPLITS", "HubColumns", "Request"]

SPLITS = ("train", "dev", "test")


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


def _unseen(items: Iterable[Any], _: str) -> Iterable[Any]:
    return items


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
        progress: gives the items that it gets on, and may show how far they are; the text says what they are.
    """

    raw: Path
    splits: Path | None = None
    labels: tuple[str, ...] | None = None
    across: str = "drop"
    lines: bool | None = None
    new_testament: bool = False
    hub: HubColumns = HubColumns()
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = _unseen
