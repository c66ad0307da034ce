"""A task that is no pointer, no tagger and no model worth the name: an embedding and a label per word."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import nn

from genner.data.schema import Entity, Example, Segment
from genner.evaluation.span_f1 import SpanF1
from genner.training.job import FitJob, LossSum
from genner.training.optim import Schedule, build_optimizer
from genner.training.predictions import Prediction
from genner.training.samplers import LoaderConfig, build_loader

LABELS = ("", "fruit", "tool")
WORDS = {"": ["we", "saw", "the", "on", "a"], "fruit": ["plum", "fig", "quince"], "tool": ["saw-blade", "awl", "adze"]}
VOCABULARY = sorted(word for words in WORDS.values() for word in words)
LABEL_OF = {word: label for label, words in WORDS.items() for word in words}


class ToyTask(nn.Module):
    """Classifies every word alone; ``fail_at`` raises in the training step of that number, counted from 0."""

    trainable = True

    def __init__(self, *, dropout: float = 0.2, fail_at: int | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, len(LABELS))
        self.fail_at, self.steps = fail_at, 0

    def loss(self, batch):
        if self.steps == self.fail_at:
            raise KeyboardInterrupt
        self.steps += 1
        logits = self.head(self.dropout(self.embedding(batch["words"])))
        labels = batch["labels"].flatten()
        total = nn.functional.cross_entropy(logits.flatten(0, 1), labels, ignore_index=-1, reduction="sum")
        return LossSum(total, (labels >= 0).sum())

    def predict(self, batches):
        for batch in batches:
            best, labels = self.head(self.embedding(batch["words"])).log_softmax(-1).max(-1)
            for example_idx, length, row, scores in zip(
                batch["example_idx"], batch["lengths"], labels.tolist(), best.tolist(), strict=True
            ):
                places = [place for place in range(length) if row[place]]
                entities = [Entity(LABELS[row[place]], (Segment(place, place + 1),)) for place in places]
                yield Prediction(example_idx, entities, [scores[place] for place in places])


@dataclass
class Losses:
    """The losses that a task returned, by training step."""

    values: list[float]

    def record(self, task: ToyTask) -> ToyTask:
        loss = task.loss

        def recorded(batch):
            found = loss(batch)
            self.values.append(found.mean.item())
            return found

        task.loss = recorded
        return task


def toy_examples(n: int, seed: int) -> list[Example]:
    choose = random.Random(seed)
    examples = []
    for _ in range(n):
        words = tuple(choose.choice(VOCABULARY) for _ in range(choose.randint(2, 9)))
        found = [(place, LABEL_OF[word]) for place, word in enumerate(words)]
        entities = tuple(Entity(label, (Segment(place, place + 1),)) for place, label in found if label)
        examples.append(Example(words, entities))
    return examples


def toy_instances(examples):
    return [
        {
            "words": [VOCABULARY.index(word) for word in example.words],
            "labels": [LABELS.index(LABEL_OF[word]) for word in example.words],
            "example_idx": example_idx,
        }
        for example_idx, example in enumerate(examples)
    ]


def toy_collate(instances):
    def pad(name, value):
        rows = [torch.tensor(instance[name]) for instance in instances]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)

    return {
        "words": pad("words", 0),
        "labels": pad("labels", -1),
        "lengths": [len(instance["words"]) for instance in instances],
        "example_idx": [instance["example_idx"] for instance in instances],
    }


def toy_loader(examples, **settings):
    instances = toy_instances(examples)
    return build_loader(instances, [len(row["words"]) for row in instances], toy_collate, LoaderConfig(**settings))


def toy_job(task: ToyTask, *, batch_size: int = 8, shuffle: bool = True, n: int = 44, **fields) -> FitJob:
    examples = {"train": toy_examples(n, 1), "dev": toy_examples(20, 2), "test": toy_examples(20, 3)}
    loaders = {
        split: toy_loader(rows, size=batch_size, shuffle=shuffle and split == "train")
        for split, rows in examples.items()
    }
    defaults = {
        "task": task,
        "loaders": loaders,
        "examples": examples,
        "metric": SpanF1,
        "optimizer": build_optimizer([{"params": task.parameters(), "weight_decay": 0.01}], lr=0.05),
        "schedule": Schedule("linear", 0.1),
    }
    return FitJob(**{**defaults, **fields})
