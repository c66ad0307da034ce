"""The block ``gazetteer`` of a recipe."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genner.settings import FormulationSettings


@dataclass(frozen=True)
class Settings(FormulationSettings):
    buckets: int = 4096  # words are hashed into so many

    def problems(self, recipe: Any) -> Iterator[str]:
        if self.buckets < 1:
            yield f"buckets is {self.buckets}. Expected 1 or more."


@dataclass(frozen=True)
class OpenSettings(FormulationSettings):
    threshold: float = 0.0  # least probability of a word's label
