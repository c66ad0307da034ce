"""Passages through windows with a model that returns gold: what comes out is gold, whatever the windows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genner.data.schema import Entity, Segment, merge_segments
from genner.prediction.passages import PassageReader
from genner.training.predictions import Prediction


class Oracle(torch.nn.Module):
    """A predictor and its task: words are ``<passage>.<number>``, a piece each; gold entities that lie in a window."""

    max_pieces = None

    def __init__(self, gold: Sequence[Sequence[Entity]]) -> None:
        super().__init__()
        self.gold, self.task = gold, self
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.n_windows = 0

    def encode(self, passages: Sequence[Sequence[str]]) -> list["Encoded"]:
        return [Encoded(list(words)) for words in passages]

    def collate(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        return {"rows": instances}

    def predict(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[Prediction]:
        rows = [row for batch in batches for row in batch["rows"]]
        self.n_windows += len(rows)
        assert [len(row["words"]) for row in rows] == sorted((len(row["words"]) for row in rows), reverse=True)
        for row in reversed(rows):
            passage, first = map(int, row["words"][0].split("."))
            end = first + len(row["words"])
            inside = [one.shifted(-first) for one in self.gold[passage] if first <= one.start and one.end <= end]
            yield Prediction(row["idx"], inside, [0.5] * len(inside))


class Encoded:
    def __init__(self, words: list[str]) -> None:
        self.words, self.lens = words, [1] * len(words)

    def row(self, window: Segment, idx: int) -> dict[str, Any]:
        return {"words": self.words[window.start : window.end], "idx": idx}


@st.composite
def golds(draw: st.DrawFn) -> list[tuple[int, list[Entity]]]:
    """Passages of so many words with entities that reach over nine words at most, many of them discontinuous."""
    passages = []
    for _ in range(draw(st.integers(1, 4))):
        n_words, entities = draw(st.integers(1, 120)), []
        for _ in range(draw(st.integers(0, 12))):
            start = draw(st.integers(0, n_words - 1))
            reach = st.integers(start, min(start + 8, n_words - 1))
            words = draw(st.sets(reach, min_size=1, max_size=4))
            entities.append(Entity(draw(st.sampled_from("AB")), merge_segments([(word, word + 1) for word in words])))
        passages.append((n_words, list(dict.fromkeys(entities))))
    return passages


@settings(max_examples=200, deadline=None)
@given(golds(), st.integers(16, 60), st.integers(9, 14), st.integers(1, 5))
def test_gold_within_windows_gives_gold(
    passages: list[tuple[int, list[Entity]]], window: int, overlap: int, batch_size: int
) -> None:
    oracle = Oracle([entities for _, entities in passages])
    reader = PassageReader(oracle, window, overlap, batch_size)
    answers = reader.read([[f"{idx}.{word}" for word in range(n_words)] for idx, (n_words, _) in enumerate(passages)])
    assert [set(answer.entities) for answer in answers] == [set(entities) for _, entities in passages]
    assert all(answer.n_shortened == 0 for answer in answers)
    assert oracle.n_windows >= sum(-(-n_words // window) for n_words, _ in passages)
