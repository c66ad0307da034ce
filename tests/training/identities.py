"""An invented identity of a run, and others that differ from it in one thing."""

from __future__ import annotations

from dataclasses import replace

from genner.training.identity import RunIdentity

IDENTITY = RunIdentity(
    settings={
        "optim.lr": 1e-05,
        "optim.schedule": "linear",
        "training.epochs": 2,
        "model.encoder_mlp": True,
        "data.limit": None,
        "labels.PER": "person",
    },
    data={
        "train": {"sentences": 14041, "entities": 23499, "nested": 0, "sha256": "a"},
        "dev": {"sentences": 3, "entities": 2, "nested": 0, "sha256": "b"},
    },
    labels=("LOC", "PER"),
    versions={"torch": "2.13.0"},
)


def with_settings(**changed: object) -> RunIdentity:
    return replace(IDENTITY, settings={**IDENTITY.settings, **changed})


def with_data(split: str, **changed: object) -> RunIdentity:
    return replace(IDENTITY, data={**IDENTITY.data, split: {**IDENTITY.data[split], **changed}})
