"""Texts in, entities out: the cost of a recogniser on top of its model (``python -m benchmarks.texts``).

Latency: one sentence after the other through ``ner(text)``, against the encoder, the source's keys and values, and as
many steps of the bare decoder as the sentence needs. File: sentences, one per line, are read, split by spaCy's rules,
recognised and written as JSON lines, against the decoding of the same sentences, encoded beforehand, in the same
batches (:mod:`benchmarks.predicting`). The model is forced to find the gold entities, so the words are those of the
corpus: spaCy still splits every text, but the result is discarded.
Memory: a small model with random weights reads 100,000 texts; the peak private memory of the process in the second half
of them, against the first half. The table shows the peak of every fifth: it rises while oneDNN fills its cache of 1024
shapes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import draw_sentences
from benchmarks.guided import GuidedModel
from benchmarks.models import LENGTHS, Shape, pointer_task
from benchmarks.predicting import predict_ours
from benchmarks.splits import EvaluationSplit, invented_split, open_split
from benchmarks.timing import compare, interleave, status_mb
from genner import patches  # noqa: F401  before fastNLP
from genner.data.schema import Example, Segment
from genner.model.folder import ModelFolder
from genner.model.stepping import StepCache
from genner.prediction.recogniser import PredictOptions, Recogniser
from genner.prediction.results import words_joined
from genner.prediction.text import SplitText, TextSplitter

__all__ = ["main", "measure", "run_through"]

_LATENCY_GOAL, _FILE_GOAL, _MEMORY_GOAL = 1.3, 0.9, 1.05
_BATCH = 64
_N_SENTENCES, _N_ALONE = 320, 24
_BETWEEN_SAMPLES = 20  # texts


class _Splitter:
    """The words of the corpus; spaCy's are computed only for their time."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._library = TextSplitter()
        given = (words_joined(example.words) for example in examples)
        self._words = {one.text: SplitText(one.words, (Segment(0, len(one.words)),)) for one in given}

    def split(self, text: str) -> SplitText:
        assert self._library.split(text).words
        return self._words[text]


class _Sides:
    """The sides of the comparison on one split."""

    def __init__(self, split: EvaluationSplit, folder: Path) -> None:
        self.split, self.folder = split, folder
        self.texts = [" ".join(example.words) for example in split.examples]
        (folder / "texts.txt").write_text("".join(f"{text}\n" for text in self.texts), encoding="utf-8")
        self.gold = [split.codec.decode(row["tgt_tokens"], row["bounds"]).entities for row in split.rows]
        self.ner = _recogniser(split)
        self.ner._splitter = _Splitter(split.examples)
        self.guided = GuidedModel(split.model, [row["tgt_tokens"] for row in split.longest_first()])
        self.task = self.ner.task
        self.task.model = self.guided
        self.alone = list(range(0, len(split.rows), max(len(split.rows) // _N_ALONE, 1)))

    def decode(self) -> None:
        """Encoded sentences to entities."""
        self.guided.restart()
        assert predict_ours(self.task, self.split, _BATCH) == self.gold, "internal error: not the gold entities"

    def file(self) -> None:
        """A file of sentences to a file of entities."""
        self.guided.restart()
        with (self.folder / "texts.txt").open(encoding="utf-8") as lines:
            found = self._written(self.ner.stream(line.rstrip("\n") for line in lines))
        assert found == list(map(len, self.gold)), "internal error: not the gold entities"

    def sentences(self) -> None:
        """Some sentences, one by one."""
        order = {row["example_idx"]: number for number, row in enumerate(self.split.longest_first())}
        for number in self.alone:
            self.guided.n_started = order[number]
            assert len(self.ner(self.texts[number])) == len(set(self.gold[number]))

    @torch.inference_mode()
    def bare(self) -> None:
        """The same sentences: encoder, keys and values of the source, and the steps of the decoder."""
        backbone = self.split.model.backbone
        stepper = backbone.stepper
        for number in self.alone:
            row = self.split.rows[number]
            src_tokens = torch.tensor([row["src_tokens"]])
            src_mask = torch.ones_like(src_tokens, dtype=torch.bool)
            memory = backbone.encode(src_tokens, src_mask)
            cache = StepCache.start(stepper.source(memory), src_mask)
            for step, symbol in enumerate(row["tgt_tokens"][:-1]):
                cache.reserve(step + 1)
                stepper(backbone.scaled_rows(torch.tensor([[symbol]])), cache, torch.tensor([[step]]))
                cache.positions, cache.longest = cache.positions + 1, step + 1

    def _written(self, results: Iterable[Any]) -> list[int]:
        counts = []
        with (self.folder / "entities.jsonl").open("w", encoding="utf-8") as file:
            for result in results:
                counts.append(len(result))
                file.write(json.dumps(result.record(), ensure_ascii=False) + "\n")
        return counts


def _recogniser(split: EvaluationSplit) -> Recogniser:
    longest = max(len(row["tgt_tokens"]) for row in split.rows)
    task = pointer_task(split.model, split.codec, split.structure, max_len=longest + 2).eval()
    folder = ModelFolder(Path("benchmark"), "pointer", split.structure, task.labels)
    return Recogniser(task, PredictOptions(batch_size=_BATCH), folder)


def measure(settings: Settings) -> list[Measure]:
    """Time sentences and files, and measure the memory of long files."""
    shape, n_sentences = (Shape.quick(), _BATCH + 4) if settings.quick else (Shape(), _N_SENTENCES)
    rounds = settings.n_rounds(9)
    with tempfile.TemporaryDirectory() as name:
        sides = _Sides(open_split("genia_subset", shape, n_sentences), Path(name))
        alone = interleave({"sentences": sides.sentences, "bare": sides.bare}, rounds=rounds)
        many = interleave({"decode": sides.decode, "file": sides.file}, rounds=rounds)
    about = {"split": sides.split.describe()}
    latency, alone_details = compare(alone, "sentences", "bare")
    share, many_details = compare(many, "decode", "file")
    memory = _run_in_process(400 if settings.quick else 100_000)
    return run_benchmark(
        __doc__,
        [
            Measure("text_latency", latency, "ratio", _LATENCY_GOAL, alone_details | about),
            Measure("text_file", share, "share", _FILE_GOAL, many_details | about),
            Measure("text_memory", memory["ratio"], "ratio", _MEMORY_GOAL, memory),
        ],
    )


def run_through(n_texts: int) -> None:
    """In a process of its own: read texts and print seconds and memory as JSON."""
    torch.set_num_threads(1)
    drawn = draw_sentences(64, LENGTHS)
    ner = _recogniser(invented_split(drawn, Shape.quick()))
    highest = [0.0] * 10
    for number, result in enumerate(ner.stream(_numbered(drawn, n_texts))):
        assert result.error is None
        if number % _BETWEEN_SAMPLES == 0:
            tenth = 10 * number // n_texts
            highest[tenth] = max(highest[tenth], status_mb("RssAnon"))
    ratio = max(highest[5:]) / max(highest[:5])
    fifths = [round(max(highest[first : first + 2]), 1) for first in range(0, 10, 2)]
    print(json.dumps({"ratio": round(ratio, 4), "highest_mb": fifths, "texts": n_texts}))


def _numbered(drawn: Sequence[Any], n_texts: int) -> Iterator[str]:
    """Texts with words that never occurred before."""
    for number in range(n_texts):
        words = drawn[number % len(drawn)].words
        yield " ".join([*words[:-1], f"word{number}", *words[-1:]])


def _run_in_process(n_texts: int) -> dict[str, Any]:
    code = f"from benchmarks.texts import run_through; run_through({n_texts})"
    root = Path(__file__).resolve().parents[1]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ended.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("texts", measure, __doc__, argv)


if __name__ == "__main__":
    main()
