"""What is asked of a source, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["SPLITS", "HubColumns", "Request"]

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class HubColumns:
    """Where a Hugging Face dataset keeps what we need.

    Args:
        config: the dataset's configuration, if it has several.
        words: column of words.
        tags: column of BIO tags of these words.
        text: column of raw text, instead of words.
        spans: column of spans, instead of tags: of words if there are words, of characters if there is text.
        inclusive: the spans end at their last word or character, not behind it.
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
    """What is asked for.

    Args:
        raw: the distributor's folder; of a Hugging Face dataset also its name.
        splits: file or folder with the documents of every split.
        labels: keep only these; None keeps what the source does by default, an empty tuple all.
        across: ``drop`` annotations that reach over a sentence end, or ``join`` the sentences.
        lines: every line end of a raw text ends a sentence; None leaves it to the source.
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
