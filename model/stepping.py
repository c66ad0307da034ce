"""Incremental decoding with the decoders of transformers, every row at a position of its own.

The layers of transformers count positions for a whole batch and grow their caches by copying. Continuous batching needs
a position per row, so the same modules (and weights) are run over keys and values that are written in place. Another
model family is a subclass of :class:`Stepper`, named by its backbone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from genner.model.generation.state import reading_waits

__all__ = ["BartStepper", "StepCache", "Stepper", "T5Stepper", "select_rows"]

_MIN_CAPACITY = 32
_FEW_ROWS = 4


@dataclass
class StepCache:
    """Keys and values of G sentences with K rows each (beams; R = G * K), a tensor per layer.

    Attributes:
        source: (2, G, heads, S, D) of the encoder states; S may be more than the sentences need.
        source_bias: (G, 1, 1, S) 0 at pieces, the dtype's lowest value at padding.
        written: (2, R, heads, T, D) of the symbols fed so far; T grows by doubling.
        positions: (R,) symbols fed to each row.
        fed: (G,) at least the largest of a sentence's; on the host.
        longest: at least the largest of all; known without a device synchronisation.
        width: pieces of the longest sentence.
    """

    source: list[Tensor]
    source_bias: Tensor
    written: list[Tensor]
    positions: Tensor
    fed: Tensor
    longest: int
    width: int

    @classmethod
    def start(cls, source: list[Tensor], src_mask: Tensor) -> StepCache:
        """An unused cache, one row per sentence; ``src_mask``, (G, S), is True at pieces."""
        dtype, device = source[0].dtype, src_mask.device
        bias = torch.zeros(src_mask.shape, dtype=dtype, device=device).masked_fill_(~src_mask, torch.finfo(dtype).min)
        written = [layer[:, :, :, :0] for layer in source]
        positions = torch.zeros(len(src_mask), dtype=torch.long, device=device)
        fed = torch.zeros(len(src_mask), dtype=torch.long)
        return cls(source, bias[:, None, None, :], written, positions, fed, 0, src_mask.shape[1])

    @property
    def rows_per_sentence(self) -> int:
        """K."""
        return len(self.positions) // max(len(self.source_bias), 1)

    def expand_beams(self, n_beams: int) -> None:
        """``n_beams`` rows per sentence instead of one, before the first symbol."""
        self.positions = self.positions.repeat_interleave(n_beams)
        self.written = [layer.repeat_interleave(n_beams, dim=1) for layer in self.written]

    def select(self, sentences: Tensor, rows: Tensor, width: int) -> None:
        """Other sentences and their rows, numbers on the host; the longest has ``width`` pieces."""
        self.source = [select_rows(layer[:, :, :, :width], sentences, dim=1) for layer in self.source]
        self.source_bias = self.source_bias[..., :width].index_select(0, self._on_device(sentences))
        self.written = [select_rows(layer, rows, dim=1) for layer in self.written]
        self.positions, self.fed = self.positions.index_select(0, self._on_device(rows)), self.fed[sentences]
        self._set_width(width)

    def refill(self, slots: Tensor, rows: Tensor, other: StepCache, incoming: slice, width: int) -> None:
        """Overwrite ``slots`` and their ``rows`` with the sentences ``incoming`` of ``other``, an unused cache."""
        n_other, lowest = other.source_bias.shape[3], torch.finfo(self.source_bias.dtype).min
        if n_other > self.source_bias.shape[3]:
            extra = n_other - self.source_bias.shape[3]
            self.source = [functional.pad(layer, (0, 0, 0, extra)) for layer in self.source]
            self.source_bias = functional.pad(self.source_bias, (0, extra), value=lowest)
        self.fed[slots] = 0
        slots, rows = self._on_device(slots), self._on_device(rows)
        for mine, theirs in zip(self.source, other.source, strict=True):
            mine[:, slots, :, :n_other] = theirs[:, incoming]
        self.source_bias[slots] = lowest
        self.source_bias[slots, :, :, :n_other] = other.source_bias[incoming]
        self.positions.index_fill_(0, rows, 0)
        self._set_width(width)

    def copy_rows(self, targets: Tensor, origins: Tensor) -> None:
        """Copy rows ``origins`` to rows ``targets``."""
        for layer in self.written:
            used = layer[:, :, :, : self.longest]
            used[:, targets] = used[:, origins]
        self.positions[targets] = self.positions[origins]

    def reserve(self, n_symbols: int) -> None:
        """Grow the cache to hold this many symbols per row."""
        capacity = self.written[0].shape[3]
        if n_symbols > capacity:
            extra = max(n_symbols, 2 * capacity, _MIN_CAPACITY) - capacity
            self.written = [functional.pad(layer, (0, 0, 0, extra)) for layer in self.written]

    def advance(self, positions: Tensor, n_symbols: int) -> None:
        """Set (R,) new ``positions``, after ``n_symbols`` more were fed to each row."""
        self.positions = positions
        self.fed += n_symbols
        self.longest += n_symbols

    def _on_device(self, numbers: Tensor) -> Tensor:
        return numbers.to(self.positions.device, non_blocking=True)

    def _set_width(self, width: int) -> None:
        # Rewound symbols are still counted in `fed`.
        counts = self.fed if reading_waits(self.positions) else self.positions
        self.longest = int(counts.max()) if len(counts) else 0
        self.width = width


def select_rows(values: Tensor, rows: Tensor, dim: int) -> Tensor:
    """The ``rows``, (N,) on the host, of a large tensor, which may change in place.

    If every row stays in place or comes from after the first N, only the moved rows are copied.
    """
    is_moved = rows != torch.arange(len(rows))
    if len(rows) > values.shape[dim] or bool((is_moved & (rows < len(rows))).any()):
        return values.index_select(dim, rows.to(values.device, non_blocking=True))
    targets = is_moved.nonzero().squeeze(1)
    origins, targets = (numbers.to(values.device, non_blocking=True) for numbers in (rows[targets], targets))
    values.index_copy_(dim, targets, values.index_select(dim, origins))
    return values.narrow(dim, 0, len(rows))


class Stepper:
    """Runs a decoder over Q new symbols per row.

    Args:
        decoder: of the network; its modules are called unchanged, so quantised ones work as well.
    """

    def __init__(self, decoder: nn.Module) -> None:
        self.decoder = decoder

    def source(self, memory: Tensor) -> list[Tensor]:
        """Keys and values of (G, S, H) encoder states for every layer, (2, G, heads, S, D)."""
        both = ((keys(memory), values(memory)) for keys, values in self._projections())
        return [torch.stack((self._split(keys), self._split(values))) for keys, values in both]

    def __call__(self, inputs: Tensor, cache: StepCache, positions: Tensor) -> Tensor:
        """Feed symbols.

        Args:
            inputs: (R, Q, H) scaled embeddings of the symbols.
            cache: its ``positions`` are left to the caller, so that symbols can be rewound.
            positions: (R, Q) of the symbols.

        Returns:
            (R, Q, H) states of the last layer.
        """
        raise NotImplementedError

    def _projections(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """The key and value projections of every layer's cross-attention."""
        raise NotImplementedError

    def _split(self, states: Tensor) -> Tensor:
        """(R, Q, heads * D) -> (R, heads, Q, D)."""
        return states.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    @property
    def n_heads(self) -> int:
        raise NotImplementedError

    def _attend_written(
        self, layer: Tensor, query: Tensor, new: tuple[Tensor, Tensor], positions: Tensor, bias: Tensor, scale: float
    ) -> Tensor:
        """Self-attention: write the new keys and values, (R, Q, heads * D), at their positions, then attend to all."""
        rows = torch.arange(len(positions), device=positions.device).unsqueeze(1)
        for stored, states in zip(layer, new, strict=True):
            stored[rows, :, positions] = states.unflatten(2, (self.n_heads, -1)).to(stored.dtype)
        n_symbols = bias.shape[3]
        keys, values = layer[:, :, :, :n_symbols]
        return _attend(self._split(query), keys, values, bias, scale)

    def _attend_source(self, layer: Tensor, query: Tensor, cache: StepCache, scale: float) -> Tensor:
        """Cross-attention: the K rows of a sentence share its keys and values."""
        n_rows, n_new = query.shape[:2]
        keys, values = layer[:, :, :, : cache.width]
        shared = query.reshape(len(keys), -1, query.shape[2])
        found = _attend(self._split(shared), keys, values, cache.source_bias[..., : cache.width], scale)
        return found.view(n_rows, n_new, -1)


def _attend(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor, scale: float) -> Tensor:
    """(N, heads, Q, D) queries over (N, heads, P, D) keys and values, ``bias`` added -> (N, Q, heads * D)."""
    if query.is_cuda or len(query) <= _FEW_ROWS:
        bias = bias.to(query.dtype)
        found = functional.scaled_dot_product_attention(query, keys, values, attn_mask=bias, scale=scale)
    else:
        # With one query per row, the fused CPU kernel takes 1.4 times as long as plain products.
        scores = torch.matmul(query * scale, keys.transpose(2, 3))
        found = torch.matmul(scores.add_(bias).softmax(3).to(values.dtype), values)
    return found.transpose(1, 2).flatten(2)


def _causal_bias(positions: Tensor, n_symbols: int, dtype: torch.dtype) -> Tensor:
    """(R, 1, Q, T) the lowest value at positions after the query's own, else 0."""
    is_later = torch.arange(n_symbols, device=positions.device) > positions.unsqueeze(2)
    bias = torch.zeros(is_later.shape, dtype=dtype, device=positions.device)
    return bias.masked_fill_(is_later, torch.finfo(dtype).min).unsqueeze(1)


class BartStepper(Stepper):
    """BART: learned positions, post-norm layers."""

    @property
    def n_heads(self) -> int:
        return self.decoder.layers[0].encoder_attn.num_heads

    def _projections(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        for layer in self.decoder.layers:
            yield layer.encoder_attn.k_proj, layer.encoder_attn.v_proj

    def __call__(self, inputs: Tensor, cache: StepCache, positions: Tensor) -> Tensor:
        decoder = self.decoder
        table = decoder.embed_positions
        hidden = inputs + functional.embedding(positions + table.offset, table.weight)
        hidden = decoder.layernorm_embedding(hidden)
        bias = _causal_bias(positions, cache.longest + inputs.shape[1], cache.source_bias.dtype)
        for layer, written, source in zip(decoder.layers, cache.written, cache.source, strict=True):
            own, other = layer.self_attn, layer.encoder_attn
            new = own.k_proj(hidden), own.v_proj(hidden)
            found = self._attend_written(written, own.q_proj(hidden), new, positions, bias, own.scaling)
            hidden = layer.self_attn_layer_norm(hidden + own.out_proj(found))
            found = self._attend_source(source, other.q_proj(hidden), cache, other.scaling)
            hidden = layer.encoder_attn_layer_norm(hidden + other.out_proj(found))
            inner = layer.activation_fn(layer.fc1(hidden))
            hidden = layer.final_layer_norm(hidden + layer.fc2(inner))
        return hidden


class T5Stepper(Stepper):
    """T5 and mT5: relative position bias shared by all layers, pre-norm layers."""

    @property
    def n_heads(self) -> int:
        return self.decoder.block[0].layer[0].SelfAttention.n_heads

    def _projections(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        for block in self.decoder.block:
            yield block.layer[1].EncDecAttention.k, block.layer[1].EncDecAttention.v

    def __call__(self, inputs: Tensor, cache: StepCache, positions: Tensor) -> Tensor:
        hidden = inputs
        bias = self._bias(positions, cache.longest + inputs.shape[1], cache.source_bias.dtype)
        for block, written, source in zip(self.decoder.block, cache.written, cache.source, strict=True):
            first, second, last = block.layer
            own, other = first.SelfAttention, second.EncDecAttention
            normed = first.layer_norm(hidden)
            new = own.k(normed), own.v(normed)
            found = self._attend_written(written, own.q(normed), new, positions, bias, own.scaling)
            hidden = hidden + own.o(found)
            found = self._attend_source(source, other.q(second.layer_norm(hidden)), cache, other.scaling)
            hidden = last(hidden + other.o(found))
        return self.decoder.final_layer_norm(hidden)

    def _bias(self, positions: Tensor, n_symbols: int, dtype: torch.dtype) -> Tensor:
        """(R, heads, Q, T) relative position bias, and the lowest value at positions after the query's own."""
        attention = self.decoder.block[0].layer[0].SelfAttention
        key_positions = torch.arange(n_symbols, device=positions.device)
        # The bias of a query at the last position: column T - 1 - d holds the bias of distance d.
        by_distance = attention.compute_bias(1, n_symbols, device=positions.device, past_seen_tokens=n_symbols - 1)
        by_distance = by_distance.view(self.n_heads, n_symbols).to(dtype)
        column = (n_symbols - 1 - positions.unsqueeze(2) + key_positions).clamp(max=n_symbols - 1)
        found = by_distance.index_select(1, column.flatten()).view(self.n_heads, *column.shape).transpose(0, 1)
        return found + _causal_bias(positions, n_symbols, dtype)
