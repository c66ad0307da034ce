"""Invented sentences, small random backbones and batches for the model tests."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch

from genner.model.backbones import Backbone
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone
from tests.model.tools import LABEL_WORDS, SYLLABLES, Batch, sources_of


@pytest.fixture(scope="session")
def sentences() -> list[list[str]]:
    rng = random.Random(3)
    return [
        ["".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 3))) for _ in range(rng.randint(4, 9))]
        for _ in range(60)
    ]


@pytest.fixture(scope="session")
def make_backbone(sentences: list[list[str]]) -> Callable[..., Backbone]:
    """A backbone of random weights without dropout, drawn anew at every call."""

    def make(spec: str, **options: object) -> Backbone:
        return load_backbone(spec, corpus_words=sentences, **{"seed": 5, "dropout": 0.0, **options})

    return make


@pytest.fixture(scope="session")
def make_model(make_backbone: Callable[..., Backbone]) -> Callable[..., PointerModel]:
    """A model of random weights without dropout."""

    def make(spec: str, config: PointerConfig | None = None, **options: object) -> PointerModel:
        torch.manual_seed(7)
        return PointerModel(make_backbone(spec, **options), LABEL_WORDS, config or PointerConfig(dropout=0.0))

    return make


@pytest.fixture(scope="session")
def make_batch(sentences: list[list[str]]) -> Callable[..., Batch]:
    """Sentences of different lengths with targets of different lengths, one of them empty."""

    def make(model: PointerModel, n_sentences: int = 4) -> Batch:
        src_tokens, src_seq_len = sources_of(model.backbone, sentences[:n_sentences])
        first = model.shift + model.backbone.lead
        targets = [
            [0, 1],
            [0, first, first + 1, 2, first + 2, 3, 1],
            [0, first + 1, 4, 1],
            [0, first, 2, first + 1, 3, first + 2, 4, first + 3, 2, 1],
        ]
        targets = [targets[i % len(targets)] for i in range(n_sentences)]
        width = max(map(len, targets))
        return Batch(src_tokens, src_seq_len, torch.tensor([row + [1] * (width - len(row)) for row in targets]))

    return make
