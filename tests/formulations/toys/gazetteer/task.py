"""The formulation, and its task: an embedding of words whose columns are the labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from genner.config import Recipe
from genner.data.bundle import LoadedCorpus
from genner.data.labels import LabelSet
from genner.data.schema import Entity, Example, Segment
from genner.formulations.base import Batch, Encoded, EncodedSplit, ReadOptions
from genner.formulations.gazetteer.settings import OpenSettings
from genner.model.folder import ModelFolder, read_weights, write_weights
from genner.training.job import LossSum
from genner.training.predictions import Prediction

IGNORED = -100


class Rows(list):
    """Words as buckets, and the label of every word; what one label per word cannot hold is lost."""

    def __init__(self, examples: Sequence[Example], labels: LabelSet, n_buckets: int) -> None:
        self.lengths = np.array([len(example.words) for example in examples])
        for idx, example in enumerate(examples):
            tags = [0] * len(example.words)
            for entity in example.entities:
                for word in entity.word_indices():
                    tags[word] = 1 + labels.index(entity.label)
            self.append({"idx": idx, "words": _buckets(example.words, n_buckets), "tags": tags})


class Formulation:
    Open: ClassVar = OpenSettings
    FOR_CANDIDATES: ClassVar = {}

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def encode(self, corpus: LoadedCorpus, labels: LabelSet) -> Encoded:
        n_buckets = self.recipe.settings.buckets
        rows = {split: Rows(examples, labels, n_buckets) for split, examples in corpus.examples.items()}
        splits = {split: EncodedSplit(each, {"words": int(each.lengths.max())}, 100.0) for split, each in rows.items()}
        return Encoded(splits, labels)

    def build(self, encoded: Encoded, seed: int) -> GazetteerTask:
        return GazetteerTask(self.recipe.settings.buckets, encoded.labels, self.recipe.kind.value)

    @classmethod
    def open(cls, folder: ModelFolder, device: Any, **choices: Any) -> GazetteerTask:
        task = GazetteerTask(folder.settings["buckets"], folder.labels, folder.kind, OpenSettings(**choices))
        read_weights(folder.path, task)
        return task.to(device).eval()


class GazetteerTask(nn.Module):
    trainable, gives_candidates, score_kind = True, False, "word probability"

    def __init__(self, n_buckets: int, labels: LabelSet, kind: str, search: OpenSettings | None = None) -> None:
        super().__init__()
        self.labels, self.kind, self.search = labels, kind, search or OpenSettings()
        self.table = nn.Embedding(n_buckets, 1 + len(labels))
        nn.init.zeros_(self.table.weight)

    @property
    def collate(self) -> Any:
        return _collate

    def loss(self, batch: Batch) -> LossSum:
        logits = self.table(batch["words"]).flatten(0, 1)
        total = cross_entropy(logits, batch["tags"].flatten(), ignore_index=IGNORED, reduction="sum")
        return LossSum(total, (batch["tags"] != IGNORED).sum())

    def predict(self, batches: Iterable[Batch]) -> Iterator[Prediction]:
        for batch in batches:
            best = self.table(batch["words"]).softmax(-1).max(-1)
            for idx, n, probs, tags in zip(batch["idx"], batch["n"], *map(Tensor.tolist, best), strict=True):
                yield Prediction(idx, *self._read(tags[:n], probs[:n]))

    def read(self, passages: Sequence[Sequence[str]], options: ReadOptions) -> Iterator[Prediction]:
        for idx, words in enumerate(passages):
            yield from self.predict([_collate([{"idx": idx, "words": _buckets(words, self.table.num_embeddings)}])])

    def parameter_groups(self, weight_decay: float) -> list[dict[str, object]]:
        return [{"params": list(self.parameters()), "weight_decay": weight_decay}]

    def save(self, folder: Path) -> None:
        ModelFolder(folder, "gazetteer", self.kind, self.labels, {"buckets": self.table.num_embeddings}).write()
        write_weights(folder, self)

    def variants(self) -> dict[str, Any]:
        return {}

    undecided = variants

    def _read(self, tags: list[int], probs: list[float]) -> tuple[list[Entity], list[float]]:
        entities, scores = [], []
        for tag, group in groupby(range(len(tags)), key=tags.__getitem__):
            words = list(group)
            score = min(probs[word] for word in words)
            if tag and score >= self.search.threshold:
                entities.append(Entity(self.labels.tags[tag - 1], (Segment(words[0], words[-1] + 1),)))
                scores.append(score)
        return entities, scores


def _buckets(words: Sequence[str], n_buckets: int) -> list[int]:
    return [crc32(word.encode("utf-8", "surrogatepass")) % n_buckets for word in words]


def _collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    about = {"idx": [row["idx"] for row in rows], "n": [len(row["words"]) for row in rows]}
    batch = about | {"words": _padded(rows, "words", 0)}
    return batch | ({"tags": _padded(rows, "tags", IGNORED)} if "tags" in rows[0] else {})


def _padded(rows: Sequence[dict[str, Any]], name: str, value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True, padding_value=value)
