"""Texts to try: those that fit the model, or those of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from genner.errors import ConfigError
from genner.serving.examples import examples_for, read_examples


def test_examples_fit_the_model(tmp_path: Path) -> None:
    assert len(examples_for(["BODY", "LOC", "ORG", "PER", "SYMPTOM"])) > 2
    assert examples_for(["PER", "LOC"]) == []
    path = tmp_path / "examples.txt"
    path.write_text("one\n\n  two  \n", encoding="utf-8")
    assert read_examples(path, 10) == ["one", "two"]
    with pytest.raises(ConfigError, match=r"examples\.txt:3: 3 characters\. Expected at most 2\. "):
        path.write_text("a\nb\nccc\n", encoding="utf-8")
        read_examples(path, 2)
    with pytest.raises(ConfigError, match=r"21 examples\. Expected 1 to 20"):
        path.write_text("a\n" * 21, encoding="utf-8")
        read_examples(path, 2)
