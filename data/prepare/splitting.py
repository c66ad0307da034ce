"""Assignment of documents to splits: by lists from the user, the distributor's folders, or our own shares."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from genner.data.prepare.request import SPLITS
from genner.data.tally import Tally
from genner.data.utf8 import read_raw
from genner.errors import ConfigError, DataFormatError

__all__ = ["assign", "by_shares", "need_lists", "part_of", "plain_name", "read_lists", "unique_names"]

_SHARES = {"train": 70, "dev": 15, "test": 15}
_PARTS = {
    "train": re.compile(r"(?<![a-z])train"),
    "dev": re.compile(r"(?<![a-z])(?:dev|devel|development|valid|validation)(?![a-z])"),
    "test": re.compile(r"(?<![a-z])test"),
}
_LIST = re.compile(r"(?:train|dev|test)(?:\.(?:txt|list|lst|ids?))?")
_ENDING = re.compile(r"(?:\.apf\.xml|\.sgm|\.txt|\.ann)$")


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
        raise DataFormatError(f"{path}: names no document. Expected a list of documents for train, dev or test.")
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


def part_of(path: Path, root: Path) -> str | None:
    """The split named by the folders of a path below ``root``, if it is just one."""
    text = str(path.relative_to(root)).lower()
    found = [split for split, pattern in _PARTS.items() if pattern.search(text)]
    return found[0] if len(found) == 1 else None


def assign(
    documents: Mapping[str, str | None], lists: Mapping[str, str] | None, tally: Tally, where: Path
) -> dict[str, list[str]]:
    """The documents of every split, in the order given.

    The lists take precedence; other documents stay in the distributor's part; those with neither are left out and
    counted.

    Args:
        documents: name -> part of the distributor, if any.
        lists: from :func:`read_lists`.
        tally: counts documents without a split.
        where: the folder, for messages.

    Raises:
        DataFormatError: a listed document is missing, or a split has no document.
    """
    lists = lists or {}
    missing = sorted(lists.keys() - documents.keys())
    if missing:
        raise DataFormatError(
            f"{where}: {len(missing)} of {len(lists)} listed documents are not there: {', '.join(missing[:5])}"
            f"{', ...' if len(missing) > 5 else ''}. Expected a file for each. Check --raw and the lists."
        )
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name, part in documents.items():
        split = lists.get(name, part)
        if split is None:
            tally.add("document that is in no split, left out", name)
        else:
            splits[split].append(name)
    empty = [split for split in SPLITS if not splits[split]]
    if empty:
        counts = ", ".join(f"{split} {len(names)}" for split, names in splits.items())
        raise DataFormatError(
            f"{where}: no document for {' and '.join(empty)} ({counts}). Expected documents in train, dev and test. "
            "Give lists of documents with --splits."
        )
    return splits


def by_shares(names: Iterable[str], shares: Mapping[str, int] = _SHARES) -> dict[str, str]:
    """Split documents into shares (percent) in the order of a digest of their names: the same on every machine."""
    ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    result, start, total = {}, 0, 0
    for split, share in shares.items():
        total += share
        end = round(len(ordered) * total / 100)
        result |= dict.fromkeys(ordered[start:end], split)
        start = end
    return result


def need_lists(path: Path | None, source: str) -> dict[str, str]:
    """The lists for a source without a split of its own.

    Raises:
        ConfigError: there are none.
    """
    if path is None:
        raise ConfigError(
            f"{source}: no lists of documents. Expected --splits with a file of 'split document' lines or a folder "
            "with train.txt, dev.txt and test.txt: this corpus has no split of its own. docs/corpora.md says where to "
            "find the published one."
        )
    return read_lists(path)


def unique_names(paths: Iterable[Path], tally: Tally) -> dict[str, Path]:
    """Files by plain name; of several with one name the first is taken, the others are counted."""
    result: dict[str, Path] = {}
    seen: Counter[str] = Counter()
    for path in paths:
        name = plain_name(path.name)
        seen[name] += 1
        if seen[name] > 1:
            tally.add("further file of a document, left out", str(path))
        result.setdefault(name, path)
    return result


def _entries(path: Path) -> list[tuple[int, str]]:
    lines = enumerate(read_raw(path).splitlines(), 1)
    return [(number, " ".join(line.split())) for number, line in lines if line.strip() and not line.startswith("#")]
