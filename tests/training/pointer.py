"""The pointer model in training: tiny, random, with all its dropouts."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.corpus import LABELS, draw_sentences
from benchmarks.models import LENGTHS, Shape, Workload, pointer_task
from benchmarks.training_data import TrainingData
from genner.training.job import FitConfig, FitJob
from genner.training.optim import Schedule, build_optimizer
from genner.training.trainer import EntityTrainer
from genner.training.world import World


class PointerTraining:
    """A tiny pointer task, 80 sentences and batches of them."""

    def __init__(self, sampled_prefix: float = 0.0) -> None:
        model = Workload(Shape.quick()).model.train()
        model.config = replace(model.config, sampled_prefix=sampled_prefix)
        examples = draw_sentences(80, LENGTHS)
        self.data = TrainingData(examples, model.backbone.tokenizer, LABELS)
        self.task = pointer_task(model, self.data.codec)
        self.with_entity = [place for place, example in enumerate(examples) if example.entities]
        self.without_entity = [place for place, example in enumerate(examples) if not example.entities]

    def trainer(self, **config) -> EntityTrainer:
        """The Trainer of one epoch of 10 batches of different lengths."""
        torch.manual_seed(4)
        optimizer = build_optimizer([{"params": self.task.parameters(), "weight_decay": 0.0}], 1e-3)
        loader = self.data.loader(size=8, shuffle=True, bucket=True)
        job = FitJob(self.task, {"train": loader}, {}, list, optimizer, Schedule("constant", 0))
        return EntityTrainer(job, FitConfig(epochs=1, device="cpu", **config), [], World(torch.device("cpu")))

    def gradients(self, step, batch) -> tuple[float, torch.Tensor]:
        torch.manual_seed(11)
        self.task.zero_grad()
        loss = step(batch).mean
        loss.backward()
        return loss.item(), torch.cat([weight.grad.flatten() for weight in self.task.parameters()])
