"""Encoded splits: rows from the cache and batches from any number of processes are the same."""

from functools import partial
from pathlib import Path

import pytest
import torch
from fastNLP import DataSet, prepare_torch_dataloader

from benchmarks.corpus import LABELS, draw_sentences
from genner.data.alignment import WordTokenizer
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.columns import Sentences
from genner.data.encoded import EncodedSplit, RowInfo, collate_pointer, pad_rows
from genner.data.pipe import PipeConfig, PointerPipe
from genner.data.schema import Example
from genner.model.tokenizers import train_byte_bpe
from genner.training.samplers import LoaderConfig, build_loader

EXAMPLES = draw_sentences(60, (25, 8, 44))
TOKENIZER = train_byte_bpe([example.words for example in EXAMPLES], 500)


def pipe_at(folder: Path | None, *, compat: bool = False) -> PointerPipe:
    cache = {"use_cache": False} if folder is None else {"cache_dir": folder}
    codec = PointerCodec(PointerVocab(LABELS), "word", compat=compat)
    config = PipeConfig("split", max_pieces=60, max_symbols=30, **cache)
    return PointerPipe(WordTokenizer(TOKENIZER, compat=compat), codec, config)


def plain(batch: dict) -> dict:
    rows = {name: getattr(batch["rows"], name) for name in RowInfo.__slots__}
    return {name: as_list(value) for name, value in (batch | rows).items() if name != "rows"}


def as_list(value: object) -> object:
    return value.tolist() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("examples", [EXAMPLES, Sentences.of(EXAMPLES)], ids=["list", "columns"])
def test_a_split_from_the_cache_is_the_encoded_one(tmp_path: Path, examples: list[Example] | Sentences) -> None:
    fresh = pipe_at(None).encode_splits({"train": EXAMPLES})["train"]
    made, read = pipe_at(tmp_path), pipe_at(tmp_path)
    rows = [pipe.encode_splits({"train": examples})["train"] for pipe in (made, read)]
    assert [pipe.reports["train"].cache for pipe in (made, read)] == ["miss", "hit"]
    assert list(rows[0]) == list(rows[1]) == list(fresh)
    arrays = rows[1].to_arrays()
    assert list(EncodedSplit.from_arrays(arrays, compat=False)) == list(fresh)
    assert not arrays["src_tokens_values"].flags.owndata


def test_sentences_in_chunks_are_encoded_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pipe_at(None).encode(EXAMPLES, "train")
    monkeypatch.setattr("genner.data.pipe.CHUNK", 7)
    parts = pipe_at(None).encode(Sentences.of(EXAMPLES), "train")
    assert list(parts[0]) == list(whole[0])
    assert parts[1] == whole[1]


@pytest.mark.parametrize("by", ["sentences", "pieces"])
def test_other_processes_make_the_same_batches(tmp_path: Path, by: str) -> None:
    pipe_at(tmp_path).encode_splits({"train": EXAMPLES})
    encoded = pipe_at(tmp_path).encode_splits({"train": EXAMPLES})["train"]
    collate = partial(collate_pointer, pad_id=1)
    batches = {}
    for num_workers in (0, 2):
        config = LoaderConfig(by, size=400 if by == "pieces" else 7, shuffle=True, seed=3, num_workers=num_workers)
        loader = build_loader(encoded, encoded.lengths, collate, config)
        assert loader.dataset is encoded
        batches[num_workers] = [plain(batch) for batch in loader]
    assert batches[0] == batches[2]
    assert sum(len(batch["example_idx"]) for batch in batches[0]) == len(encoded)


# Batches

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
    rows = batch.pop("rows")
    assert rows.lens is batch["src_seq_len"] and rows.targets is batch["tgt_tokens"]
    assert (rows.bounds, rows.example_idx, rows.word_offset) == (ROWS["bounds"], [4, 7], [0, 3])
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
