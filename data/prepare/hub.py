"""Any Hugging Face dataset with words and BIO tags, words and spans, or text and spans.

A folder made by ``save_to_disk``, a folder of data files and a name on the hub are all read by the library
``datasets``, which is imported only here. Scripts of a dataset are never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genner.data.loaders.conll import LOOSE_TAG, bio_entities
from genner.data.offsets import Mention
from genner.data.prepare.request import SPLITS, Request
from genner.data.schema import Entity, Example, Segment, sort_entities
from genner.data.splits import SPLIT_WORDS
from genner.data.tally import Tally
from genner.data.text import build_examples, sentence_words
from genner.errors import ConfigError, DataFormatError, import_extra

__all__ = ["hub"]

_TAG = re.compile(r"O|[BI]-.+", re.DOTALL)
_SAVED = ("dataset_dict.json", "state.json")


def hub(request: Request, tally: Tally) -> dict[str, list[Example]]:
    """The splits of a dataset; see :class:`genner.data.prepare.request.HubColumns` for the columns.

    Raises:
        MissingBackendError: ``datasets`` is not installed.
        ConfigError: the options name no columns to read, or missing ones.
        DataFormatError: the dataset cannot be opened, lacks a split, or has an invalid row.
    """
    columns = request.hub
    given = [columns.words or columns.text, columns.tags or columns.spans]
    clash = (columns.words and columns.text) or (columns.tags and columns.spans) or (columns.text and columns.tags)
    if None in given or clash:
        raise ConfigError(
            "hf: expected --words and --tags, --words and --spans, or --text and --spans, each with a column's name. "
            "Give one of these pairs."
        )
    dataset = _open(request)
    tables = {split: _split(dataset, split, request) for split in SPLITS}
    for split, rows in tables.items():
        _check_columns(rows, [name for name in given if name], split)
    result: dict[str, list[Example]] = {}
    for split, rows in tables.items():
        names = _tag_names(rows, columns.tags)
        result[split] = []
        for number, row in enumerate(request.progress(rows, f"{split} rows"), 1):
            place = f"{split}, row {number}"
            result[split] += _examples(row, number - 1, names, place, request, tally)
    return result


def _open(request: Request) -> Any:
    datasets = import_extra("datasets", "datasets>=5,<6", needed_for="hf")
    path = request.raw
    try:
        if any((path / name).is_file() for name in _SAVED):
            return datasets.load_from_disk(str(path))
        return datasets.load_dataset(str(path), request.hub.config)
    except (OSError, ValueError, RuntimeError, LookupError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataFormatError(
            f"hf: {path}: cannot be opened ({reason}). Expected a folder made by save_to_disk, a folder of data files, "
            "or a dataset's name (datasets that need their own script are not supported). Check --raw and --config."
        ) from None


def _split(dataset: Any, split: str, request: Request) -> Any:
    if not isinstance(dataset, Mapping):
        raise DataFormatError(f"hf: {request.raw}: one table without splits. Expected train, validation and test.")
    wanted = request.hub.splits.get(split)
    found = [name for name in ([wanted] if wanted else SPLIT_WORDS[split]) if name in dataset]
    if not found:
        raise DataFormatError(
            f"hf: {request.raw}: no split {wanted or split!r}, found {', '.join(dataset)}. Expected one for {split}. "
            f"Name it with --split {split}=NAME."
        )
    return dataset[found[0]]


def _check_columns(rows: Any, names: Sequence[str], split: str) -> None:
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise ConfigError(
            f"hf: {split} has no column {', '.join(missing)}. Expected one of {', '.join(rows.column_names)}. "
            "Name the columns with --words, --tags, --text and --spans."
        )


def _tag_names(rows: Any, column: str | None) -> Sequence[str] | None:
    """The names of numbered tags, if the dataset has them."""
    feature = rows.features.get(column) if column else None
    return getattr(getattr(feature, "feature", feature), "names", None)


def _examples(
    row: Mapping[str, Any], number: int, names: Sequence[str] | None, place: str, request: Request, tally: Tally
) -> list[Example]:
    columns = request.hub
    if columns.text:
        text = row[columns.text] or ""
        mentions = [
            Mention(label, ((start, end),), place)
            for start, end, label in _spans(row[columns.spans], len(text), columns.inclusive, place)
        ]
        sentences = sentence_words(text, lines=True if request.lines is None else request.lines)
        examples = build_examples(text, sentences, mentions, number, tally, across=request.across)
        return examples or _empty(place, tally)
    words = tuple(str(word) for word in row[columns.words] or ())
    if not words:
        return _empty(place, tally)
    if columns.tags:
        entities, repaired = bio_entities(_tags(row[columns.tags], names, len(words), place))
        if repaired:
            tally.add(LOOSE_TAG, place, len(repaired))
        return [Example(words, tuple(entities))]
    spans = _spans(row[columns.spans], len(words), columns.inclusive, place)
    entities = [Entity(label, (Segment(start, end),)) for start, end, label in spans]
    unique = dict.fromkeys(entities)
    if len(unique) < len(entities):
        tally.add("duplicate annotation, counted once", place, len(entities) - len(unique))
    return [Example(words, sort_entities(unique))]


def _empty(place: str, tally: Tally) -> list[Example]:
    tally.add("row without words, skipped", place)
    return []


def _tags(values: Sequence[Any], names: Sequence[str] | None, n_words: int, place: str) -> list[str]:
    if len(values) != n_words:
        raise DataFormatError(f"{place}: {len(values)} tags for {n_words} words. Expected one tag per word.")
    tags = []
    for value in values:
        if isinstance(value, int) and names and 0 <= value < len(names):
            value = names[value]
        if not isinstance(value, str) or not _TAG.fullmatch(value):
            raise DataFormatError(
                f"{place}: tag {value!r}. Expected O, B-type or I-type, or numbers whose names the dataset defines. "
                "Choose another column with --tags."
            )
        tags.append(value)
    return tags


def _spans(values: Any, length: int, inclusive: bool, place: str) -> Iterator[tuple[int, int, str]]:
    """Start, exclusive end and label of spans: objects, lists of three, or an object of three lists."""
    if isinstance(values, Mapping):
        keys = list(values)
        values = [dict(zip(keys, parts, strict=True)) for parts in zip(*values.values(), strict=True)]
    for value in values or ():
        if isinstance(value, Mapping):
            label = next((value[key] for key in ("label", "type", "entity_type", "entity") if key in value), None)
            start, end = value.get("start"), value.get("end")
        else:
            start, end, label = value if isinstance(value, Sequence) and len(value) == 3 else (None, None, None)
        start, end = (_whole(start), _whole(end))
        if start is None or end is None or not isinstance(label, str) or not label:
            raise DataFormatError(
                f"{place}: span {value!r:.60}. Expected start, end and label, as an object or a list of three. "
                "Choose another column with --spans."
            )
        end += inclusive
        if not 0 <= start < end <= length:
            raise DataFormatError(
                f"{place}: span {start}..{end} of {length}. Expected offsets inside, ends exclusive. "
                "Set --inclusive if the ends are the last word or character."
            )
        yield start, end, label


def _whole(value: Any) -> int | None:
    """An offset; some datasets store numbers as text."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
