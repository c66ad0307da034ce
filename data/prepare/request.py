"""What to prepare, whatever the source, and which of its documents go to which split."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genner.data.offsets import Reading
from genner.data.tally import Tally
from genner.data.utf8 import read_raw
from genner.errors import DataFormatError

__all__ = ["SPLITS", "HubColumns", "Request", "assign", "plain_name", "read_lists"]

SPLITS = ("train", "dev", "test")
_LIST = re.compile(r"(?:train|dev|test)(?:\.(?:txt|list|lst|ids?))?")
_ENDING = re.compile(r"(?:\.apf\.xml|\.sgm|\.txt|\.ann)$")


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
        document: column of the document that a row belongs to; its rows stay in one split.
        names: of numbered tags or labels, from 0 on, if the dataset does not have them.
    """

    config: str | None = None
    words: str | None = None
    tags: str | None = None
    text: str | None = None
    spans: str | None = None
    inclusive: bool = False
    splits: dict[str, str] = field(default_factory=dict)
    document: str | None = None
    names: tuple[str, ...] = ()


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
        shares: of train, dev and test, for what the source does not divide; None: the source's default.
        seed: of the division by shares.
        offsets: what the offsets of annotations on text count; None: what their covered texts show.
        lines: every line end of a raw text ends a sentence; None: the source's default.
        new_testament: OntoNotes: keep the pivot text.
        hub: columns of a Hugging Face dataset.
        progress: gives the items that it gets on, and may show how far they are; the text says what they are.
    """

    raw: Path
    splits: Path | None = None
    labels: tuple[str, ...] | None = None
    across: str = "drop"
    shares: tuple[float, ...] | None = None
    seed: int = 0
    offsets: Reading | None = None
    lines: bool | None = None
    new_testament: bool = False
    hub: HubColumns = HubColumns()
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = _unseen


def read_lists(path: Path) -> dict[str, str]:
    """Document -> split, from a folder with a list per split or from a file of ``split document`` lines.

    In the folder the lists are called ``train.txt`` (or ``.list``, ``.id``) and so on, one document per line. Folders
    and an ending such as ``.sgm`` or ``.txt`` are ignored in document names.

    Raises:
        DataFormatError: no lists, a line that names no split, or a document in two splits.
    """
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if _LIST.fullmatch(file.name)]
        pairs = [(file.name.split(".")[0], line, f"{file}:{n}") for file in files for n, line in _entries(file)]
    else:
        pairs = []
        for number, line in _entries(path):
            split, _, document = line.partition(" ")
            if split not in SPLITS or not document.strip():
                raise DataFormatError(
                    f"{path}:{number}: {line[:60]!r}. Expected a split (train, dev or test), a blank and a document. "
                    "Or give a folder with train.txt, dev.txt and test.txt, one document a line."
                )
            pairs.append((split, document.strip(), f"{path}:{number}"))
    if not pairs:
        raise DataFormatError(
            f"{path}: names no document. Expected a list of documents for train, dev or test. Write one a line."
        )
    lists: dict[str, str] = {}
    for split, document, place in pairs:
        if lists.setdefault(plain_name(document), split) != split:
            raise DataFormatError(
                f"{place}: document {document!r} is in {split} and in {lists[plain_name(document)]}. "
                "Expected every document in one split. Fix the lists."
            )
    return lists


def plain_name(document: str) -> str:
    """The name of a document without folders and ending."""
    return _ENDING.sub("", document.rsplit("/", 1)[-1])


def assign(
    documents: Mapping[str, str | None],
    lists: Mapping[str, str] | None,
    tally: Tally,
    where: Path,
    *,
    wanted: Sequence[str] = SPLITS,
    cure: str = "Give lists of documents with --splits.",
) -> dict[str, list[str]]:
    """The documents of every split, in the order given.

    The lists take precedence; other documents stay in the distributor's part; those with neither are left out and
    counted.

    Args:
        documents: name -> part of the distributor, if any.
        lists: from :func:`read_lists`.
        tally: counts documents without a split.
        where: the folder, for messages.
        wanted: the splits that must have documents.
        cure: the last sentence of the message if one has none.

    Raises:
        DataFormatError: a listed document is missing, or a split has no document.
    """
    lists = lists or {}
    missing = sorted(lists.keys() - documents.keys())
    if missing:
        raise DataFormatError(
            f"{where}: {len(missing)} of {len(lists)} listed documents are not there: {', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}. Expected a file for each. Correct --raw or the lists."
        )
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name, part in documents.items():
        split = lists.get(name, part)
        if split is None:
            tally.add("document that is in no split, left out", name)
        else:
            splits[split].append(name)
    empty = [split for split in wanted if not splits[split]]
    if empty:
        counts = ", ".join(f"{split} {len(names)}" for split, names in splits.items())
        raise DataFormatError(
            f"{where}: no document for {' and '.join(empty)} ({counts}). Expected documents in {', '.join(wanted)}. "
            f"{cure}"
        )
    return {split: names for split, names in splits.items() if names}


def _entries(path: Path) -> list[tuple[int, str]]:
    lines = enumerate(read_raw(path).splitlines(), 1)
    return [(number, " ".join(line.split())) for number, line in lines if line.strip() and not line.startswith("#")]
