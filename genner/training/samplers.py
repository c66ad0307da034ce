"""Which sentences make up a batch: by number of sentences or by source pieces, a function of seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

import genner.patches  # noqa: F401  before fastNLP
from genner.errors import ConfigError, SequenceTooLongError

# isort: split
from fastNLP.core.samplers import ReproducibleBatchSampler

__all__ = ["LoaderConfig", "PieceBatches", "SentenceBatches", "build_loader"]

# Buckets are sorted by length within windows of this many batches: little padding, yet different batches each epoch.
_WINDOW = 50


class _Batches(ReproducibleBatchSampler):
    """What both samplers share: the order of an epoch is drawn from the seed and the number of the epoch alone.

    A checkpoint therefore needs nothing but the number of the epoch. The rest is what fastNLP requires: it makes a new
    sampler from ``vars`` of the given one (hence the constructor arguments as attributes, the underscore for everything
    else, and ``**kwargs``), and counts batches by ``batch_size``.
    """

    def __init__(self, lengths: Sequence[int], *, shuffle: bool, seed: int, **kwargs: Any) -> None:
        super().__init__()
        self.lengths = list(lengths)
        self.shuffle = shuffle
        self.seed = seed
        self.batch_size = 1
        self.num_replicas = kwargs.get("num_replicas", 1)
        self.rank = kwargs.get("rank", 0)
        self._epoch = kwargs.get("_epoch", 0)

    def _batches(self) -> list[list[int]]:
        """All batches of the present epoch, as positions in the dataset."""
        raise NotImplementedError

    def _count(self) -> int:
        """Number of batches, the same in every epoch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches()
        # Every process gets the same number of batches: the first ones are repeated if they do not divide evenly.
        for place in range(self.rank, len(self) * self.num_replicas, self.num_replicas):
            yield batches[place % len(batches)]

    def __len__(self) -> int:
        return -(-self._count() // self.num_replicas)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 0, whose batches the next iteration yields."""
        self._epoch = epoch

    def set_distributed(self, num_replicas: int, rank: int, pad: bool = True) -> _Batches:
        """Yield every ``num_replicas``-th batch from ``rank`` on."""
        self.num_replicas, self.rank = num_replicas, rank
        return self

    @property
    def batch_idx_in_epoch(self) -> int:
        return 0  # runs are resumed at epoch boundaries only

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "batches": self._count()}

    def load_state_dict(self, states: dict[str, int]) -> None:
        if states["batches"] != self._count():
            raise ConfigError(
                f"batches: {self._count()} in an epoch, but {states['batches']} in the run to be resumed. "
                "Expected the same data and batch size. Choose another --run_name."
            )
        self._epoch = states["epoch"]

    def _permutation(self, n: int, *, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(n))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(n, generator=generator).tolist()


class SentenceBatches(_Batches):
    """Batches of ``size`` sentences, the last one smaller; drawn again in every epoch.

    With ``bucket``, sentences of similar length are grouped, which saves padding; the batches themselves are shuffled.
    Without shuffling, the longest come first, so that a sentence always fits into the slot of a finished one.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        size: int,
        shuffle: bool = True,
        seed: int = 1,
        bucket: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(lengths, shuffle=shuffle, seed=seed, **kwargs)
        if size < 1:
            raise ConfigError(f"batching.size: {size} sentences make no batch. Expected at least 1. Raise it.")
        self.size = size
        self.bucket = bucket

    def _count(self) -> int:
        return -(-len(self.lengths) // self.size)

    def _batches(self) -> list[list[int]]:
        order = self._permutation(len(self.lengths), epoch=self._epoch)
        if self.bucket and not self.shuffle:
            order.sort(key=self.lengths.__getitem__, reverse=True)
        elif self.bucket:
            order = _sorted_in_windows(order, self.lengths, self.size * _WINDOW)
        batches = [order[start : start + self.size] for start in range(0, len(order), self.size)]
        if not self.bucket:
            return batches
        return [batches[place] for place in self._permutation(len(batches), epoch=self._epoch)]


class PieceBatches(_Batches):
    """Batches of at most ``max_pieces`` source pieces, padding included.

    The composition is drawn once, from the seed, so that every epoch has the same number of batches (the learning rate
    depends on it); their order changes with the epoch. With shuffling, all sentences are sorted by length, which leaves
    next to no padding; the seed decides which sentences of one length are grouped.

    Raises:
        SequenceTooLongError: a sentence alone has more pieces than fit in a batch.
    """

    def __init__(
        self, lengths: Sequence[int], *, max_pieces: int, shuffle: bool = True, seed: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(lengths, shuffle=shuffle, seed=seed, **kwargs)
        self.max_pieces = max_pieces
        longest = max(range(len(self.lengths)), key=self.lengths.__getitem__, default=None)
        if longest is not None and self.lengths[longest] > max_pieces:
            raise SequenceTooLongError(
                f"sentence {longest}: {self.lengths[longest]} pieces do not fit in a batch of {max_pieces}. "
                f"Expected sentences within the limit. Set batching.size to at least {self.lengths[longest]}."
            )
        self._composition = kwargs.get("_composition") or self._compose()

    def _compose(self) -> list[list[int]]:
        order = self._permutation(len(self.lengths), epoch=0)
        if self.shuffle:  # without shuffling, the order of the file is kept
            order.sort(key=self.lengths.__getitem__)
        batches: list[list[int]] = []
        width = 0
        for idx in order:
            width = max(width, self.lengths[idx])
            if not batches or width * (len(batches[-1]) + 1) > self.max_pieces:
                batches.append([])
                width = self.lengths[idx]
            batches[-1].append(idx)
        return batches

    def _count(self) -> int:
        return len(self._composition)

    def _batches(self) -> list[list[int]]:
        return [self._composition[place] for place in self._permutation(len(self._composition), epoch=self._epoch + 1)]


def _sorted_in_windows(order: list[int], lengths: Sequence[int], window: int) -> list[int]:
    """``order`` cut into windows, each sorted by length."""
    window = max(window, 1)
    return [
        idx
        for start in range(0, len(order), window)
        for idx in sorted(order[start : start + window], key=lengths.__getitem__)
    ]


@dataclass(frozen=True)
class LoaderConfig:
    """How a split is cut into batches.

    Attributes:
        by: ``sentences`` or ``pieces``, which is what ``size`` counts.
        size: sentences, or source pieces with padding, in a batch.
        shuffle: for training; without it, batches are in file order.
        seed: of the shuffling.
        bucket: group sentences of similar length (always done for shuffled batches by pieces).
        num_workers: processes that collate; 0 collates in the training process, which is enough for short sentences.
        pin_memory: for copies to a GPU.
    """

    by: str = "sentences"
    size: int = 16
    shuffle: bool = False
    seed: int = 1
    bucket: bool = False
    num_workers: int = 0
    pin_memory: bool = False


def build_loader(
    instances: Sequence[dict[str, Any]],
    lengths: Sequence[int] | np.ndarray,
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]],
    config: LoaderConfig,
) -> DataLoader:
    """A DataLoader over a split.

    Args:
        instances: fields by name for every sentence, read when a batch is collated. Workers are forks, which share the
            arrays of a lazy sequence.
        lengths: source pieces of every sentence.
        collate: turns a list of instances into a batch.
        config: the batches.

    Raises:
        ConfigError: no sentence, or an unknown ``by``.
    """
    if len(instances) == 0:
        raise ConfigError("batches: the split has no sentences. Expected at least one. Leave the split out.")
    lengths = np.asarray(lengths).tolist()
    arguments = {"shuffle": config.shuffle, "seed": config.seed}
    if config.by == "pieces":
        batches: _Batches = PieceBatches(lengths, max_pieces=config.size, **arguments)
    elif config.by == "sentences":
        batches = SentenceBatches(lengths, size=config.size, bucket=config.bucket, **arguments)
    else:
        raise ConfigError(f"batching.by: unknown unit {config.by!r}. Expected sentences or pieces. Choose one.")
    return DataLoader(
        instances,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=config.num_workers,
        prefetch_factor=4 if config.num_workers else None,
        persistent_workers=config.num_workers > 0,
        pin_memory=config.pin_memory,
        # Its own generator: iterating over a loader draws a number, and an evaluation must not change training.
        generator=torch.Generator().manual_seed(config.seed),
    )
