"""The files of train, dev and test, and how published settings rearrange the splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genner.data.folders import is_clutter
from genner.data.schema import Example
from genner.errors import ConfigError, DataFormatError

__all__ = ["SplitRules", "apply_rules", "find_split_files"]

SPLIT_WORDS = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "development", "valid", "validation", "val", "testa"),
    "test": ("test", "testing", "testb"),
}
JSON_ENDINGS = ("jsonlines", "jsonl", "ndjson", "json")
TEXT_ENDINGS = ("txt", "conll", "iob2", "iob", "bio", "tsv", "ner", "gold_conll", "v4_gold_conll")


@dataclass(frozen=True)
class SplitRules:
    """How a published setting uses the splits.

    Args:
        train_on_dev: conll2003: train on train and dev together; test chooses the epoch.
        dev_every: genia: without a dev file, every n-th training sentence, from the first on, goes to dev ...
        dev_size: ... until dev has this many; None: no limit.
    """

    train_on_dev: bool = False
    dev_every: int | None = None
    dev_size: int | None = None

    def __post_init__(self) -> None:
        if self.train_on_dev and self.dev_every:
            raise ConfigError("data: train_on_dev and dev_every are both set. Expected at most one of them.")
        if self.dev_every is not None and self.dev_every < 2:
            raise ConfigError(f"data.dev_every: {self.dev_every}. Expected 2 or more, so that train keeps sentences.")
        if self.dev_size is not None and self.dev_size < 1:
            raise ConfigError(f"data.dev_size: {self.dev_size}. Expected 1 or more.")


def find_split_files(root: Path, loader_name: str, required: Sequence[str] = tuple(SPLIT_WORDS)) -> dict[str, Path]:
    """The files of the splits in a folder: ``train.txt``, ``valid.jsonl``, ``eng.testa``, ``xy-dev.iob2`` ...

    A name of just split and ending wins over longer ones, and an ending of the format over others.

    Raises:
        DataFormatError: no such folder, no file for a required split, or several equally good candidates.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise DataFormatError(
            f"{root}: {what}. Expected the folder with the train, dev and test files. Set --data_root."
        )
    candidates: dict[str, list[tuple[int, Path]]] = {split: [] for split in SPLIT_WORDS}
    for path in sorted(root.iterdir()):
        split, rank = _judge(path.name.lower(), loader_name)
        if split is not None and path.is_file():
            candidates[split].append((rank, path))
    files = {}
    for split, ranked in candidates.items():
        best = [path for rank, path in ranked if rank == min(ranked)[0]]
        if len(best) > 1:
            raise DataFormatError(
                f"{root}: {', '.join(path.name for path in best)} may all be {split}. Expected one file. "
                "Move the others."
            )
        if best:
            files[split] = best[0]
        elif split in required:
            raise DataFormatError(_missing(root, split, loader_name))
    return files


def apply_rules(splits: dict[str, list[Example]], rules: SplitRules) -> tuple[dict[str, list[Example]], list[str]]:
    """The splits as a published setting uses them, and notes on the changes; ``splits`` is left unchanged."""
    if rules.train_on_dev and not {"train", "dev", "test"} <= splits.keys():
        raise ConfigError(f"data.train_on_dev: there is only {', '.join(splits)}. Expected train, dev and test files.")
    if rules.train_on_dev:
        train, dev = splits["train"], splits["dev"]
        both = train + _renumbered(dev, train)
        note = f"train: train and dev together ({len(train)} + {len(dev)} sentences); test chooses the epoch."
        return {"train": both} | {name: splits[name] for name in splits if name not in ("train", "dev")}, [note]
    if rules.dev_every and "dev" in splits:
        return dict(splits), ["dev: read from its own file; dev_every applies where there is none."]
    if rules.dev_every and "train" in splits:
        size = len(splits["train"]) if rules.dev_size is None else rules.dev_size
        chosen = set(range(0, len(splits["train"]), rules.dev_every)[:size])
        dev = [splits["train"][index] for index in sorted(chosen)]
        train = [example for index, example in enumerate(splits["train"]) if index not in chosen]
        note = f"dev: {len(dev)} sentences taken from train, one of {rules.dev_every}; {len(train)} stay."
        return {"train": train, "dev": dev} | {name: splits[name] for name in splits if name != "train"}, [note]
    return dict(splits), []


def _judge(name: str, loader_name: str) -> tuple[str | None, int]:
    """The split that a lower-case file name denotes, if there is just one, and a rank: 0 for the plainest name."""
    stem, _, ending = name.rpartition(".")
    endings = JSON_ENDINGS if loader_name == "nested" else TEXT_ENDINGS
    is_data = ending in JSON_ENDINGS + TEXT_ENDINGS
    if not is_data:
        stem, ending = name, ""  # eng.testa, train
    parts = re.split(r"[^a-z0-9]+", stem)
    found = [split for split, words in SPLIT_WORDS.items() if set(words) & set(parts)]
    if len(found) != 1 or is_clutter(name) or not (is_data or parts[-1] in SPLIT_WORDS[found[0]]):
        return None, 0
    return found[0], 2 * (bool(ending) and ending not in endings) + (len(parts) > 1)


def _missing(root: Path, split: str, loader_name: str) -> str:
    there = sorted(path.name for path in root.iterdir())
    shown = ", ".join(there[:10]) + (", ..." if len(there) > 10 else "")
    words = ", ".join(SPLIT_WORDS[split])
    endings = ", ".join("." + ending for ending in (JSON_ENDINGS if loader_name == "nested" else TEXT_ENDINGS))
    return (
        f"{root}: no {split} file; there is {shown or 'nothing'}. Expected a name with one of {words} "
        f"and one of {endings}. Rename the file or set --data_root."
    )


def _renumbered(later: list[Example], earlier: list[Example]) -> list[Example]:
    """``later`` with document numbers that continue those of ``earlier``."""
    offset = max((example.document for example in earlier if example.document is not None), default=-1) + 1
    known = (example.document is not None for example in later)
    return [replace(row, document=row.document + offset) if has else row for row, has in zip(later, known, strict=True)]
