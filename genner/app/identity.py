"""What makes two runs of recipes the same, and a short name for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from genner.config import Recipe, recipe_yaml
from genner.data.bundle import LoadedCorpus
from genner.data.labels import LabelSet
from genner.training.identity import RunIdentity
from genner.training.results import versions

__all__ = ["identity_of", "settings_digest"]

#: Settings that may change between two commands with the same run name: they choose seeds, places or speed, not scores,
#: or what becomes of a seed that has collapsed or finished. The data itself is compared, wherever it lies.
FREE_KEYS = (
    "seeds",
    "reported",
    "data.root",
    "data.cache",
    "training.device",
    "training.num_workers",
    "training.on_collapse",
    "training.restarts",
    "training.track",
    "training.keep_state",
    "batching.eval_size",
    "generation.draft_len",
    "generation.draft_rows",
)


def identity_of(recipe: Recipe, corpus: LoadedCorpus, labels: LabelSet) -> RunIdentity:
    """What a run of ``recipe`` on ``corpus`` must share with another one to be the same.

    Args:
        recipe: resolved.
        corpus: as it is trained on, after ``data.limit``.
        labels: of the whole corpus.
    """
    return RunIdentity(_score_settings(recipe), corpus.fingerprint, labels.tags, versions())


def settings_digest(recipe: Recipe) -> str:
    """A digest of the settings that shape scores, for names."""
    return hashlib.sha256(json.dumps(_score_settings(recipe), sort_keys=True).encode()).hexdigest()


def _score_settings(recipe: Recipe) -> dict[str, Any]:
    """The settings that shape scores, by dotted name, as plain values."""
    leaves = _leaves(yaml.safe_load(recipe_yaml(recipe)), "")
    return {name: value for name, value in leaves if name not in FREE_KEYS}


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name not in FREE_KEYS:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value
