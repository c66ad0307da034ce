"""A plain implementation of prediction that works like the published system: the baseline for ours.

Batches of sentences in file order; every row is decoded to the longest target of its batch; the decoder of transformers
with its cache, which grows by copying; the encoder MLP and the source embeddings are recomputed at every step; beams
are K copies of every sentence, chosen in Python, hypothesis by hypothesis, with the whole cache copied at every step.
It is guided to the gold targets as ours is (see :mod:`benchmarks.guided`) and has to write the same symbols, so it
needs no length limit. The beams of a sentence stop once K hypotheses are found and the best candidate of the step is
not better, which is never later than in the published system, where a beam might still grow to the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache

from benchmarks.guided import raise_gold
from benchmarks.models import cache_argument
from genner.data.codecs.pointer import PointerCodec
from genner.data.schema import Entity
from genner.model.linear import FastLinear
from genner.model.pointer import PointerModel

__all__ = ["PlainPredictor"]

_BOS, _EOS = 0, 1


@dataclass
class _Rows:
    """Decoding state of a batch: R rows, B sentences or their K copies."""

    src_tokens: Tensor
    src_mask: Tensor
    memory: Tensor
    targets: Tensor
    cache: EncoderDecoderCache = field(default_factory=lambda: EncoderDecoderCache(DynamicCache(), DynamicCache()))


@dataclass
class _Heap:
    """The best complete hypotheses of one sentence."""

    size: int
    found: list[tuple[float, list[int]]] = field(default_factory=list)

    def add(self, total: float, ids: list[int]) -> None:
        """Keep the hypothesis ``ids`` + EOS if it is among the best."""
        self.found.append((total / max(len(ids), 2), [*ids, _EOS]))
        self.found.sort(key=lambda pair: -pair[0])
        del self.found[self.size :]

    def is_done(self, best_total: float, length: int) -> bool:
        """Whether it is full, and no candidate of ``length`` symbols is better than the worst one kept."""
        return len(self.found) == self.size and self.found[-1][0] >= best_total / length


class PlainPredictor:
    """Predicts sentences batch by batch.

    Args:
        model: in eval mode.
        codec: reads symbols back.
        num_beams: 1 is greedy.
        fast_linears: whether the linear layers are ours (:mod:`genner.model.linear`) or, as published, torch's.
    """

    def __init__(
        self, model: PointerModel, codec: PointerCodec, num_beams: int = 1, *, fast_linears: bool = False
    ) -> None:
        self.model, self.codec, self.num_beams = model, codec, num_beams
        if not fast_linears:
            self.model = deepcopy(model)
            for layer in self.model.modules():
                if isinstance(layer, FastLinear):
                    layer.__class__ = nn.Linear

    @torch.no_grad()
    def predict(self, batches: Sequence[Mapping[str, Any]]) -> tuple[list[list[int]], list[list[Entity]]]:
        """Symbols and entities of every sentence."""
        write = self._greedy if self.num_beams == 1 else self._beams
        ids, entities = [], []
        for batch in batches:
            found = write(batch)
            ids += found
            entities += [
                self.codec.decode(row, bounds).entities for row, bounds in zip(found, batch["rows"].bounds, strict=True)
            ]
        return ids, entities

    def _encode(self, batch: Mapping[str, Any], n_copies: int) -> _Rows:
        src_tokens, backbone = batch["src_tokens"], self.model.backbone
        src_mask = torch.arange(src_tokens.shape[1], device=src_tokens.device) < batch["src_seq_len"].unsqueeze(1)
        memory = backbone.encode(src_tokens, src_mask)
        parts = (src_tokens, src_mask, memory, batch["tgt_tokens"])
        return _Rows(*(part.repeat_interleave(n_copies, dim=0) for part in parts))

    def _step(self, symbols: Tensor, rows: _Rows, step: int) -> Tensor:
        """(R,) last symbols -> (R, V) logits of the next."""
        model, backbone = self.model, self.model.backbone
        table = torch.cat((model.input_rows.expand(len(symbols), -1), rows.src_tokens), dim=1)
        hidden = backbone.network.decoder(
            inputs_embeds=backbone.embed(table.gather(1, symbols.unsqueeze(1))),
            encoder_hidden_states=rows.memory,
            encoder_attention_mask=rows.src_mask.long(),
            **cache_argument(rows.cache),
            use_cache=True,
        ).last_hidden_state[:, -1]
        candidates = (model.encoder_mlp(rows.memory) + backbone.embed(rows.src_tokens)) / 2
        scores = hidden @ backbone.embed(model.score_rows).T
        pointers = torch.einsum("rh,rsh->rs", hidden, candidates)
        is_end = rows.src_tokens == backbone.eos_id
        pointers = pointers.masked_fill((is_end.cumsum(1) > 0) | ~rows.src_mask, -1e32)
        pointers[:, : backbone.lead] = -1e32
        logits = torch.cat((scores, pointers), dim=1) * backbone.output_scale
        logits[:, _BOS] = -1e24
        gold = rows.targets[:, min(step, rows.targets.shape[1] - 1)]
        return raise_gold(logits, gold)

    def _greedy(self, batch: Mapping[str, Any]) -> list[list[int]]:
        rows = self._encode(batch, 1)
        symbols = torch.zeros_like(batch["src_seq_len"])
        written, is_done = [symbols], torch.zeros_like(symbols, dtype=torch.bool)
        while not bool(is_done.all()):
            logits = self._step(symbols, rows, len(written))
            symbols = logits.argmax(1).masked_fill(is_done, _EOS)
            is_done = is_done | (symbols == _EOS)
            written.append(symbols)
        return [row[: row.index(_EOS) + 1] for row in torch.stack(written, 1).tolist()]

    def _beams(self, batch: Mapping[str, Any]) -> list[list[int]]:
        n_beams, n_sentences = self.num_beams, len(batch["src_seq_len"])
        rows = self._encode(batch, n_beams)
        heaps = [_Heap(n_beams) for _ in range(n_sentences)]
        totals = torch.full((n_sentences, n_beams), -1e9, device=rows.memory.device)
        totals[:, 0] = 0.0
        written = torch.zeros(n_sentences * n_beams, 1, dtype=torch.long, device=rows.memory.device)
        is_done = [False] * n_sentences
        while not all(is_done):
            logits = self._step(written[:, -1], rows, written.shape[1])
            scores = logits.log_softmax(1) + totals.view(-1, 1)
            best, places = scores.view(n_sentences, -1).topk(2 * n_beams, dim=1)
            chosen = self._choose(best.tolist(), places.tolist(), written, heaps, is_done, logits.shape[1])
            values, parents, symbols = (torch.tensor(part, device=written.device) for part in zip(*chosen, strict=True))
            totals = values.view(n_sentences, n_beams)
            written = torch.cat((written[parents], symbols.unsqueeze(1)), dim=1)
            rows.cache.reorder_cache(parents)
        return [heap.found[0][1] for heap in heaps]

    def _choose(
        self,
        best: list[list[float]],
        places: list[list[int]],
        written: Tensor,
        heaps: list[_Heap],
        is_done: list[bool],
        n_symbols: int,
    ) -> list[tuple[float, int, int]]:
        """Total, parent row and symbol of the K beams of every sentence; complete hypotheses go to the heaps."""
        chosen: list[tuple[float, int, int]] = []
        for sentence, heap in enumerate(heaps):
            base = sentence * self.num_beams
            if is_done[sentence]:
                chosen += [(0.0, base, _EOS)] * self.num_beams
                continue
            beams = []
            for total, place in zip(best[sentence], places[sentence], strict=True):
                parent, symbol = base + place // n_symbols, place % n_symbols
                if symbol == _EOS:
                    heap.add(total, written[parent].tolist())
                elif len(beams) < self.num_beams:
                    beams.append((total, parent, symbol))
            is_done[sentence] = heap.is_done(best[sentence][0], written.shape[1])
            chosen += beams
        return chosen
