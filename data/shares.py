"""Shares of the training sentences for splits that have no file: drawn by document where documents are known."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence

from genner.data.schema import Example
from genner.errors import DataFormatError

__all__ = ["take_share"]

_FEWEST_DOCUMENTS = 10  # with fewer, a share of them would be far from the share of the sentences


def take_share(
    examples: Sequence[Example], share: float, *, seed: int, split: str
) -> tuple[list[Example], list[Example], str]:
    """Draw a share of the sentences.

    Whole documents are drawn, or else single sentences, of which those with the same words stay together. A label that
    only a drawn part would have stays in train, since it could not be learned otherwise.

    Args:
        examples: the training sentences.
        share: of the sentences, between 0 and 1.
        seed: of the draw: the same sentences and seed give the same share.
        split: what the share becomes, for messages.

    Returns:
        what is left, and what was drawn, each in the order of the file; and what was drawn, in words.

    Raises:
        DataFormatError: there is nothing that could be drawn.
    """
    documents = {example.document for example in examples}
    by_document = None not in documents and len(documents) >= _FEWEST_DOCUMENTS
    groups: dict[Hashable, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(example.document if by_document else example.words, []).append(index)
    chosen = _chosen(examples, list(groups.values()), max(1, round(share * len(examples))), seed)
    if not chosen or len(chosen) == len(examples):
        raise DataFormatError(
            f"train: no sentence of {len(examples)} can be spared for {split}, as labels would be lost. Expected a "
            f"{split} file, or more training sentences. Add one of them."
        )
    left = [example for index, example in enumerate(examples) if index not in chosen]
    drawn = [example for index, example in enumerate(examples) if index in chosen]
    n_documents = len({example.document for example in drawn})
    return left, drawn, f"{len(drawn)} sentences" + (f" ({n_documents} documents)" if by_document else "")


def _chosen(examples: Sequence[Example], groups: list[list[int]], wanted: int, seed: int) -> set[int]:
    """The drawn sentences: the first group has entities if any can be spared, so that there is something to score."""
    random.Random(seed).shuffle(groups)
    counts = [Counter(entity.label for index in group for entity in examples[index].entities) for group in groups]
    left = sum(counts, Counter())
    chosen: set[int] = set()
    order = list(zip(groups, counts, strict=True))
    first = next((place for place, (_, labels) in enumerate(order) if labels and _spares(left, labels)), None)
    if first is not None:
        order.insert(0, order.pop(first))
    for group, labels in order:
        # A group that is larger than what is missing may come in only where nothing else has.
        if len(chosen) >= wanted or (chosen and len(chosen) + len(group) > 1.5 * wanted) or not _spares(left, labels):
            continue
        chosen.update(group)
        left -= labels
    return chosen


def _spares(left: Counter[str], labels: Counter[str]) -> bool:
    """Whether every label stays in train."""
    return all(left[label] > count for label, count in labels.items())
