"""Batches by sentences and by pieces."""

from __future__ import annotations

import numpy as np
import pytest
from fastNLP.core.samplers.utils import re_instantiate_sampler
from hypothesis import given
from hypothesis import strategies as st

from genner.errors import ConfigError, SequenceTooLongError
from genner.training.samplers import LoaderConfig, PieceBatches, SentenceBatches, build_loader

LENGTHS = [(7 * place) % 23 + 3 for place in range(101)]
SAMPLERS = {
    "sentences": lambda **more: SentenceBatches(LENGTHS, size=8, seed=5, **more),
    "buckets": lambda **more: SentenceBatches(LENGTHS, size=8, seed=5, bucket=True, **more),
    "pieces": lambda **more: PieceBatches(LENGTHS, max_pieces=90, seed=5, **more),
}


def epoch_of(sampler, epoch: int) -> list[list[int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def everything(batches) -> list[int]:
    return sorted(idx for batch in batches for idx in batch)


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_an_epoch_holds_every_sentence_once_and_depends_on_seed_and_epoch_alone(make):
    first, again, second = epoch_of(make(), 0), epoch_of(make(), 0), epoch_of(make(), 1)
    assert everything(first) == everything(second) == list(range(101))
    assert first == again
    assert first != second
    assert len(first) == len(second) == len(make())


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_fastnlp_can_make_the_sampler_anew(make):
    sampler = make()
    sampler.set_epoch(3)
    copy = re_instantiate_sampler(sampler)
    assert type(copy) is type(sampler)
    assert list(copy) == list(sampler)
    copy.load_state_dict(sampler.state_dict())
    assert list(copy) == list(sampler)
    assert copy.batch_size == 1


def test_without_shuffling_the_order_is_that_of_the_file():
    sampler = SentenceBatches(LENGTHS, size=8, shuffle=False)
    assert epoch_of(sampler, 0) == epoch_of(sampler, 1) == [list(range(s, min(s + 8, 101))) for s in range(0, 101, 8)]
    flat = [idx for batch in PieceBatches(LENGTHS, max_pieces=60, shuffle=False) for idx in batch]
    assert flat == list(range(101))


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=60), limit=st.integers(30, 200), shuffle=st.booleans())
def test_no_batch_has_more_pieces_than_allowed(lengths, limit, shuffle):
    batches = list(PieceBatches(lengths, max_pieces=limit, shuffle=shuffle))
    assert everything(batches) == list(range(len(lengths)))
    assert all(max(lengths[idx] for idx in batch) * len(batch) <= limit for batch in batches)


def test_buckets_save_padding():
    def padded(batches):
        return sum(max(LENGTHS[idx] for idx in batch) * len(batch) for batch in batches)

    assert padded(SAMPLERS["buckets"]()) < 0.8 * padded(SAMPLERS["sentences"]())
    assert padded(SAMPLERS["pieces"]()) < 1.1 * sum(LENGTHS)


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_processes_share_the_batches_evenly(make):
    parts = [make().set_distributed(2, rank) for rank in range(2)]
    batches = [list(part) for part in parts]
    assert len(batches[0]) == len(batches[1]) == len(parts[0]) == len(parts[1])
    assert set(everything(batches[0] + batches[1])) == set(range(101))


def test_the_state_of_other_batches_is_refused():
    with pytest.raises(ConfigError, match="batches: 13 in an epoch, but 51 in the run to be resumed"):
        SAMPLERS["sentences"]().load_state_dict(SentenceBatches(LENGTHS, size=2).state_dict())


def test_a_sentence_that_fits_in_no_batch_is_named():
    with pytest.raises(SequenceTooLongError, match="sentence 1: 31 pieces do not fit in a batch of 30"):
        PieceBatches([4, 31, 5], max_pieces=30)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_loader_collates_the_batches_of_the_sampler(num_workers):
    rows = [{"place": place} for place in range(101)]
    config = LoaderConfig(by="pieces", size=90, shuffle=True, seed=5, num_workers=num_workers)
    loader = build_loader(rows, LENGTHS, _places, config)
    assert [batch["places"] for batch in loader] == list(SAMPLERS["pieces"]())


def _places(rows):
    return {"places": [row["place"] for row in rows]}


def test_the_loader_refuses_what_makes_no_batch():
    with pytest.raises(ConfigError, match="batches: the split has no sentences"):
        build_loader([], [], _places, LoaderConfig())
    with pytest.raises(ConfigError, match="unknown unit 'tokens'"):
        build_loader([{}], [1], _places, LoaderConfig(by="tokens"))
    with pytest.raises(ConfigError, match="0 sentences make no batch"):
        build_loader([{}], [1], _places, LoaderConfig(size=0))


def test_rows_are_asked_for_when_they_are_collated():
    rows = _Counting(101)
    loader = build_loader(rows, np.array(LENGTHS), _places, LoaderConfig(size=7))
    assert rows.asked == []
    assert next(iter(loader)) == {"places": list(range(7))}
    assert rows.asked == list(range(7))


class _Counting:
    """Rows that remember which of them were asked for."""

    def __init__(self, n_rows):
        self.n_rows, self.asked = n_rows, []

    def __len__(self):
        return self.n_rows

    def __getitem__(self, idx):
        self.asked.append(idx)
        return {"place": idx}


def test_buckets_of_an_evaluation_begin_with_the_longest():
    lengths = [3, 9, 5, 9, 1, 7, 2]
    batches = list(SentenceBatches(lengths, size=3, shuffle=False, bucket=True))
    assert batches == [[1, 3, 5], [2, 0, 6], [4]]
    assert list(SentenceBatches(lengths, size=3, shuffle=False)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_fixed_composition_wastes_next_to_nothing_and_is_up_to_the_seed():
    lengths = [(13 * place) % 37 + 3 for place in range(2000)]
    one, other = (PieceBatches(lengths, max_pieces=400, seed=seed) for seed in (1, 2))
    padded = sum(max(lengths[idx] for idx in batch) * len(batch) for batch in one)
    assert padded < 1.02 * sum(lengths)
    first, second, others = (set(map(frozenset, epoch_of(*which))) for which in ((one, 0), (one, 1), (other, 0)))
    assert first == second
    assert len(first & others) < 0.1 * len(first)
