"""Loading: opening a cached corpus, and the memory of an epoch (``python -m benchmarks.loading``).

Opening is what a repeated command does: the text files are hashed, the sentences and the encoded rows are mapped and
checked, and a loader is created. Memory is the peak private memory of a process (``RssAnon``; the pages of a mapped
file are shared and can be evicted) while every batch of an epoch is collated: the difference between a large and a
small corpus, each in a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

# Before tokenizers is imported: its own threads would make this the speed of more than one core.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from transformers import AutoTokenizer

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.timing import interleave, status_mb
from genner import patches  # noqa: F401  before fastNLP
from genner.data.alignment import WordTokenizer
from genner.data.bundle import load_cached
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.encoded import EncodedSplit, collate_pointer
from genner.data.loaders import LoaderOptions
from genner.data.pipe import PipeConfig, PointerPipe
from genner.data.splits import SplitRules
from genner.data.tally import Tally
from genner.data.writing import write_split
from genner.model.tokenizers import train_byte_bpe
from genner.training.samplers import LoaderConfig, build_loader

__all__ = ["main", "measure", "run_through"]

_OPENING_GOAL_S = 1.0
_MEMORY_GOAL_MB = 8.0
_N_DRAWN = 6000  # sentences; repeated to the wanted size, which the cache does not notice
_VOCAB_SIZE = 16_000
_BATCH_SIZE = 16
_BETWEEN_SAMPLES = 25  # batches


def measure(settings: Settings) -> list[Measure]:
    """Create both corpora and their caches, open the large one, run an epoch of each."""
    small, large = (40, 400) if settings.quick else (10_000, 100_000)
    drawn = draw_sentences(min(large, _N_DRAWN))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [example.words for example in drawn]
        train_byte_bpe(words, 400 if settings.quick else _VOCAB_SIZE).save_pretrained(folder / "tokenizer")
        for size in (small, large):
            for split, n_rows in (("train", size), ("dev", 40), ("test", 40)):
                rows = [drawn[row % len(drawn)] for row in range(n_rows)]
                write_split(folder / str(size), split, "discontinuous", rows, Tally())
            _open(folder, size, _tokenizer(folder), is_made=False)
        tokenizer = _tokenizer(folder)
        sides = {"opening": lambda: _open(folder, large, tokenizer)}
        opening = interleave(sides, rounds=settings.n_rounds(15))["opening"]
        runs = {size: _run_in_process(folder, size) for size in (small, large)}
    growth = runs[large]["anonymous_mb"] - runs[small]["anonymous_mb"]
    details = {"opening": opening.to_dict("cpu"), "sentences": large, "words": 25 * large}
    speed = large / runs[large]["cpu_s"]
    return run_benchmark(
        __doc__,
        [
            Measure("cache_opening", statistics.median(opening.cpu), "s", _OPENING_GOAL_S, details),
            Measure("cache_memory", max(growth, 0.0), "MB", _MEMORY_GOAL_MB, {f"{n} sentences": runs[n] for n in runs}),
            Measure("cache_batches", speed, "sentences/s", None, {"batch": f"{_BATCH_SIZE} sentences, shuffled"}),
        ],
    )


def run_through(folder: str, size: int) -> None:
    """In a process of its own: collate every batch once and print seconds and memory as JSON."""
    torch.set_num_threads(1)
    rows = _open(Path(folder), size, _tokenizer(Path(folder)))
    config = LoaderConfig(size=_BATCH_SIZE, shuffle=True)
    loader = build_loader(rows, rows.lengths, partial(collate_pointer, pad_id=1), config)
    highest, begin = 0.0, time.process_time()
    for number, _ in enumerate(loader):
        if number % _BETWEEN_SAMPLES == 0:
            highest = max(highest, status_mb("RssAnon"))
    found = {"cpu_s": round(time.process_time() - begin, 3), "anonymous_mb": round(highest, 1)}
    mapped = status_mb("RssFile") + status_mb("RssShmem")  # a folder in memory counts as shared
    print(json.dumps(found | {"mapped_mb": round(mapped, 1), "peak_resident_mb": round(status_mb("VmHWM"), 1)}))


def _tokenizer(folder: Path) -> WordTokenizer:
    return WordTokenizer(AutoTokenizer.from_pretrained(folder / "tokenizer"))


def _open(folder: Path, size: int, tokenizer: WordTokenizer, *, is_made: bool = True) -> EncodedSplit:
    """The encoded training rows of a corpus through both caches, which exist if ``is_made``."""
    caches = folder / f"caches-{size}"
    corpus = load_cached(folder / str(size), "discontinuous", LoaderOptions(), SplitRules(), cache_dir=caches)
    codec = PointerCodec(PointerVocab(LABELS), "word")
    pipe = PointerPipe(tokenizer, codec, PipeConfig(cache_dir=caches))
    rows = pipe.encode_splits(corpus.examples)
    found = {report.cache for report in pipe.reports.values()}
    assert found == {"hit" if is_made else "miss"}, f"internal error: cache {found}"
    build_loader(rows["train"], rows["train"].lengths, list, LoaderConfig(size=_BATCH_SIZE))
    return rows["train"]


def _run_in_process(folder: Path, size: int) -> dict[str, Any]:
    code = f"from benchmarks.loading import run_through; run_through({str(folder)!r}, {size})"
    root = Path(__file__).resolve().parents[1]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ended.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables and write the JSON file."""
    run_command("loading", measure, __doc__, argv)


if __name__ == "__main__":
    main()
