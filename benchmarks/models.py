"""Model and batches for the benchmarks of training and decoding."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import BartConfig, BartModel, EncoderDecoderCache, PreTrainedTokenizerBase
from transformers.models.bart.modeling_bart import BartDecoder

from benchmarks.corpus import LABELS, draw_sentences
from genner.data.alignment import WordTokenizer
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.encoded import collate_pointer
from genner.data.labels import LabelSet
from genner.formulations.pointer.settings import OpenSettings
from genner.formulations.pointer.task import PointerTask, Target
from genner.model.backbones import BartBackbone
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.tokenizers import train_byte_bpe

__all__ = ["LENGTHS", "Shape", "Workload", "build_model", "cache_argument", "pointer_task"]

#: Words per sentence, as varied as in news: 25 on average.
LENGTHS = (25, 12, 31, 18, 44, 8, 27, 35, 21, 15, 38, 29, 10, 24, 33, 30)


@dataclass(frozen=True)
class Shape:
    """Size of the model and of the batch.

    Attributes:
        width: H; the inner layers have four times as many.
        layers: of the encoder, and of the decoder.
        heads: of attention.
        vocab_size: rows of the embedding.
        n_sentences: B.
    """

    width: int = 512
    layers: int = 4
    heads: int = 8
    vocab_size: int = 16_000
    n_sentences: int = 16

    @classmethod
    def quick(cls) -> Shape:
        """Enough to check that everything runs."""
        return cls(width=32, layers=1, heads=2, vocab_size=400, n_sentences=4)


def build_model(shape: Shape, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]) -> PointerModel:
    """A BART of random weights with the pointer head of the recipes, dropouts included."""
    torch.manual_seed(1)
    network = BartModel(
        BartConfig(
            vocab_size=max(shape.vocab_size, len(tokenizer)),
            d_model=shape.width,
            encoder_layers=shape.layers,
            decoder_layers=shape.layers,
            encoder_attention_heads=shape.heads,
            decoder_attention_heads=shape.heads,
            encoder_ffn_dim=4 * shape.width,
            decoder_ffn_dim=4 * shape.width,
            max_position_embeddings=1024,
            attn_implementation="sdpa",
        )
    )
    return PointerModel(BartBackbone(network, tokenizer, is_fresh=True), labels, PointerConfig())


def pointer_task(
    model: PointerModel, codec: PointerCodec, structure: str = "discontinuous", **search: Any
) -> PointerTask:
    """The task of a model whose answers have at most 10 symbols and are not drafted, unless ``search`` says otherwise.

    Args:
        model: scores symbols.
        codec: of its targets.
        structure: what the constraint lets a sentence hold.
        search: fields of :class:`genner.formulations.pointer.settings.OpenSettings`.
    """
    usual = {"max_len": 10, "max_len_ratio": 0.0, "draft_len": 0, "constrained": True}
    target = Target(unit=codec.unit, order=codec.order, kind=structure, compat=codec.compat)
    return PointerTask(model, LabelSet.from_tags(codec.vocab.labels), target, OpenSettings(**{**usual, **search}))


def cache_argument(cache: EncoderDecoderCache) -> dict[str, EncoderDecoderCache]:
    """The cache under its parameter name in this version of transformers."""
    names = inspect.signature(BartDecoder.forward).parameters
    return {"cache" if "cache" in names else "past_key_values": cache}


class Workload:
    """A random half-size BART with the pointer head of the recipes, and one batch for it.

    Args:
        shape: sizes.
        device: of both.

    Attributes:
        model: of random weights, dropouts as in the recipes.
        batch: ``src_tokens src_seq_len tgt_tokens tgt_seq_len first``.
    """

    def __init__(self, shape: Shape, device: str = "cpu") -> None:
        corpus = draw_sentences(max(shape.vocab_size // 4, shape.n_sentences), LENGTHS)
        tokenizer = train_byte_bpe([example.words for example in corpus], shape.vocab_size)
        self.model = build_model(shape, tokenizer, LABELS).to(device)
        self.batch = self._batch(corpus[: shape.n_sentences], tokenizer, device)

    @property
    def inputs(self) -> Tensor:
        """(B, T-1) embedding rows of the targets as decoder inputs, padded."""
        tgt_tokens, state = self.batch["tgt_tokens"], self.model.start(*self.sources)
        rows = state.row_table.gather(1, tgt_tokens[:, :-1])
        column = torch.arange(rows.shape[1], device=rows.device)
        return rows.masked_fill(column >= self.batch["tgt_seq_len"].unsqueeze(1), self.model.backbone.pad_id)

    @property
    def sources(self) -> tuple[Tensor, Tensor]:
        """``src_tokens`` (B, S) and ``src_seq_len`` (B,)."""
        return self.batch["src_tokens"], self.batch["src_seq_len"]

    @property
    def src_mask(self) -> Tensor:
        """(B, S) bool, True = piece."""
        src_tokens, src_seq_len = self.sources
        return torch.arange(src_tokens.shape[1], device=src_tokens.device) < src_seq_len.unsqueeze(1)

    def describe(self) -> str:
        """Sizes in words."""
        n_rows, width = self.batch["src_tokens"].shape
        pieces, symbols = int(self.batch["src_seq_len"].sum()), int(self.batch["tgt_seq_len"].sum())
        size = sum(parameter.numel() for parameter in self.model.parameters()) / 1e6
        return (
            f"{size:.1f} M parameters; {n_rows} sentences padded to {width} pieces ({pieces} real) and "
            f"{self.batch['tgt_tokens'].shape[1]} symbols ({symbols} real)"
        )

    def _batch(self, examples: list, tokenizer: object, device: str) -> dict[str, Tensor]:
        codec = PointerCodec(PointerVocab(LABELS), "word")
        aligned = WordTokenizer(tokenizer).align_columns([example.words for example in examples])
        rows = []
        for example, piece_ids, bounds in zip(examples, *aligned, strict=True):
            target = codec.encode(example.entities, bounds)
            rows.append({"src_tokens": piece_ids, "first": bounds[:-1], "tgt_tokens": target.symbols})
        batch = collate_pointer(rows, self.model.backbone.pad_id)
        return {name: tensor.to(device) for name, tensor in batch.items()}
