"""Loading a whole corpus, from its files or the cache; splits as a ``DataBundle`` with the four sentence fields."""

from __future__ import annotations

import hashlib
import numbers
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from operator import ge
from pathlib import Path
from typing import Any

import numpy as np

import genner.patches  # noqa: F401  (before fastNLP)

# isort: split
from fastNLP import DataSet
from fastNLP.io import DataBundle

from genner.data.cache import CacheFile, digest_of
from genner.data.columns import Sentences
from genner.data.loaders import LOADERS, LoaderOptions, LoadReport
from genner.data.schema import Entity, Example
from genner.data.shapes import loader_for
from genner.data.splits import SplitRules, apply_rules, find_split_files
from genner.data.statistics import SplitStatistics, corpus_statistics, fingerprint
from genner.data.utf8 import is_writable
from genner.errors import ConfigError, DataFormatError

__all__ = ["LoadedCorpus", "SplitRules", "examples_of", "load_bundle", "load_cached", "to_bundle", "to_dataset"]

# The contents of the cache also depend on this code; its digest replaces a version number kept by hand.
_SOURCES = (
    "loaders/*.py", "schema.py", "schemes.py", "shares.py", "splits.py", "utf8.py", "statistics.py", "columns.py",
    "bundle.py", "shapes.py", "shape_items.py", "records.py", "offsets.py", "text.py",
)  # fmt: skip
FIELDS = ("raw_words", "entities", "entity_tags", "entity_spans")


@dataclass
class LoadedCorpus:
    """The sentences of a corpus, reports on loading them, and statistics.

    Statistics and fingerprint are computed on demand; a corpus from the cache already has them.

    Args:
        examples: sentences per split; none is empty.
        reports: what the loader changed, per file (including a dev file that was added to train).
        notes: effects of the split rules and of ``limited``.
        unlabelled: splits whose entities are not known: they are predicted and not scored.
    """

    examples: Mapping[str, Sequence[Example]]
    reports: dict[str, LoadReport]
    notes: list[str] = field(default_factory=list)
    unlabelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_filled(self.examples)

    @cached_property
    def statistics(self) -> dict[str, SplitStatistics]:
        """Counts per split."""
        return corpus_statistics(self.examples)

    @cached_property
    def fingerprint(self) -> dict[str, dict[str, object]]:
        """Identifies the data of a run, see :func:`genner.data.statistics.fingerprint`."""
        return fingerprint(self.examples, self.statistics)

    def limited(self, limit: int) -> LoadedCorpus:
        """The first ``limit`` sentences of every split."""
        sizes = {name: len(rows) for name, rows in self.examples.items()}
        cut = [f"{name}: the first {limit} of {size}." for name, size in sizes.items() if size > limit]
        examples = {name: rows[:limit] for name, rows in self.examples.items()}
        return replace(self, examples=examples, notes=self.notes + cut)


def load_bundle(
    root: Path | str | None,
    loader_name: str,
    options: LoaderOptions = LoaderOptions(),  # noqa: B008
    rules: SplitRules = SplitRules(),  # noqa: B008
    *,
    files: Mapping[str, Path | str] | None = None,
) -> LoadedCorpus:
    """Read the train, dev and test files of a corpus.

    Args:
        root: the folder of the files; unused if ``files`` is given.
        loader_name: a key of ``LOADERS``.
        options: of the loader.
        rules: rearrangement of the splits.
        files: split -> file, for any of the splits.

    Raises:
        ConfigError: no such loader.
        DataFormatError: a folder or file is missing, a file cannot be read, or a split is empty.
    """
    _loader(loader_name)
    if files is None:
        files = corpus_files(Path(root or "."), loader_name, rules)
    splits, reports, said = {}, {}, []
    for name, path in files.items():
        found = loader_for(Path(path), loader_name)
        splits[name], reports[name] = _loader(found)(Path(path), options)
        if found != loader_name:
            said.append(f"{name}: {Path(path).name} is JSON of another tool or shape, read by the loader {found!r}.")
        if not splits[name]:
            advice = "Export it again" if name == "train" else "Remove the file, or export it again"
            raise DataFormatError(f"{path}: no sentences for {name}. Expected at least one. {advice}.")
    unlabelled, about = _without_labels(splits, reports, rules)
    splits, notes = apply_rules(splits, rules)
    return LoadedCorpus(splits, reports, said + notes + about, unlabelled)


def load_cached(
    root: Path, loader_name: str, options: LoaderOptions, rules: SplitRules, *, cache_dir: Path
) -> LoadedCorpus:
    """:func:`load_bundle` through the cache: the same corpus, its sentences in a mapped file.

    Statistics and fingerprint, which need a pass over all sentences, are cached as well.

    Args:
        root, loader_name, options, rules: see :func:`load_bundle`.
        cache_dir: folder of the file.

    Raises:
        ConfigError, DataFormatError: as in :func:`load_bundle`.
    """
    files = corpus_files(root, loader_name, rules)
    settings = {"loader": loader_name, "options": asdict(options), "rules": asdict(rules), "code": _code_digest()}
    try:
        contents = [[split, path.name, _digest(path)] for split, path in files.items()]
    except OSError:
        return load_bundle(root, loader_name, options, rules, files=files)  # the loader reports what is wrong
    digest = digest_of(settings | {"files": contents})
    file = CacheFile(cache_dir / f"corpus-{digest[:32]}.safetensors", digest)
    arrays, note, _ = file.load()
    if arrays is not None:
        return _from_cache(arrays, note, files)
    corpus = load_bundle(root, loader_name, options, rules, files=files)
    examples = {split: Sentences.of(rows) for split, rows in corpus.examples.items()}
    file.store(_arrays(examples), _note(corpus, examples))
    corpus.examples = examples
    return corpus


def corpus_files(root: Path, loader_name: str, rules: SplitRules) -> dict[str, Path]:
    """The files in ``root`` that :func:`load_bundle` reads; raises the same errors for loader and folder."""
    _loader(loader_name)
    return find_split_files(root, loader_name, rules.required)


def _without_labels(
    splits: dict[str, list[Example]], reports: Mapping[str, LoadReport], rules: SplitRules
) -> tuple[tuple[str, ...], list[str]]:
    """The splits whose entities are not known, and notes on them; entities that are not to be looked at are removed.

    Raises:
        DataFormatError: words without tags in a split that has to have them.
    """
    for split, report in reports.items():
        if report.is_labelled or (split == "test" and rules.unlabelled_test is not False):
            continue
        others = {"dev": "remove the file: a share of train is taken then", "test": "set data.unlabelled_test=true"}
        advice = others.get(split, "set data.delimiter to what parts the columns, if that is no blank")
        raise DataFormatError(
            f"{report.path}:1: words without tags. Expected a word and a tag in every line, such as 'Tellmark B-LOC', "
            f"or records with their entities, to {'learn from' if split == 'train' else 'score'}. Add the tags, or "
            f"{advice}."
        )
    test = splits.get("test")
    if test is None or rules.unlabelled_test is False or (rules.unlabelled_test is None and _has_entities(test)):
        return (), []
    if rules.unlabelled_test is None and not _has_entities(splits.get("train", [])):
        return (), []
    n_entities = sum(len(example.entities) for example in test)
    splits["test"] = [replace(example, entities=()) for example in test]
    what = f"its {n_entities} entities are not looked at" if n_entities else "it has no entity"
    advice = "" if rules.unlabelled_test else " If it really has none, set data.unlabelled_test=false."
    if "test" in reports and not reports["test"].is_labelled:
        what, advice = "its words have no tags", ""
    return ("test",), [f"test: not labelled ({what}): predictions are written for it, there are no scores.{advice}"]


def _has_entities(examples: Sequence[Example]) -> bool:
    return any(example.entities for example in examples)


def _loader(name: str) -> Callable[[Path, LoaderOptions], tuple[list[Example], LoadReport]]:
    if name not in LOADERS:
        raise ConfigError(
            f"data.loader: unknown loader {name!r}. Expected one of {', '.join(LOADERS)}. Set data.loader to one."
        )
    return LOADERS[name]


def _arrays(examples: Mapping[str, Sentences]) -> dict[str, np.ndarray]:
    return {
        name: array for split, rows in examples.items() for name, array in rows.to_arrays(prefix=f"{split}.").items()
    }


def _note(corpus: LoadedCorpus, examples: Mapping[str, Sentences]) -> dict[str, Any]:
    return {
        "labels": {split: list(rows.labels) for split, rows in examples.items()},
        "reports": {split: [report.counts, report.places] for split, report in corpus.reports.items()},
        "notes": corpus.notes,
        "unlabelled": corpus.unlabelled,
        "statistics": {split: asdict(stats) for split, stats in corpus.statistics.items()},
        "fingerprint": corpus.fingerprint,
    }


def _from_cache(arrays: Mapping[str, np.ndarray], note: Mapping[str, Any], files: Mapping[str, Path]) -> LoadedCorpus:
    examples = {
        split: Sentences.from_arrays(arrays, labels, prefix=f"{split}.") for split, labels in note["labels"].items()
    }
    reports = {
        split: LoadReport(files[split], counts=Counter(counts), places=places)
        for split, (counts, places) in note["reports"].items()
    }
    corpus = LoadedCorpus(examples, reports, note["notes"], tuple(note["unlabelled"]))
    corpus.statistics = {split: SplitStatistics(**stats) for split, stats in note["statistics"].items()}
    corpus.fingerprint = note["fingerprint"]
    return corpus


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _code_digest() -> str:
    folder = Path(__file__).resolve().parent
    paths = sorted(path for pattern in _SOURCES for path in folder.glob(pattern))
    return hashlib.sha256("".join(map(_digest, paths)).encode()).hexdigest()


def _check_filled(splits: Mapping[str, Sequence[Example]]) -> None:
    for name, examples in splits.items():
        if not len(examples):
            raise DataFormatError(f"{name}: no sentences. Expected at least one. Leave the split out.")


def to_bundle(splits: Mapping[str, Sequence[Example]]) -> DataBundle:
    """A ``DataBundle`` with the sentence fields of every split; an empty split is a :class:`DataFormatError`."""
    _check_filled(splits)
    return DataBundle(datasets={name: to_dataset(examples) for name, examples in splits.items()})


def to_dataset(examples: Sequence[Example]) -> DataSet:
    """A fastNLP ``DataSet`` with ``raw_words``, ``entities``, ``entity_tags`` and ``entity_spans``.

    ``document`` is added if every sentence has a document number.
    """
    examples = list(examples)
    columns: dict[str, list] = {
        "raw_words": [list(example.words) for example in examples],
        "entities": [[entity.surface(example.words) for entity in example.entities] for example in examples],
        "entity_tags": [[entity.label for entity in example.entities] for example in examples],
        "entity_spans": [[entity.flat for entity in example.entities] for example in examples],
    }
    if examples and all(example.document is not None for example in examples):
        columns["document"] = [example.document for example in examples]
    return DataSet(columns) if examples else DataSet()  # fastNLP allows no empty field


def examples_of(dataset: DataSet, split: str = "train", *, compat: bool = False) -> list[Example]:
    """The examples of a data set with the four sentence fields, made by a loader or by hand.

    ``compat`` accepts what the reference's loaders produce: empty words and segments that touch.

    Raises:
        DataFormatError: a field is missing or does not hold what the contract says; names split, row and field.
    """
    if not len(dataset):
        raise DataFormatError(f"{split}: no rows. Expected at least one sentence. Leave the split out.")
    missing = [name for name in FIELDS if not dataset.has_field(name)]
    if missing:
        raise DataFormatError(
            f"{split}: fields {missing} are missing, found {sorted(dataset.get_field_names())}. "
            f"Expected {', '.join(FIELDS)}. Add or rename them."
        )
    columns = [dataset.get_field(name).content for name in FIELDS]
    documents: list[int | None] = [None] * len(dataset)
    if dataset.has_field("document"):
        # Only the four fields are required: other kinds of document names are ignored.
        documents = [int(name) if _is_offset(name) else None for name in dataset.get_field("document").content]
    examples = []
    for row, fields in enumerate(zip(*columns, strict=True)):
        entities = _plain_entities(*fields)
        if entities is None:
            entities = _checked_entities(*fields, f"{split}, row {row}", compat)
        examples.append(Example(tuple(map(str, fields[0])), entities, documents[row]))
    return examples


def _plain_entities(words: object, surfaces: object, tags: object, spans: object) -> tuple[Entity, ...] | None:
    """The entities of a row of plain lists, as loaders make them; None if the row needs the full check.

    Fast path for nearly every row of a corpus: it checks whole lists at once.
    """
    if not (type(words) is type(surfaces) is type(tags) is type(spans) is list):
        return None
    try:
        "".join(words).encode()
    except (TypeError, UnicodeEncodeError):
        return None
    if not words or "" in words or not len(tags) == len(spans) == len(surfaces):
        return None
    entities = []
    for tag, span, surface in zip(tags, spans, surfaces, strict=True):
        if type(tag) is not str or not tag or type(span) is not list or len(span) % 2 or set(map(type, span)) != {int}:
            return None
        # Strictly ascending offsets are non-empty segments, in order, that do not touch.
        if span[0] < 0 or span[-1] > len(words) or any(map(ge, span, span[1:])):
            return None
        entity = Entity.from_flat(tag, span)
        if surface != entity.surface(words):
            return None
        entities.append(entity)
    return tuple(entities)


def _checked_entities(
    words: object, surfaces: object, tags: object, spans: object, where: str, compat: bool
) -> tuple[Entity, ...]:
    """The entities of a valid row; raises :class:`DataFormatError` for any other."""
    _check_words(words, where, compat)
    _check_tags(tags, where)
    _check_length(spans, tags, where, "entity_spans")
    _check_length(surfaces, tags, where, "entities")
    entities = tuple(
        Entity.from_flat(str(tag), _check_span(span, len(words), where, compat))
        for tag, span in zip(tags, spans, strict=True)
    )
    for entity, surface in zip(entities, surfaces, strict=True):
        if list(surface) != entity.surface(words):
            raise DataFormatError(
                f"{where}, field entities: {list(surface)!r:.60}, but the words of {entity.flat} are "
                f"{entity.surface(words)!r:.60}. Expected the same words. Correct the spans or the words."
            )
    return entities


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _check_words(words: object, where: str, compat: bool) -> None:
    if not _is_list(words) or not words:
        raise DataFormatError(
            f"{where}, field raw_words: {words!r:.60}. Expected a list of at least one word. Leave empty sentences out."
        )
    for word in words:
        if not isinstance(word, str) or not (word or compat) or not is_writable(word):
            raise DataFormatError(
                f"{where}, field raw_words: word {word!r:.60}. Expected text that is not empty and can be written as "
                "UTF-8. Put a placeholder there."
            )


def _check_tags(tags: object, where: str) -> None:
    if not _is_list(tags) or not all(isinstance(tag, str) and tag for tag in tags):
        raise DataFormatError(f"{where}, field entity_tags: {tags!r:.60}. Expected a list of labels. Correct it.")


def _check_length(values: object, tags: Sequence[str], where: str, name: str) -> None:
    if not _is_list(values) or len(values) != len(tags):
        raise DataFormatError(
            f"{where}, field {name}: {values!r:.60} for the labels {list(tags)!r:.60}. Expected one list per label. "
            "Add what is missing."
        )


def _check_span(span: object, n_words: int, where: str, compat: bool) -> list[int]:
    """The offsets of one entity as integers."""
    where = f"{where}, field entity_spans: {span!r:.60}"
    if not _is_list(span) or not span or len(span) % 2 or not all(_is_offset(offset) for offset in span):
        raise DataFormatError(f"{where}. Expected offsets [start, end, ...], ends exclusive. Correct them.")
    offsets = [int(offset) for offset in span]
    if offsets[0] < 0 or max(offsets) > n_words:
        raise DataFormatError(
            f"{where} in a sentence of {n_words} words. Expected offsets from 0 to {n_words}. Count from the start "
            "of the sentence."
        )
    if any(end <= start for start, end in zip(offsets[::2], offsets[1::2], strict=True)):
        raise DataFormatError(f"{where}. Expected ends after their starts: they are exclusive. Add 1 to the ends.")
    gaps = zip(offsets[1::2], offsets[2::2], strict=False)
    if not compat and any(start <= end for end, start in gaps):
        raise DataFormatError(f"{where}. Expected segments in order that do not touch. Sort and merge them.")
    return offsets


def _is_offset(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
