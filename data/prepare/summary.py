"""The last step of a preparation: write the splits, read them back with our loaders, and count what they hold."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genner.data.fingerprints import compare
from genner.data.loaders import LoaderOptions
from genner.data.prepare.request import SPLITS
from genner.data.schema import Example
from genner.data.splits import SplitRules
from genner.data.statistics import SplitStatistics, corpus_notes, corpus_statistics
from genner.data.tally import Tally
from genner.data.writing import FORMATS, write_split
from genner.errors import DataFormatError
from genner.files import write_json

if TYPE_CHECKING:
    from genner.data.bundle import LoadedCorpus

__all__ = ["Prepared", "write_corpus"]

_DEV_EVERY, _DEV_SHARE = 4, 10  # genia's published run: every 4th training sentence, until dev has a tenth of them


@dataclass(frozen=True)
class Prepared:
    """What a preparation wrote.

    Attributes:
        folder: where the files are.
        statistics: of every split, as read back.
        changes: of every split what the loader repaired or left out, in words.
        notes: what those who train on it should know.
        verdict: how the counts compare with the published ones, in words.
        n_sentences: that were written; ``seconds``: that it took.
    """

    folder: Path
    statistics: Mapping[str, SplitStatistics]
    changes: Mapping[str, Sequence[str]]
    notes: Sequence[str]
    verdict: Sequence[str]
    n_sentences: int
    seconds: float


def write_corpus(
    folder: Path, dataset: str, loader: str, splits: Mapping[str, Sequence[Example]], tally: Tally, start: float
) -> Prepared:
    """Write the splits and a ``prepare.json`` with what was counted, and read them back.

    Args:
        folder: for the files.
        dataset: name of the recipe whose published counts are compared.
        loader: of the format.
        splits: the examples; if ``genia`` has no dev, it is taken from train as its recipe does.
        tally: the counts so far.
        start: of the preparation (``time.perf_counter``).

    Raises:
        DataFormatError: a split is empty, cannot be written, or does not read back unchanged.
    """
    for split, examples in splits.items():
        if not examples:
            left_out = f" ({'; '.join(tally.lines()[:3])})" if tally.counts else ""
            raise DataFormatError(
                f"{split}: no sentences left{left_out}. Expected at least one. Correct the source, or choose another "
                "--raw."
            )
    names = {split: split + FORMATS[loader] for split in splits}
    _check_folder(folder, list(names.values()))
    with _workshop(folder) as temporary:
        files = {split: write_split(temporary, split, loader, examples, tally) for split, examples in splits.items()}
        seconds = max(time.perf_counter() - start, 1e-9)
        corpus = _read_back(dataset, loader, files, splits)
        statistics = corpus_statistics(corpus.examples)
        verdict = compare(dataset, statistics)
        record = {"dataset": dataset, "loader": loader, "files": names, "counted": dict(tally.counts)}
        write_json(temporary / "prepare.json", record | {"places": tally.places, "verdict": verdict})
        for name in (*names.values(), "prepare.json"):
            os.replace(temporary / name, folder / name)
    changes = {split: report.lines() for split, report in corpus.reports.items()}
    notes = [*corpus.notes, *corpus_notes(statistics)]
    return Prepared(folder, statistics, changes, notes, verdict, sum(map(len, splits.values())), seconds)


@contextlib.contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A folder for files that are not checked yet, which goes whatever happens, as does ``folder`` if it is new."""
    is_new = not folder.exists()
    temporary = folder / ".prepare.tmp"
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed preparation
    try:
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise DataFormatError(
                f"--out: {folder}: cannot be made or written ({error.strerror}). Expected a folder, or the name of a "
                "new one. Choose another --out."
            ) from None
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse leftover files, which would be read as a split of this corpus."""
    if not folder.is_dir():
        return
    others = sorted(path.name for path in folder.iterdir() if path.stem in SPLITS and path.name not in names)
    if others:
        raise DataFormatError(
            f"{folder}: {', '.join(others)} of an earlier preparation. Expected an empty folder, or the files that "
            f"will be written ({', '.join(names)}). Choose another --out, or remove them."
        )


def _read_back(
    dataset: str, loader: str, files: Mapping[str, Path], splits: Mapping[str, Sequence[Example]]
) -> LoadedCorpus:
    """The corpus as training will read it, after a check that nothing was lost."""
    from genner.data.bundle import load_bundle  # late: fastNLP takes seconds, which --help should not cost

    whole = load_bundle(None, loader, LoaderOptions(max_words=None), files=files)
    _check_read_back(whole.examples, splits)
    rules = SplitRules()
    if dataset == "genia" and "dev" not in splits:
        rules = SplitRules(dev_every=_DEV_EVERY, dev_size=max(1, len(splits["train"]) // _DEV_SHARE))
    return load_bundle(None, loader, LoaderOptions(), rules, files=files)


def _check_read_back(found: Mapping[str, Sequence[Example]], written: Mapping[str, Sequence[Example]]) -> None:
    """Check that the files have the same sentences, words and entities as the input."""
    for split, examples in written.items():
        rows = found[split]
        if len(rows) != len(examples):
            raise DataFormatError(
                f"{split}: {len(examples)} sentences were written but {len(rows)} read back. Expected the same. A "
                "sentence may consist of the word -DOCSTART- or the like: fix the source."
            )
        for number, (row, example) in enumerate(zip(rows, examples, strict=True), 1):
            same = [entity.segments for entity in row.entities] == [entity.segments for entity in example.entities]
            if len(row.words) != len(example.words) or not same:
                raise DataFormatError(
                    f"{split}, sentence {number}: {' '.join(example.words)[:60]!r} reads back with other words or "
                    "entities. Expected the same. Fix the source, or report it."
                )
