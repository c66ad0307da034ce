"""The pointer formulation as the rest of the house sees it."""

from __future__ import annotations

import pickle

from tests.training.pointer import PointerTraining


def test_collate_brings_no_weights_along_to_workers() -> None:
    task = PointerTraining().task
    assert len(pickle.dumps(task.collate)) < 500
