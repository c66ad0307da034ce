"""Sentences as the Trainer gets them: rows of the pointer pipe behind the loader of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from genner import patches  # noqa: F401  before fastNLP
from genner.data.alignment import WordTokenizer
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.encoded import collate_pointer
from genner.data.pipe import PipeConfig, PointerPipe
from genner.data.schema import Example
from genner.training.samplers import LoaderConfig, build_loader

__all__ = ["TrainingData", "loss_of"]


class TrainingData:
    """Encoded sentences with ``word`` targets.

    Args:
        examples: the sentences.
        tokenizer: of the backbone.
        labels: of the entities.

    Attributes:
        codec: of the targets.
        lengths: source pieces of every sentence.
    """

    def __init__(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> None:
        self.codec = PointerCodec(PointerVocab(tuple(labels)), "word")
        words = WordTokenizer(tokenizer)
        pipe = PointerPipe(words, self.codec, PipeConfig(use_cache=False))
        encoded = pipe.encode_splits({"train": examples})["train"]
        self.lengths: list[int] = encoded.lengths.tolist()
        self.n_symbols = int(encoded.target_lengths.sum())
        self._rows = list(encoded)
        self._collate = partial(collate_pointer, pad_id=words.pad_id)

    def loader(self, **settings: Any) -> DataLoader:
        """A loader over all sentences; settings as in :class:`genner.training.samplers.LoaderConfig`."""
        return build_loader(self._rows, self.lengths, self._collate, LoaderConfig(**settings))

    def batch(self, rows: Sequence[int]) -> dict[str, Any]:
        """One batch of these rows."""
        return self._collate([self._rows[idx] for idx in rows])

    def padding(self, batches: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Share of padding among the pieces and the symbols of the batches, which hold every sentence."""
        pieces = sum(batch["src_tokens"].numel() for batch in batches)
        symbols = sum(batch["tgt_tokens"].numel() for batch in batches)
        return {
            "padding of pieces": round(1 - sum(self.lengths) / pieces, 3),
            "padding of symbols": round(1 - self.n_symbols / symbols, 3),
        }


def loss_of(model: Any, batch: Mapping[str, Any]) -> Tensor:
    """The model's training loss of a batch."""
    return model(*(batch[name] for name in ("src_tokens", "src_seq_len", "tgt_tokens", "tgt_seq_len", "first")))["loss"]
