"""A BIO tagger on the encoder of the pointer model, as a baseline for generation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.guided import raise_gold
from genner.data.schema import Entity, Segment
from genner.model.pointer import PointerModel

__all__ = ["BioTagger", "flat_entities"]


class BioTagger(nn.Module):
    """A linear layer on the encoder state of every word's first piece, its best tag, and the entities of the tags.

    Random weights would find entities everywhere, so the scores of the gold tags are raised above all others, like the
    gold symbols of the other sides.

    Args:
        model: its encoder and embedding are used.
        labels: tags are O and, per label, B and I.
        gold: entities by ``example_idx``, such as :func:`flat_entities` leaves.
    """

    def __init__(self, model: PointerModel, labels: Sequence[str], gold: Sequence[Sequence[Entity]]) -> None:
        super().__init__()
        self.backbone, self.labels = model.backbone, labels
        torch.manual_seed(2)
        self.head = nn.Linear(model.backbone.hidden_size, 1 + 2 * len(labels))
        self.gold = torch.zeros(len(gold), max((one.end for row in gold for one in row), default=1), dtype=torch.long)
        for row, entities in zip(self.gold, gold, strict=True):
            for entity in entities:
                begin = 1 + 2 * labels.index(entity.label)
                row[entity.start : entity.end] = begin + 1
                row[entity.start] = begin

    @torch.no_grad()
    def predict(self, batches: Iterable[Mapping[str, Any]]) -> list[list[Entity]]:
        """Entities of every sentence."""
        return [entities for batch in batches for entities in self._read(self._tags(batch), batch["rows"].bounds)]

    def _tags(self, batch: Mapping[str, Any]) -> Tensor:
        """(B, W) tags."""
        src_tokens, first = batch["src_tokens"], batch["first"]
        src_mask = torch.arange(src_tokens.shape[1]) < batch["src_seq_len"].unsqueeze(1)
        memory = self.backbone.encode(src_tokens, src_mask)
        states = memory.gather(1, first.unsqueeze(2).expand(-1, -1, memory.shape[2]))
        gold = torch.zeros_like(first)
        known = self.gold[batch["rows"].example_idx, : first.shape[1]]
        gold[:, : known.shape[1]] = known
        return raise_gold(self.head(states).flatten(0, 1), gold.flatten()).argmax(1).view_as(first)

    def _read(self, tags: Tensor, bounds: list[list[int]]) -> list[list[Entity]]:
        found = []
        for row, own_bounds in zip(tags.tolist(), bounds, strict=True):
            entities, start, label = [], 0, None
            for word, tag in enumerate([*row[: len(own_bounds) - 1], 0]):
                kind = (tag - 1) // 2 if tag else None
                if label is not None and (kind != label or tag % 2):
                    entities.append(Entity(self.labels[label], (Segment(start, word),)))
                    label = None
                if tag and label is None:
                    start, label = word, kind
            found.append(entities)
        return found


def flat_entities(entities: Iterable[Entity]) -> list[Entity]:
    """Entities that BIO tags can express: the longest of overlapping ones, gaps filled; in order."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda one: (one.start - one.end, one.start, one.label)):
        if all(entity.end <= other.start or other.end <= entity.start for other in kept):
            kept.append(Entity(entity.label, (Segment(entity.start, entity.end),)))
    return sorted(kept, key=lambda one: one.start)
