"""Real splits for the benchmarks of prediction: encoded sentences of open corpora, and a model for them.

``genia_subset`` and ``craft`` are read from the folder ``$GENNER_SHARED_DATA`` (default ``../shared/data``). Without
them, invented sentences with lengths of the same spread are used, and the tables say so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.models import LENGTHS, Shape, build_model
from genner import patches  # noqa: F401  before fastNLP
from genner.data.alignment import WordTokenizer
from genner.data.bundle import load_bundle
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.encoded import collate_pointer
from genner.data.schema import Example
from genner.model.pointer import PointerModel
from genner.model.tokenizers import train_byte_bpe

__all__ = ["SPLITS", "EvaluationSplit", "invented_split", "open_split"]

#: Name of a corpus and its kind.
SPLITS = {"genia_subset": "nested", "craft": "discontinuous"}
_INVENTED_LENGTHS = (*LENGTHS, 3, 60, 5, 90, 14, 40)
_N_INVENTED = 1000


@dataclass(frozen=True)
class EvaluationSplit:
    """The first sentences of a test split and a model of random weights for them.

    Attributes:
        name: of the corpus, or ``invented``.
        structure: of its entities.
        rows: ``src_tokens first bounds tgt_tokens example_idx word_offset`` per sentence, in file order.
        codec: of the ``word`` targets.
        model: in eval mode.
        examples: the sentences, in the same order.
    """

    name: str
    structure: str
    rows: list[dict[str, Any]]
    codec: PointerCodec
    model: PointerModel
    examples: Sequence[Example]

    @property
    def n_symbols(self) -> int:
        """Number of symbols to write, EOS included."""
        return sum(len(row["tgt_tokens"]) - 1 for row in self.rows)

    @property
    def n_labels(self) -> int:
        """L."""
        return len(self.codec.vocab.labels)

    def longest_first(self) -> list[dict[str, Any]]:
        """The rows in the order of their evaluation."""
        return sorted(self.rows, key=lambda row: len(row["src_tokens"]), reverse=True)

    def batches(self, rows: Sequence[dict[str, Any]], size: int) -> list[dict[str, Any]]:
        """Padded batches of this many rows."""
        starts = range(0, len(rows), size)
        return [collate_pointer(rows[start : start + size], self.model.backbone.pad_id) for start in starts]

    def describe(self) -> str:
        """Sizes in words."""
        pieces = sum(len(row["src_tokens"]) for row in self.rows) / len(self.rows)
        size = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        symbols = self.n_symbols / len(self.rows)
        lengths = f"on average {pieces:.1f} pieces and {symbols:.1f} symbols"
        return f"{len(self.rows)} sentences, {lengths}; {size:.1f} M parameters"


def open_split(name: str, shape: Shape, n_sentences: int | None) -> EvaluationSplit:
    """The first sentences of the test split of ``name``, a key of :data:`SPLITS`; None takes all of them."""
    folder = Path(os.environ.get("GENNER_SHARED_DATA", "../shared/data")) / name
    if not folder.is_dir():
        return invented_split(draw_sentences(n_sentences or _N_INVENTED, _INVENTED_LENGTHS, seed=12), shape)
    corpus = load_bundle(folder, SPLITS[name]).examples
    train, test = corpus["train"], corpus["test"][:n_sentences]
    labels = sorted({entity.label for example in train for entity in example.entities})
    tokenizer = train_byte_bpe([example.words for example in train], shape.vocab_size)
    return _prepare(name, SPLITS[name], labels, tokenizer, test, shape)


def invented_split(test: Sequence[Example], shape: Shape, labels: Sequence[str] = LABELS) -> EvaluationSplit:
    """A split of invented sentences; the tokenizer is trained on other ones."""
    train = draw_sentences(max(shape.vocab_size // 4, 64), LENGTHS)
    tokenizer = train_byte_bpe([example.words for example in train], shape.vocab_size)
    return _prepare("invented", "discontinuous", labels, tokenizer, test, shape)


def _prepare(
    name: str,
    structure: str,
    labels: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    test: Sequence[Example],
    shape: Shape,
) -> EvaluationSplit:
    codec = PointerCodec(PointerVocab(tuple(labels)), "word")
    rows = _encode(test, WordTokenizer(tokenizer), codec)
    return EvaluationSplit(name, structure, rows, codec, build_model(shape, tokenizer, labels).eval(), test)


def _encode(examples: Sequence[Example], tokenizer: WordTokenizer, codec: PointerCodec) -> list[dict[str, Any]]:
    """Rows of the pointer pipe."""
    rows = []
    aligned = zip(examples, *tokenizer.align_columns([example.words for example in examples]), strict=True)
    for idx, (example, piece_ids, bounds) in enumerate(aligned):
        rows.append(
            {
                "src_tokens": piece_ids,
                "first": bounds[:-1],
                "bounds": bounds,
                "tgt_tokens": codec.encode(example.entities, bounds).symbols,
                "example_idx": idx,
                "word_offset": 0,
            }
        )
    return rows
