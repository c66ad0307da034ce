"""Where a backbone comes from: a folder, the Hugging Face hub, or random weights and a tokenizer of the corpus."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, BartConfig, PreTrainedConfig, PreTrainedTokenizerBase, T5Config
from transformers.utils import logging as transformers_logging

from genner.errors import ConfigError, MissingBackendError, NerError
from genner.model.backbones import Backbone, backbone_class
from genner.model.folder import ModelFolder
from genner.model.hub import hub_is_reachable
from genner.model.tokenizers import train_byte_bpe, train_unigram

__all__ = ["SCRATCH", "load_backbone", "load_tokenizer", "read_config", "read_tokenizer"]

_NEAR_BIAS = 6.0
_SCRATCH_POSITIONS = 1024
_SCRATCH_PREFIXES = ("scratch:", "scratch-t5:")
_ADVICE = (
    "Point --backbone at a local folder with config.json, model.safetensors and the tokenizer files, "
    "or at scratch:tiny, which needs nothing."
)


@dataclass(frozen=True)
class ScratchShape:
    """Size of a backbone with random weights."""

    width: int
    layers: int
    heads: int
    vocab_size: int


SCRATCH: dict[str, ScratchShape] = {
    "scratch:tiny": ScratchShape(width=128, layers=2, heads=4, vocab_size=1200),
    "scratch:small": ScratchShape(width=256, layers=3, heads=4, vocab_size=4000),
    "scratch:base": ScratchShape(width=768, layers=6, heads=12, vocab_size=16000),
    "scratch-t5:tiny": ScratchShape(width=128, layers=2, heads=4, vocab_size=1200),
    "scratch-t5:small": ScratchShape(width=256, layers=3, heads=4, vocab_size=4000),
}


def load_backbone(
    spec: str,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    corpus_words: Iterable[Sequence[str]] | None = None,
    seed: int = 0,
    dropout: float | None = None,
) -> Backbone:
    """The backbone that ``--backbone`` names.

    Args:
        spec: a local folder, a hub id, or one of :data:`SCRATCH`.
        tokenizer: the backbone's, where :func:`load_tokenizer` has loaded or trained it before.
        corpus_words: training sentences as word lists; only the scratch backbones without a tokenizer read them.
        seed: of the random weights; the global random state is left as it was.
        dropout: overrides all dropouts of the backbone; None keeps those of its configuration.

    Raises:
        ConfigError: a scratch size that does not exist, or no words to train its tokenizer on.
        MissingBackendError: the folder or hub entry is missing, incomplete, damaged or of an unsupported kind.
    """
    if spec.startswith(_SCRATCH_PREFIXES):
        tokenizer = tokenizer or _train_tokenizer(spec, corpus_words)
        return _from_scratch(spec, tokenizer, seed=seed, dropout=dropout)
    location = _locate(spec)
    where, is_local = str(location or spec), location is not None or not hub_is_reachable()
    config = read_config(where, local_files_only=is_local)
    kind = backbone_class(config.model_type, where)
    _set_dropout(config, kind, dropout)
    tokenizer = tokenizer or read_tokenizer(where, local_files_only=is_local)
    with _Loading(where, "no usable weights"), torch.random.fork_rng(devices=[]), _no_bar(location is not None):
        torch.manual_seed(seed)
        network, loaded = kind.network_class(config.model_type).from_pretrained(
            where,
            config=config,
            dtype=torch.float32,
            weights_only=True,
            output_loading_info=True,
            local_files_only=is_local,
        )
    if loaded["missing_keys"]:
        # transformers would go on with random weights in their place.
        absent = sorted(loaded["missing_keys"])
        raise _missing(where, f"no usable weights: {len(absent)} tensors are not there, {absent[0]} for one", None)
    return kind(network, tokenizer)


def load_tokenizer(
    spec: str, *, corpus_words: Iterable[Sequence[str]]
) -> tuple[PreTrainedTokenizerBase, int | None, list[str]]:
    """The tokenizer of a backbone without its weights, to look at a corpus before anything is trained.

    Returns:
        the tokenizer, the most pieces that the backbone takes (None: no limit, or not known), and remarks for the
        user: where the hub cannot be reached, the tokenizer is one trained on the corpus.

    Raises:
        ConfigError: a scratch size that does not exist, or no words to train on.
        MissingBackendError: a folder without a usable tokenizer.
    """
    if spec.startswith(_SCRATCH_PREFIXES):
        return _train_tokenizer(spec, corpus_words), None if _is_t5(spec) else _SCRATCH_POSITIONS, []
    ours = ModelFolder.of_backbone(spec)
    location = _locate(spec) if ours is None else ours.path
    where, is_local = str(location or spec), location is not None or not hub_is_reachable()
    try:
        config = read_config(where, local_files_only=is_local)
        tokenizer = read_tokenizer(where, local_files_only=is_local)
        return tokenizer, getattr(config, "max_position_embeddings", None), []
    except MissingBackendError:
        if location is not None:
            raise
    stand_in = "scratch:small"
    remark = (
        f"backbone: the tokenizer of {spec} is not on this machine and the hub gave none; pieces are counted "
        f"with one trained on this corpus ({stand_in})."
    )
    return _train_tokenizer(stand_in, corpus_words), None, [remark]


def read_config(where: str, *, local_files_only: bool = True) -> PreTrainedConfig:
    """The configuration stored in a folder or on the hub; raises :class:`MissingBackendError`."""
    with _Loading(where, "no usable config.json"):
        return AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=local_files_only)


def read_tokenizer(where: str, *, local_files_only: bool = True) -> PreTrainedTokenizerBase:
    """The fast tokenizer stored in a folder or on the hub; raises :class:`MissingBackendError`."""
    with _Loading(where, "no usable tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=local_files_only)
        # Without any file some classes come back with nothing but their special pieces.
        if len(tokenizer) <= len(tokenizer.all_special_tokens) + 1:
            raise ValueError("it has special pieces only")
    return tokenizer


class _Loading:
    """Blames its block's errors on the files that it loads.

    What libraries raise over files that are missing, damaged or of another model can be of any type: the tokenizers
    raise a bare ``Exception``, transformers whatever a wrong type of a value leads to.
    """

    def __init__(self, where: str, what: str) -> None:
        self.where, self.what = where, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, NerError | MemoryError):
            raise _missing(self.where, self.what, error) from error


def _locate(spec: str) -> Path | None:
    """The folder that ``spec`` names, None if it can only be a hub id."""
    path = Path(os.path.expanduser(spec))
    if os.path.isdir(path):
        return path
    if path.is_absolute() or spec.startswith((".", "~")) or spec.count("/") > 1 or os.path.exists(path):
        raise MissingBackendError(f"{spec}: no such model folder. Expected a folder or a hub id. {_ADVICE}")
    return None


def _missing(where: str, what: str, error: BaseException | None) -> MissingBackendError:
    reason = f" ({' '.join(str(error).split())[:200]})" if error is not None else ""
    if not Path(where).is_dir() and not hub_is_reachable():
        what = f"{what}: not among the files kept from the hub, and there is no network"
        reason = ""
    return MissingBackendError(f"{where}: {what}{reason}. Expected a pretrained encoder-decoder. {_ADVICE}")


@contextlib.contextmanager
def _no_bar(is_local: bool) -> Iterator[None]:
    """No progress bar for what takes an instant; a download keeps its own."""
    hide = is_local and transformers_logging.is_progress_bar_enabled()
    if hide:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            transformers_logging.enable_progress_bar()


def _set_dropout(config: PreTrainedConfig, kind: type[Backbone], dropout: float | None) -> None:
    if dropout is not None:
        for name in kind.dropout_fields:
            setattr(config, name, dropout)


def _from_scratch(spec: str, tokenizer: PreTrainedTokenizerBase, *, seed: int, dropout: float | None) -> Backbone:
    config = (_t5_config if _is_t5(spec) else _bart_config)(SCRATCH[spec], tokenizer)
    kind = backbone_class(config.model_type, spec)
    _set_dropout(config, kind, dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind.network_class(config.model_type)(config)
        if _is_t5(spec):
            _spread_relative_biases(network)
    return kind(network, tokenizer, is_fresh=True)


@torch.no_grad()
def _spread_relative_biases(network: nn.Module) -> None:
    """Start every head of T5 with an eye on one of the nearest words.

    T5's own start is nearly the same for all distances, so an untrained T5 cannot tell one position from another, and
    pointers are positions: on the demo the training loss after 300 steps was 1.4 instead of 1.9.
    """
    for name, bias in network.named_parameters():
        if not name.endswith("relative_attention_bias.weight"):
            continue
        n_buckets, n_heads = bias.shape
        # In the encoder the first half of the buckets is for what stands before, the second for what stands behind.
        is_encoder = name.startswith("encoder")
        near = [1, n_buckets // 2 + 1, 2, 0] if is_encoder else [0, 1, 2, 3]
        bias.normal_(std=1.0)
        for head in range(n_heads):
            bias[near[head % len(near)], head] += _NEAR_BIAS


def _train_tokenizer(spec: str, corpus_words: Iterable[Sequence[str]] | None) -> PreTrainedTokenizerBase:
    shape = SCRATCH.get(spec)
    if shape is None:
        raise ConfigError(f"backbone: unknown size {spec!r}. Expected one of {', '.join(SCRATCH)}. Change --backbone.")
    if corpus_words is None:
        raise ConfigError(f"backbone: {spec} without a corpus. Expected words for its tokenizer. Give corpus_words.")
    return (train_unigram if _is_t5(spec) else train_byte_bpe)(corpus_words, shape.vocab_size)


def _is_t5(spec: str) -> bool:
    return spec.startswith("scratch-t5:")


def _bart_config(shape: ScratchShape, tokenizer: PreTrainedTokenizerBase) -> BartConfig:
    return BartConfig(
        vocab_size=len(tokenizer),
        d_model=shape.width,
        encoder_layers=shape.layers,
        decoder_layers=shape.layers,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_ffn_dim=4 * shape.width,
        decoder_ffn_dim=4 * shape.width,
        max_position_embeddings=_SCRATCH_POSITIONS,
        init_std=0.02,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,
    )


def _t5_config(shape: ScratchShape, tokenizer: PreTrainedTokenizerBase) -> T5Config:
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=shape.width,
        d_kv=shape.width // shape.heads,
        d_ff=4 * shape.width,
        num_layers=shape.layers,
        num_heads=shape.heads,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
