"""Options of the search."""

from __future__ import annotations

import pytest
import torch

from genner.errors import ConfigError
from genner.model.generation import GenerationConfig


def test_limits_count_in_float32() -> None:
    lengths = torch.tensor([10, 33, 90])
    assert GenerationConfig(max_len=10, max_len_ratio=1.6).limits(lengths).tolist() == [26, 62, 154]
    assert int(90 * 0.7) == 62  # in double precision
    assert GenerationConfig(max_len=2, max_len_ratio=0.7).limits(lengths).tolist() == [9, 25, 65]


def test_all_wrong_values_at_once() -> None:
    with pytest.raises(ConfigError, match=r"max_len is 1\. Expected.*num_beams is 0\. Expected.*structure is 'tree'"):
        GenerationConfig(max_len=1, num_beams=0, structure="tree")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_len_ratio": -0.1}, r"max_len_ratio is -0\.1\. Expected a number of at least 0"),
        ({"repetition_penalty": 0.0}, r"repetition_penalty is 0\.0\. Expected a number above 0"),
        ({"num_beams": 2, "n_best": 3}, r"n_best is 3\. Expected 1 to num_beams \(2\)"),
    ],
)
def test_wrong_values(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GenerationConfig(**options)
