"""Pipe: sentences of 25 words per second, one thread (``python -m benchmarks.pipe``).

Cold: no cache on disk and a tokenizer wrapper that has seen no word yet. The time includes validation of the rows of a
``DataBundle``, pieces, targets, and the oracle score of the decoded targets.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

# Before tokenizers is imported: its own threads would make this the speed of more than one core.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from benchmarks.command import Measure, Settings, run_benchmark, run_command
from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.timing import interleave
from genner import patches  # noqa: F401  before fastNLP
from genner.data.alignment import WordTokenizer
from genner.data.bundle import examples_of, to_dataset
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.pipe import PipeConfig, PointerPipe
from genner.model.tokenizers import train_byte_bpe

__all__ = ["main", "measure"]

_GOAL = 10_000
_MAX_POSITIONS = 1024
_VOCAB_SIZE = 16_000


def measure(settings: Settings) -> list[Measure]:
    """Encode sentences of 25 words, with a new pipe in every round."""
    n_sentences = 40 if settings.quick else 6000
    examples = draw_sentences(n_sentences)
    tokenizer = train_byte_bpe([example.words for example in examples], 400 if settings.quick else _VOCAB_SIZE)
    dataset = to_dataset(examples)
    codec = PointerCodec(PointerVocab(LABELS), "word")
    config = PipeConfig(use_cache=False, max_pieces=_MAX_POSITIONS, max_symbols=_MAX_POSITIONS)
    rounds = settings.n_rounds(15)
    # The wrapper reads the whole vocabulary, once per program: not part of the time per sentence.
    pipes = [PointerPipe(WordTokenizer(tokenizer), codec, config) for _ in range(rounds + 1)]
    fresh = iter(pipes)
    encode = lambda: next(fresh).encode_splits({"train": examples_of(dataset)})  # noqa: E731
    found = interleave({"encode": encode}, rounds=rounds)["encode"]
    assert all(pipe.reports["train"].oracle_f == 100.0 for pipe in pipes), "internal error: targets lose entities"
    speed = n_sentences / statistics.median(found.cpu)
    details = {
        "encode": found.to_dict("cpu"),
        "best sentences/s": round(n_sentences / min(found.cpu)),
        "by wall-clock time, sentences/s": round(n_sentences / statistics.median(found.wall)),
        "sentences": n_sentences,
        "distinct words": len({word for example in examples for word in example.words}),
        "entities": sum(len(example.entities) for example in examples),
    }
    return run_benchmark(__doc__, [Measure("pipe", speed, "sentences/s", _GOAL, details)])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and write the JSON file."""
    run_command("pipe", measure, __doc__, argv)


if __name__ == "__main__":
    main()
