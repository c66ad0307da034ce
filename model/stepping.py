"""The decoders of transformers, one symbol at a time, every row at a position of its own.

The layers of transformers count positions for a whole batch and lengthen their caches by copying. Here sentences come
and go while others are half-way, so the same modules (the weights are theirs) are run over keys and values that are
written in place. A further family is a subclass of :class:`Stepper`, named by its backbone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["BartStepper", "StepCache", "Stepper", "T5Stepper", "select_rows"]

_FIRST_ROOM = 32
_FEW_ROWS = 4


@dataclass
class StepCache:
    """Keys and values of G sentences with K rows each (beams; R = G * K), a tensor per layer.

    Attributes:
        source: (2, G, heads, S, D) of the encoder states; S may be more than the sentences need.
        source_bias: (G, 1, 1, S) 0 at pieces, the lowest value at padding.
        written: (2, R, heads, T, D) of the symbols fed so far; T grows by doubling.
        positions: (R,) symbols fed to each row.
        longest: at least the largest of them; known without asking the device.
        width: pieces of the longest sentence.
    """

    source: list[Tensor]
    source_bias: Tensor
    written: list[Tensor]
    positions: Tensor
    longest: int
    width: int

    @classmethod
    def start(cls, source: list[Tensor], src_mask: Tensor) -> StepCache:
        """Of sentences whose first symbol is still to be fed, one row each; ``src_mask`` (G, S) is True at pieces."""
        dtype, device = source[0].dtype, src_mask.device
        bias = torch.zeros(src_mask.shape, dtype=dtype, device=device).masked_fill_(~src_mask, torch.finfo(dtype).min)
        written = [layer[:, :, :, :0] for layer in source]
        positions = torch.zeros(len(src_mask), dtype=torch.long, device=device)
        return cls(source, bias[:, None, None, :], written, positions, 0, src_mask.shape[1])

    @property
    def rows_per_sentence(self) -> int:
        """K."""
        return len(self.positions) // max(len(self.source_bias), 1)

    def spread(self, n_rows: int) -> None:
        """Give every sentence ``n_rows`` rows; nothing has been fed yet."""
        self.positions = self.positions.repeat_interleave(n_rows)
        self.written = [layer.repeat_interleave(n_rows, dim=1) for layer in self.written]

    def select(self, sentences: Tensor, rows: Tensor, width: int) -> None:
        """Other sentences and their rows; the longest has ``width`` pieces."""
        self.source = [select_rows(layer[:, :, :, :width], sentences, dim=1) for layer in self.source]
        self.source_bias = self.source_bias[..., :width].index_select(0, sentences)
        self.written = [select_rows(layer, rows, dim=1) for layer in self.written]
        self.positions = self.positions.index_select(0, rows)
        self._look(width)

    def put(self, places: Tensor, rows: Tensor, other: StepCache, picks: slice, width: int) -> None:
        """Write the sentences ``picks`` of ``other``, to which nothing was fed, over those at ``places``."""
        n_other, lowest = other.source_bias.shape[3], torch.finfo(self.source_bias.dtype).min
        if n_other > self.source_bias.shape[3]:
            extra = n_other - self.source_bias.shape[3]
            self.source = [functional.pad(layer, (0, 0, 0, extra)) for layer in self.source]
            self.source_bias = functional.pad(self.source_bias, (0, extra), value=lowest)
        for mine, theirs in zip(self.source, other.source, strict=True):
            mine[:, places, :, :n_other] = theirs[:, picks]
        self.source_bias[places] = lowest
        self.source_bias[places, :, :, :n_other] = other.source_bias[picks]
        self.positions[rows] = 0
        self._look(width)

    def copy_rows(self, targets: Tensor, origins: Tensor) -> None:
        """Let rows ``targets`` go on from where rows ``origins`` are."""
        for layer in self.written:
            used = layer[:, :, :, : self.longest]
            used[:, targets] = used[:, origins]
        self.positions[targets] = self.positions[origins]

    def reserve(self, n_symbols: int) -> None:
        """Make room for this many symbols per row."""
        room = self.written[0].shape[3]
        if n_symbols > room:
            extra = max(n_symbols, 2 * room, _FIRST_ROOM) - room
            self.written = [functional.pad(layer, (0, 0, 0, extra)) for layer in self.written]

    def _look(self, width: int) -> None:
        self.longest = int(self.positions.max()) if len(self.positions) else 0
        self.width = width


def select_rows(values: Tensor, rows: Tensor, dim: int) -> Tensor:
    """The ``rows``, (N,), of a large tensor, which may change in place.

    Where rows stay or come from behind the first N, only those that come are copied.
    """
    place = torch.arange(len(rows), device=rows.device)
    comes = rows != place
    if len(rows) > values.shape[dim] or bool((comes & (rows < len(rows))).any()):
        return values.index_select(dim, rows)
    targets = comes.nonzero().squeeze(1)
    values.index_copy_(dim, targets, values.index_select(dim, rows[targets]))
    return values.narrow(dim, 0, len(rows))


class Stepper:
    """Runs a decoder over Q new symbols per row.

    Args:
        decoder: of the network; its modules are called as they are, so quantised ones serve as well.
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
            inputs: (R, Q, H) their embedding rows, scaled.
            cache: its ``positions`` stay as they are, so that symbols can be taken back.
            positions: (R, Q) where the symbols stand.

        Returns:
            (R, Q, H) states of the last layer.
        """
        raise NotImplementedError

    def _projections(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Of every layer, what makes keys and values of encoder states."""
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
        """Self-attention: write the new keys and values (R, Q, heads * D) at their positions, then look at all."""
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
        # With one query per row the fused kernel of the CPU takes 1.4 times as long as plain products.
        scores = torch.matmul(query * scale, keys.transpose(2, 3))
        found = torch.matmul(scores.add_(bias).softmax(3).to(values.dtype), values)
    return found.transpose(1, 2).flatten(2)


def _later_bias(positions: Tensor, n_symbols: int, dtype: torch.dtype) -> Tensor:
    """(R, 1, Q, T) the lowest value at places behind the query's own, else 0."""
    is_later = torch.arange(n_symbols, device=positions.device) > positions.unsqueeze(2)
    bias = torch.zeros(is_later.shape, dtype=dtype, device=positions.device)
    return bias.masked_fill_(is_later, torch.finfo(dtype).min).unsqueeze(1)


class BartStepper(Stepper):
    """BART: learned positions, normalisation behind each part of a layer."""

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
        bias = _later_bias(positions, cache.longest + inputs.shape[1], cache.source_bias.dtype)
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
    """T5 and mT5: a bias by distance that the first layer keeps for all, normalisation before each part of a layer."""

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
        """(R, heads, Q, T) bias by distance, and the lowest value at places behind the query's own."""
        attention = self.decoder.block[0].layer[0].SelfAttention
        place = torch.arange(n_symbols, device=positions.device)
        # Of all queries of a row at the last place: column T - 1 - d is the bias of distance d.
        by_place = attention.compute_bias(1, n_symbols, device=positions.device, past_seen_tokens=n_symbols - 1)
        by_place = by_place.view(self.n_heads, n_symbols).to(dtype)
        column = (n_symbols - 1 - positions.unsqueeze(2) + place).clamp(max=n_symbols - 1)
        found = by_place.index_select(1, column.flatten()).view(self.n_heads, *column.shape).transpose(0, 1)
        return found + _later_bias(positions, n_symbols, dtype)
