"""What makes two runs of recipes the same."""

from __future__ import annotations

from genner.config import Recipe, scoring_settings
from genner.data.bundle import LoadedCorpus
from genner.data.labels import LabelSet
from genner.training.identity import RunIdentity
from genner.training.results import versions

__all__ = ["identity_of"]


def identity_of(recipe: Recipe, corpus: LoadedCorpus, labels: LabelSet) -> RunIdentity:
    """What a run of ``recipe`` on ``corpus`` must share with another one to be the same.

    Args:
        recipe: resolved.
        corpus: as it is trained on, after ``data.limit``.
        labels: of the whole corpus.
    """
    return RunIdentity(scoring_settings(recipe), corpus.fingerprint, labels.tags, versions())
