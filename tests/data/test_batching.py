"""Padding of batches."""

from functools import partial

import pytest
import torch
from fastNLP import DataSet, prepare_torch_dataloader

from genner.data.batching import RowInfo, collate_pointer, pad_rows

ROWS = {
    "src_tokens": [[0, 9, 2], [0, 9, 8, 7, 2]],
    "first": [[1], [1, 3]],
    "tgt_tokens": [[0, 5, 2, 1], [0, 1]],
    "bounds": [[1, 2], [1, 3, 4]],
    "example_idx": [4, 7],
    "word_offset": [0, 3],
    "raw_words": [["a"], ["b", "c"]],
}


def test_a_batch_has_padded_tensors_and_lists() -> None:
    instances = [{name: column[row] for name, column in ROWS.items()} for row in range(2)]
    batch = collate_pointer(instances, pad_id=1)
    assert batch.pop("rows") == RowInfo(ROWS["bounds"], [4, 7], [0, 3])
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "src_tokens": [[0, 9, 2, 1, 1], [0, 9, 8, 7, 2]],
        "src_seq_len": [3, 5],
        "first": [[1, 0], [1, 3]],
        "tgt_tokens": [[0, 5, 2, 1], [0, 1, 1, 1]],
        "tgt_seq_len": [4, 2],
    }
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_prediction_needs_no_targets() -> None:
    batch = collate_pointer([{"src_tokens": [5, 1], "first": [0]}], pad_id=0)
    assert set(batch) == {"src_tokens", "src_seq_len", "first"}


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_empty_rows(rows: list[list[int]]) -> None:
    padded, lens = pad_rows(rows, 1)
    assert padded.shape == (len(rows), 0)
    assert lens.tolist() == [0] * len(rows)


def test_as_collate_function_of_fastnlp() -> None:
    loader = prepare_torch_dataloader(
        DataSet(ROWS), batch_size=2, shuffle=False, prefetch_factor=None, collate_fn=partial(collate_pointer, pad_id=1)
    )
    batches = list(loader)
    assert len(batches) == 1
    assert batches[0]["src_tokens"].shape == (2, 5)
    assert batches[0]["rows"].example_idx == [4, 7]
