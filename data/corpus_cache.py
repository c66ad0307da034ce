"""A loaded corpus kept as columns: a repeated command maps a file instead of parsing text again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from genner.data.bundle import LoadedCorpus, corpus_files, load_bundle
from genner.data.cache import CacheFile, digest_of
from genner.data.loaders import LoaderOptions, LoadReport
from genner.data.sentences import Sentences
from genner.data.splits import SplitRules
from genner.data.statistics import SplitStatistics

__all__ = ["load_cached"]

# The contents also depend on this code; its digest replaces a version number kept by hand.
_SOURCES = ("loaders/*.py", "schema.py", "splits.py", "statistics.py", "sentences.py", "corpus_cache.py")


def load_cached(
    root: Path, loader_name: str, options: LoaderOptions, rules: SplitRules, *, cache_dir: Path
) -> LoadedCorpus:
    """:func:`genner.data.bundle.load_bundle` through the cache: the same corpus, its sentences in a mapped file.

    Statistics and fingerprint, which need a pass over all sentences, are cached as well.

    Args:
        root, loader_name, options, rules: see :func:`genner.data.bundle.load_bundle`.
        cache_dir: folder of the file.

    Raises:
        ConfigError, DataFormatError: as in :func:`genner.data.bundle.load_bundle`.
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


def _arrays(examples: Mapping[str, Sentences]) -> dict[str, np.ndarray]:
    return {
        name: array for split, rows in examples.items() for name, array in rows.to_arrays(prefix=f"{split}.").items()
    }


def _note(corpus: LoadedCorpus, examples: Mapping[str, Sentences]) -> dict[str, Any]:
    return {
        "labels": {split: list(rows.labels) for split, rows in examples.items()},
        "reports": {split: [report.counts, report.places] for split, report in corpus.reports.items()},
        "notes": corpus.notes,
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
    corpus = LoadedCorpus(examples, reports, note["notes"])
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
