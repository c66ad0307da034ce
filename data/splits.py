"""The files of train, dev and test, and how published settings rearrange the splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genner.data.folders import is_clutter
from genner.data.schema import Example
from genner.data.shares import take_share
from genner.errors import ConfigError, DataFormatError

__all__ = ["SplitRules", "apply_rules", "find_split_files"]

SPLIT_WORDS = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "development", "valid", "validation", "val", "testa"),
    "test": ("test", "testing", "testb"),
}
JSON_ENDINGS = ("jsonlines", "jsonl", "ndjson", "json")
JSON_LOADERS = ("nested", "json")
TEXT_ENDINGS = (
    "txt", "conll", "iob2", "iob", "bio", "bioes", "bmes", "tsv", "csv", "conllu", "ner", "gold_conll", "v4_gold_conll",
)  # fmt: skip


_PACKED = (".gz", ".bz2", ".xz", ".zip", ".zst")
DEV_SHARE = 0.1  # of train, where a user's own data has no dev file


@dataclass(frozen=True)
class SplitRules:
    """How the splits are used: as a published setting does, and without files for all of them.

    Args:
        train_on_dev: conll2003: train on train and dev together; test chooses the epoch.
        dev_every: genia: without a dev file, every n-th training sentence, from the first on, goes to dev ...
        dev_size: ... until dev has this many; None: no limit.
        dev_share: without a dev file, this share of the training sentences goes to dev; 0: a dev file is needed.
        test_share: the same for test; 0: without a test file there is no test split.
        share_seed: of the draw.
        needs_test: whether a test file is needed.
        unlabelled_test: whether the entities of test are not known; None: if there are none in its file.
    """

    train_on_dev: bool = False
    dev_every: int | None = None
    dev_size: int | None = None
    dev_share: float = 0.0
    test_share: float = 0.0
    share_seed: int = 1
    needs_test: bool = False
    unlabelled_test: bool | None = None

    def __post_init__(self) -> None:
        if sum(map(bool, (self.train_on_dev, self.dev_every, self.dev_share))) > 1:
            raise ConfigError(
                "data: train_on_dev, dev_every and dev_share say where dev comes from. Expected at most one of them. "
                "Leave the others out."
            )
        if self.dev_every is not None and self.dev_every < 2:
            raise ConfigError(
                f"data.dev_every: {self.dev_every}. Expected 2 or more, so that train keeps sentences. Raise it."
            )
        if self.dev_size is not None and self.dev_size < 1:
            raise ConfigError(f"data.dev_size: {self.dev_size}. Expected 1 or more. Raise it.")
        if not (0 <= self.dev_share < 1 and 0 <= self.test_share < 1 and self.dev_share + self.test_share < 1):
            raise ConfigError(
                f"data: dev_share {self.dev_share:g} and test_share {self.test_share:g}. Expected shares from 0 to "
                "below 1 whose sum is below 1. Lower them."
            )

    @property
    def required(self) -> tuple[str, ...]:
        """The splits that must have files."""
        has_dev = self.dev_every is None and not self.dev_share
        needed = {"train": True, "dev": has_dev or self.train_on_dev, "test": self.needs_test or self.train_on_dev}
        return tuple(split for split, is_needed in needed.items() if is_needed)


def find_split_files(
    root: Path, loader_name: str, required: Sequence[str] = tuple(SPLIT_WORDS), *, option: str = "--data_root"
) -> dict[str, Path]:
    """The files of the splits in a folder: ``train.txt``, ``valid.jsonl``, ``eng.testa``, ``xy-dev.iob2`` ...

    A name of just split and ending wins over longer ones, and an ending of the format over others. ``option`` is what
    names the folder on the command line, for messages.

    Raises:
        DataFormatError: no such folder, no file for a required split, or several equally good candidates.
    """
    root = Path(root)
    if not root.is_dir():
        what, advice = ("is a file", f"Give {option} {root.parent}") if root.exists() else (
            "no such folder", f"Set {option} to it"
        )  # fmt: skip
        raise DataFormatError(f"{root}: {what}. Expected the folder with the train, dev and test files. {advice}.")
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
            raise DataFormatError(_missing(root, split, loader_name, option))
    return files


def apply_rules(splits: dict[str, list[Example]], rules: SplitRules) -> tuple[dict[str, list[Example]], list[str]]:
    """The splits as the rules say, and notes on the changes; ``splits`` is left unchanged."""
    splits, notes = _as_published(splits, rules)
    for split, share in (("test", rules.test_share), ("dev", rules.dev_share)):
        if share and split not in splits and "train" in splits:
            left, drawn, what = take_share(splits["train"], share, seed=rules.share_seed, split=split)
            notes.append(
                f"{split}: no file, so {what} of the {len(splits['train'])} training sentences were drawn for it "
                f"(data.{split}_share={share:g} data.share_seed={rules.share_seed}); {len(left)} stay in train."
            )
            splits = {**splits, "train": left, split: drawn}
        elif share not in (0, DEV_SHARE) and split in splits:
            notes.append(f"{split}: read from its own file; data.{split}_share applies where there is none.")
    if "test" not in splits:
        notes.append("test: no file, so scores are on dev only, which also chose the epoch.")
    return {split: splits[split] for split in SPLIT_WORDS if split in splits}, notes


def _as_published(splits: dict[str, list[Example]], rules: SplitRules) -> tuple[dict[str, list[Example]], list[str]]:
    """The splits of a published setting, and notes on the changes."""
    if rules.train_on_dev and not {"train", "dev", "test"} <= splits.keys():
        raise ConfigError(
            f"data.train_on_dev: there is only {', '.join(splits)}. Expected train, dev and test files. Add them."
        )
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
    endings = JSON_ENDINGS if loader_name in JSON_LOADERS else TEXT_ENDINGS
    is_data = ending in JSON_ENDINGS + TEXT_ENDINGS
    if not is_data:
        stem, ending = name, ""  # eng.testa, train
    parts = re.split(r"[^a-z0-9]+", stem)
    found = [split for split, words in SPLIT_WORDS.items() if set(words) & set(parts)]
    if len(found) != 1 or is_clutter(name) or not (is_data or parts[-1] in SPLIT_WORDS[found[0]]):
        return None, 0
    return found[0], 2 * (bool(ending) and ending not in endings) + (len(parts) > 1)


def _missing(root: Path, split: str, loader_name: str, option: str) -> str:
    there = sorted(path.name for path in root.iterdir() if not is_clutter(path.name))
    shown = ", ".join(there[:10]) + (", ..." if len(there) > 10 else "")
    words = ", ".join(SPLIT_WORDS[split])
    endings = ", ".join("." + ending for ending in (JSON_ENDINGS if loader_name in JSON_LOADERS else TEXT_ENDINGS))
    packed = [name for name in there if name.endswith(_PACKED) and set(SPLIT_WORDS[split]) & set(name.split("."))]
    advice = f"Rename or add the file, or set {option}."
    if packed:
        advice = f"Unpack {packed[0]}."
    elif split == "dev" and option == "--data_root":
        advice = "Rename or add the file, or set data.dev_share=0.1 to draw it from train."
    return (
        f"{root}: no {split} file; there is {shown or 'nothing'}. Expected a name with one of {words} "
        f"and one of {endings}. {advice}"
    )


def _renumbered(later: list[Example], earlier: list[Example]) -> list[Example]:
    """``later`` with document numbers that continue those of ``earlier``."""
    offset = max((example.document for example in earlier if example.document is not None), default=-1) + 1
    known = (example.document is not None for example in later)
    return [replace(row, document=row.document + offset) if has else row for row, has in zip(later, known, strict=True)]
