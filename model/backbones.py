"""A small interface to the encoder-decoders of transformers, and the table of supported ones.

Another family is a subclass of :class:`Backbone` and a row in :data:`BACKBONES`. Loading a backbone (hub, folder,
random weights) is done in ``model.sources``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from genner.errors import ConfigError, MissingBackendError, SequenceTooLongError
from genner.model.stepping import BartStepper, Stepper, T5Stepper

__all__ = ["BACKBONES", "Backbone", "BartBackbone", "T5Backbone", "backbone_class"]


class Backbone(nn.Module):
    """An encoder-decoder with a shared embedding matrix, as encode and decode over hidden states.

    Attributes:
        network: the transformers model, without a head.
        tokenizer: its fast tokenizer.
        lead, tail: number of special pieces before and after a sentence; the tail is always the end piece.
        bos_id: row that starts the decoder; eos_id, pad_id: end piece and padding.
        hidden_size: H.
        max_positions: longest source and target, None if positions are relative.
        output_scale: factor on decoder states before they are compared with embedding rows.
        is_fresh: True if the weights are random rather than pretrained.
    """

    network_classes: ClassVar[dict[str, str]] = {}
    dropout_fields: ClassVar[tuple[str, ...]] = ()
    stepper_class: ClassVar[type[Stepper]] = Stepper

    def __init__(self, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, is_fresh: bool = False) -> None:
        super().__init__()
        self.network = network
        self.tokenizer = tokenizer
        self.is_fresh = is_fresh
        self.hidden_size: int = network.config.d_model
        self.eos_id: int = tokenizer.eos_token_id
        self.pad_id: int = tokenizer.pad_token_id
        self.lead = _count_lead(tokenizer)
        self.tail = 1
        self.bos_id = self._start_id()
        self.max_positions: int | None = None
        self.output_scale = 1.0
        self.embedding_scale = 1.0

    @classmethod
    def network_class(cls, model_type: str) -> type[PreTrainedModel]:
        """The transformers class behind ``model_type``."""
        return getattr(transformers, cls.network_classes[model_type])

    def _start_id(self) -> int:
        raise NotImplementedError

    @property
    def embedding(self) -> nn.Embedding:
        """The matrix shared by encoder input, decoder input and scores."""
        return self.network.get_input_embeddings()

    @property
    def n_rows(self) -> int:
        """Number of rows of the shared embedding."""
        return self.embedding.weight.shape[0]

    def embed(self, ids: Tensor) -> Tensor:
        """Unscaled rows of the shared embedding, ``ids.shape + (H,)``.

        One call for all rows of a training step is cheaper than several: each creates a gradient of the size of the
        whole matrix.
        """
        return functional.embedding(ids, self.embedding.weight)

    def encode(self, inputs: Tensor, src_mask: Tensor) -> Tensor:
        """Encode a batch.

        Args:
            inputs: (B, S) piece ids, or (B, S, H) their rows from :meth:`embed`.
            src_mask: (B, S) bool, True = piece; or the result of :meth:`attention_mask`.

        Returns:
            (B, S, H) states.

        Raises:
            SequenceTooLongError: S exceeds ``max_positions``.
        """
        self._check_length("source", inputs.shape[1])
        output = self.network.encoder(
            inputs_embeds=self.scaled_rows(inputs), attention_mask=self.attention_mask(src_mask), return_dict=True
        )
        return output.last_hidden_state

    def decode(self, inputs: Tensor, target_mask: Tensor | None, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Run the causal decoder over whole targets; :attr:`stepper` runs it symbol by symbol.

        Args:
            inputs: (B, T) ids or (B, T, H) rows.
            target_mask: (B, T) bool, True = step that later ones may attend to; None: all.
            memory: (B, S, H) encoder states.
            memory_mask: (B, S) bool or the result of :meth:`attention_mask`.

        Returns:
            (B, T, H) states of the last layer, not yet scaled.

        Raises:
            SequenceTooLongError: more target steps than positions.
        """
        self._check_length("target", inputs.shape[1])
        output = self.network.decoder(
            inputs_embeds=self.scaled_rows(inputs),
            attention_mask=target_mask,
            encoder_hidden_states=memory,
            encoder_attention_mask=self.attention_mask(memory_mask),
            use_cache=False,
            return_dict=True,
        )
        return output.last_hidden_state

    @property
    def stepper(self) -> Stepper:
        """Runs the decoder symbol by symbol."""
        return self.stepper_class(self.network.decoder)

    def check_room(self, bound: int, ends: Tensor) -> None:
        """Raise :class:`SequenceTooLongError` if one of the targets, (R,) ``ends`` symbols long, is too long.

        ``bound`` is at least their maximum: as long as that fits, no device synchronisation is needed.
        """
        if self.max_positions is not None and bound > self.max_positions:
            self._check_length("target", int(ends.max()))

    def attention_mask(self, mask: Tensor) -> Tensor:
        """The attention layers' form of a (B, S) bool mask, computed once for all layers and steps.

        Returns:
            (B, 1, 1, S); a mask of this form is returned unchanged.
        """
        if mask.dim() == 4:
            return mask
        mask = mask[:, None, None, :]
        if self.network.config._attn_implementation != "eager":
            return mask
        dtype = self.embedding.weight.dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)

    def resize(self, n_rows: int) -> None:
        """Resize the shared embedding to ``n_rows`` rows; new ones are initialised as the network's own."""
        self.network.resize_token_embeddings(n_rows, mean_resizing=False)

    def layer_norms(self) -> list[nn.Module]:
        """All normalisation layers of both sides."""
        return [module for module in self.network.modules() if "LayerNorm" in type(module).__name__]

    def save(self, folder: Path) -> None:
        """Write the configuration and the tokenizer, not the weights."""
        self.network.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def scaled_rows(self, inputs: Tensor) -> Tensor:
        """Inputs of encoder and decoder: (B, T) ids or their rows, (B, T, H), scaled as in the network."""
        rows = inputs if inputs.is_floating_point() else self.embed(inputs)
        return rows if self.embedding_scale == 1.0 else rows * self.embedding_scale

    def _check_length(self, side: str, n_positions: int) -> None:
        if self.max_positions is not None and n_positions > self.max_positions:
            advice = "set data.on_too_long to split or drop" if side == "source" else "lower pointer.max_len"
            raise SequenceTooLongError(
                f"backbone: a {side} of {n_positions} pieces. Expected at most {self.max_positions}, the positions of "
                f"this {self.network.config.model_type}. Shorten the sentence or {advice}."
            )


class BartBackbone(Backbone):
    """BART: learned positions, post-norm layers, sources ``<s> pieces </s>``."""

    network_classes: ClassVar[dict[str, str]] = {"bart": "BartModel"}
    dropout_fields: ClassVar[tuple[str, ...]] = ("dropout", "attention_dropout", "activation_dropout")
    stepper_class = BartStepper

    def __init__(self, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, is_fresh: bool = False) -> None:
        super().__init__(network, tokenizer, is_fresh=is_fresh)
        self.max_positions = network.config.max_position_embeddings
        # Resizing replaces the scaled embedding of transformers with a plain one, so we apply the scale.
        self.embedding_scale = math.sqrt(self.hidden_size) if network.config.scale_embedding else 1.0

    def _start_id(self) -> int:
        # Not decoder_start_token_id, which is </s>: Yan et al. (2021) start with <s>.
        return self.tokenizer.bos_token_id


class T5Backbone(Backbone):
    """T5 1.0, T5 1.1 and mT5: relative positions, sources ``pieces </s>``, padding piece as the decoder's start."""

    network_classes: ClassVar[dict[str, str]] = {"t5": "T5Model", "mt5": "MT5Model"}
    dropout_fields: ClassVar[tuple[str, ...]] = ("dropout_rate",)
    stepper_class = T5Stepper

    def __init__(self, network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, is_fresh: bool = False) -> None:
        super().__init__(network, tokenizer, is_fresh=is_fresh)
        self.output_scale = self.hidden_size**-0.5
        # The 1.0 models are trained to score against their embedding with this factor. Later ones have a separate
        # output matrix and an embedding of arbitrary norm: without rescaling the first scores are in the hundreds.
        if not getattr(network.config, "scale_decoder_outputs", network.config.model_type == "t5"):
            rms = self.embedding.weight.detach().float().pow(2).mean().sqrt().item()
            self.output_scale /= max(rms, torch.finfo(torch.float32).tiny)

    def _start_id(self) -> int:
        start_id = self.network.config.decoder_start_token_id
        return self.pad_id if start_id is None else start_id


BACKBONES: tuple[type[Backbone], ...] = (BartBackbone, T5Backbone)


def backbone_class(model_type: str, where: str) -> type[Backbone]:
    """The class that covers ``model_type``; raises :class:`MissingBackendError` naming the supported ones."""
    for candidate in BACKBONES:
        if model_type in candidate.network_classes:
            return candidate
    known = sorted(name for candidate in BACKBONES for name in candidate.network_classes)
    raise MissingBackendError(
        f"{where}: unsupported model type {model_type!r}. Expected one of {', '.join(known)}. "
        "Choose another --backbone."
    )


def _count_lead(tokenizer: PreTrainedTokenizerBase) -> int:
    """Number of special pieces before a sentence, after checking that only the end piece follows it."""
    if not tokenizer.is_fast:
        raise ConfigError(
            f"backbone: {type(tokenizer).__name__} is a slow tokenizer. Expected a fast one. "
            "Put a tokenizer.json into the model folder."
        )
    ids = tokenizer("")["input_ids"]
    if not ids or ids[-1] != tokenizer.eos_token_id or tokenizer.pad_token_id is None:
        raise ConfigError(
            f"backbone: {type(tokenizer).__name__} adds {ids} around a sentence. Expected the end piece "
            f"{tokenizer.eos_token_id} at its end, and a padding piece. Choose another --backbone."
        )
    return len(ids) - 1
