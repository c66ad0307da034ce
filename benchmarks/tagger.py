"""A BIO tagger on the encoder of the pointer model: what prediction by generating is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from data.schema import Entity, Segment
from model.pointer import PointerModel

__all__ = ["BioTagger"]


class BioTagger(nn.Module):
    """A linear layer on the encoder state of every word's first piece, its best tag, and the entities of the tags.

    Args:
        model: its encoder and embedding are used.
        labels: tags are O and, per label, B and I.
    """

    def __init__(self, model: PointerModel, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone, self.labels = model.backbone, labels
        torch.manual_seed(2)
        self.head = nn.Linear(model.backbone.hidden_size, 1 + 2 * len(labels))

    @torch.no_grad()
    def predict(self, batches: Iterable[Mapping[str, Any]]) -> list[list[Entity]]:
        """Entities of every sentence."""
        return [entities for batch in batches for entities in self._read(self._tags(batch), batch["bounds"])]

    def _tags(self, batch: Mapping[str, Any]) -> Tensor:
        """(B, W) tags."""
        src_tokens, first = batch["src_tokens"], batch["first"]
        src_mask = torch.arange(src_tokens.shape[1], device=src_tokens.device) < batch["src_seq_len"].unsqueeze(1)
        memory = self.backbone.encode(src_tokens, src_mask)
        states = memory.gather(1, first.unsqueeze(2).expand(-1, -1, memory.shape[2]))
        return self.head(states).argmax(2)

    def _read(self, tags: Tensor, bounds: list[list[int]]) -> list[list[Entity]]:
        found = []
        for row, own_bounds in zip(tags.tolist(), bounds, strict=True):
            entities, begun, label = [], 0, None
            for word, tag in enumerate([*row[: len(own_bounds) - 1], 0]):
                kind = (tag - 1) // 2 if tag else None
                if label is not None and (kind != label or tag % 2):
                    entities.append(Entity(self.labels[label], (Segment(begun, word),)))
                    label = None
                if tag and label is None:
                    begun, label = word, kind
            found.append(entities)
        return found
