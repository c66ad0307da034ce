"""Any Hugging Face dataset with words and tags, words and spans, or text and spans.

A folder made by ``save_to_disk``, a folder of data files, a data file and a name on the hub are all read by the library
``datasets``, which is imported only here. Scripts of a dataset are never run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from genner.data.folders import is_clutter
from genner.data.prepare.hub_rows import Rows
from genner.data.prepare.request import SPLITS, Request
from genner.data.prepare.shares import advice, by_shares, check_shares, in_words
from genner.data.schema import Example
from genner.data.splits import SPLIT_WORDS, find_split_files
from genner.data.tally import Tally
from genner.data.utf8 import read_raw
from genner.errors import ConfigError, DataFormatError, import_extra

__all__ = ["hub"]

_SAVED = ("dataset_dict.json", "state.json")
_BUILDERS = {".jsonl": "json", ".jsonlines": "json", ".ndjson": "json", ".json": "json", ".parquet": "parquet"}
_DEEPEST = 500  # brackets within each other
_BUILDERS |= {".csv": "csv", ".tsv": "csv", ".arrow": "arrow"}


def hub(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """The splits of a dataset; see :class:`genner.data.prepare.request.HubColumns` for the columns.

    Dev and test without any labels are left out and counted.

    Raises:
        MissingBackendError: ``datasets`` is not installed.
        ConfigError: the options name no columns to read, missing ones, or shares of a split that is there.
        DataFormatError: the dataset cannot be opened, lacks a split, or has an invalid row.
    """
    columns = request.hub
    clash = (columns.words and columns.text) or (columns.tags and columns.spans) or (columns.text and columns.tags)
    if not (columns.words or columns.text) or not (columns.tags or columns.spans) or clash:
        raise ConfigError(
            "hf: no pair of columns. Expected --words and --tags, --words and --spans, or --text and --spans, each "
            "with a column's name. Give one of these pairs."
        )
    tables = _tables(_open(request), request, tally)
    labels = columns.tags or columns.spans
    for split in [split for split in tables if split != "train" and labels not in tables[split].column_names]:
        _leave_out(tables, split, f"column {labels!r}", tally)
    for split, table in tables.items():
        _check_columns(table, [columns.words or columns.text, labels], split)
    rows = Rows(columns, columns.names or _names(tables["train"], labels), tally)
    for split, table in tables.items():
        counted = request.progress(range(1, table.num_rows + 1), f"{split} rows")
        for number, row in zip(counted, _decoded(table, request.raw), strict=False):
            rows.add(row, split, number)
    for split in [split for split in tables if split != "train" and rows.is_unlabelled(split)]:
        _leave_out(tables, split, f"value in column {labels!r}", tally)
    if rows.is_unlabelled("train"):
        option = "tags" if columns.tags else "spans"
        raise DataFormatError(
            f"hf: {request.raw}: no row of train has a value in column {labels!r}. Expected labels. Choose another "
            f"column with --{option}."
        )
    return rows.examples(list(tables), request)


def _open(request: Request) -> Any:
    datasets = import_extra("datasets", "datasets>=5,<6", needed_for="hf")
    datasets.logging.set_verbosity(logging.CRITICAL)  # we say what it would
    path = request.raw
    builder = _BUILDERS.get(path.suffix.lower()) if path.is_file() else None
    is_saved = any((path / name).is_file() for name in _SAVED)
    if not is_saved and _reads_json(path):
        _refuse_deep(path)
        _check_files(path, "json")
    try:
        if is_saved:
            return datasets.load_from_disk(str(path))
        if builder:
            extra = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
            return datasets.load_dataset(builder, data_files=str(path), **extra)
        if path.is_dir() and (files := _unusual_files(path)):
            return datasets.load_dataset("json", data_files=files)
        return datasets.load_dataset(str(path), request.hub.config)
    except (
        OSError, ValueError, RuntimeError, LookupError, EOFError, StopIteration, datasets.exceptions.DatasetsError
    ) as error:  # fmt: skip
        _check_files(path, "csv")
        cause = error.__cause__ or error
        reason = " ".join((str(cause) or type(cause).__name__).split())[:200]
        raise DataFormatError(
            f"hf: {path}: cannot be opened ({reason}). Expected a folder made by save_to_disk, a file or folder of "
            "JSON, CSV or Parquet, or a dataset's name (datasets that need their own script are not supported). "
            "Check --raw and --config."
        ) from None


def _files(path: Path) -> list[Path]:
    """The data files of a dataset: the file itself, or those below a folder that have an ending of the library's."""
    found = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    return [file for file in found if file.suffix.lower() in _BUILDERS and file.is_file() and not is_clutter(file.name)]


def _reads_json(path: Path) -> bool:
    """Whether the library takes the files for JSON: of a folder, it reads those of the most frequent kind."""
    kinds = Counter(_BUILDERS[file.suffix.lower()] for file in _files(path))
    return kinds["json"] == max(kinds.values(), default=-1)


def _refuse_deep(path: Path) -> None:
    """Refuse lines of JSON in which brackets stand within so many others that the library would crash the process.

    Raises:
        DataFormatError: there is one.
    """
    for file in _files(path):
        if _BUILDERS[file.suffix.lower()] != "json":
            continue
        with contextlib.suppress(PermissionError), file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.count(b"[") + line.count(b"{") > _DEEPEST and _depth(line) > _DEEPEST:
                    raise DataFormatError(
                        f"hf: {file}:{number}: brackets within brackets, more than {_DEEPEST} deep. Expected rows of a "
                        "dataset. Remove the line."
                    )


def _depth(line: bytes) -> int:
    """How many brackets are open at once in a line that need not be valid JSON; those in strings do not count."""
    signs = re.sub(rb'"(?:[^"\\]|\\.)*"|[^][{}"]+', b"", line)
    return max(accumulate(1 if sign in b"[{" else -1 for sign in signs if sign != ord('"')), default=0)


def _unusual_files(folder: Path) -> dict[str, list[str]]:
    """Split -> JSON files whose endings the library does not know, if there are no others."""
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and not is_clutter(path.name)]
    unusual = [path for path in found if path.suffix.lower() in (".jsonlines", ".ndjson")]
    if not unusual or any(path.suffix.lower() in _BUILDERS for path in found if path not in unusual):
        return {}
    splits = find_split_files(folder, "nested", (), option="--raw")
    return {split: [str(path)] for split, path in splits.items()} or {"train": list(map(str, unusual))}


def _check_files(path: Path, builder: str) -> None:
    """Say which file of JSON or CSV is not UTF-8, empty or not JSON, and where, which the library does not.

    Some JSON that is broken crashes the process in the library, so it is checked before.

    Raises:
        DataFormatError: there is one.
    """
    for file in _files(path):
        if _BUILDERS[file.suffix.lower()] != builder:
            continue
        text = read_raw(file)
        if not text.strip():
            raise DataFormatError(f"hf: {file}: empty. Expected rows of a dataset. Fill or remove the file.")
        if builder == "json":
            _check_json(text, f"hf: {file}")


def _check_json(text: str, where: str) -> None:
    """Refuse JSON that is broken, or whose records are no objects."""
    whole = _parsed(text)
    first = _parsed(text.strip().split("\n")[0]) if whole is None else whole
    records = first if whole is not None and isinstance(first, list) else [first]
    if first is not None and not all(isinstance(record, dict) for record in records):
        raise DataFormatError(
            f"{where}:1: JSON, but no object: {str(first)[:60]!r}. Expected objects, whose keys are the columns. If a "
            "tool for annotation wrote it, train on it as it is; else give every value a key."
        )
    lines = text.split("\n")
    is_long = lines[0].strip() in ("[", "[{")  # a list over several lines is broken where reading it ended
    end = _last_line_read(text) if is_long else 0
    for number, line in enumerate(lines if whole is None else (), 1):
        if number == end if is_long else line.strip() and _parsed(line) is None:
            raise DataFormatError(
                f"{where}:{number}: not JSON: {line[:60]!r}. Expected one object per line, or one list of objects. "
                "Correct the line."
            )


def _last_line_read(text: str) -> int:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.lineno
    except RecursionError:
        pass
    return 1


def _parsed(text: str) -> Any:
    """The value of JSON; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _decoded(table: Any, path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of a table; files that are not UTF-8 show only when their rows are read.

    Raises:
        DataFormatError: a row is not UTF-8.
    """
    try:
        yield from table
    except UnicodeDecodeError as error:
        _check_files(path, "csv")
        raise DataFormatError(
            f"hf: {path}: {error}. Expected UTF-8. Convert the files of the dataset to UTF-8."
        ) from None


def _tables(dataset: Any, request: Request, tally: Tally) -> dict[str, Any]:
    """The rows of every split, in our order."""
    tables = dict(dataset) if isinstance(dataset, Mapping) else {"train": dataset}
    for split, wanted in request.hub.splits.items():
        if wanted not in tables:
            raise DataFormatError(
                f"hf: {request.raw}: no split {wanted!r}, found {', '.join(tables)}. Expected one for {split}. "
                f"Name it with --split {split}=NAME."
            )
    own = dict(request.hub.splits)
    for split in SPLITS:
        found = [name for name in SPLIT_WORDS[split] if name in tables]
        if split not in own and found:
            own[split] = found[0]
    if "train" not in own and len(tables) == 1:
        own["train"] = next(iter(tables))
    missing = [split for split in SPLITS if split not in own]
    if "train" in missing or (missing and request.shares is None):
        cure = "" if "train" in missing else f", or write {advice(missing, tables[own['train']].num_rows)}"
        raise DataFormatError(
            f"hf: {request.raw}: no split for {' and '.join(missing)}, found {', '.join(tables)}. Expected train, dev "
            f"and test. Name it with --split {missing[0]}=NAME{cure}."
        )
    if request.shares is None:
        return {split: tables[own[split]] for split in SPLITS}
    check_shares(request.shares, {split: f"{name!r} of the dataset" for split, name in own.items()})
    parts = _divided(tables[own["train"]], request, tally)
    return {split: parts.get(split) or tables[own[split]] for split in SPLITS if split in parts or split in own}


def _divided(table: Any, request: Request, tally: Tally) -> dict[str, Any]:
    """The rows of train, divided by shares; those of a document stay together."""
    column = request.hub.document
    if column is not None:
        _check_columns(table, [column], "train")
    keys = [str(key) for key in (range(table.num_rows) if column is None else table[column])]
    chosen = by_shares(keys, request.shares, seed=request.seed)
    indices: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        indices.setdefault(chosen[key], []).append(index)
    for split, share in zip(SPLITS, request.shares, strict=True):
        if share and split not in indices:
            wanted = [split for split, share in zip(SPLITS[1:], request.shares[1:], strict=True) if share]
            what = "rows" if column is None else f"documents (column {column!r})"
            raise DataFormatError(
                f"hf: {request.raw}: {len(set(keys))} {what} for {sum(map(bool, request.shares))} shares. Expected at "
                f"least one for each. Write {advice(wanted, len(set(keys)))}."
            )
        if split in indices:
            reason = f"row assigned to a split by {in_words(request.shares)}: not a published split"
            tally.add(reason, split, len(indices[split]))
    return {split: table.select(indices[split]) for split in SPLITS if split in indices}


def _leave_out(tables: dict[str, Any], split: str, what: str, tally: Tally) -> None:
    tally.add(f"row of a split without any {what}, left out", split, tables.pop(split).num_rows)


def _check_columns(rows: Any, names: Sequence[str], split: str) -> None:
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise ConfigError(
            f"hf: {split} has no column {', '.join(missing)}. Expected one of {', '.join(rows.column_names)}. "
            "Name the columns with --words, --tags, --text, --spans and --document."
        )


def _names(rows: Any, column: str) -> Sequence[str]:
    """The names of numbered tags or labels, if the dataset has them."""
    waiting = [rows.features.get(column)]
    while waiting:
        feature = waiting.pop()
        if names := getattr(feature, "names", None):
            return names
        inner = list(feature.values()) if isinstance(feature, Mapping) else [getattr(feature, "feature", None)]
        waiting += [one for one in inner if one is not None]
    return ()
