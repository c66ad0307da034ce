"""The pointer formulation as the rest of the house sees it."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from genner.formulations.pointer.settings import OpenSettings
from genner.formulations.pointer.task import PointerTask
from tests.training.pointer import PointerTraining


def test_collate_brings_no_weights_along_to_workers() -> None:
    task = PointerTraining().task
    assert len(pickle.dumps(task.collate)) < 500


@pytest.mark.parametrize("order", ["position", "shuffled"])
@pytest.mark.parametrize("constrained", [True, False])
def test_sequences_are_compared_symbol_by_symbol_where_only_one_is_right(constrained: bool, order: str) -> None:
    """With the constraint, or if entities come in any order, the sentence's entities are compared instead."""
    training = PointerTraining()
    plain = training.task
    search = OpenSettings(constrained=constrained, max_len=12)
    task = PointerTask(plain.model, plain.labels, replace(plain.target, order=order), search).eval()
    found = list(task.predict(training.data.loader(size=8, shuffle=False, bucket=False)))
    assert {one.exact is None for one in found} == {constrained or order == "shuffled"}
