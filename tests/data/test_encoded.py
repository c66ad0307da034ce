"""Encoded splits: rows from the cache and batches from any number of processes are the same."""

from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.corpus import LABELS, draw_sentences
from genner.data.alignment import WordTokenizer
from genner.data.batching import collate_pointer
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.encoded import EncodedSplit
from genner.data.pipe import PipeConfig, PointerPipe
from genner.data.schema import Example
from genner.data.sentences import Sentences
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
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


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
    monkeypatch.setattr("genner.data.encoding.CHUNK", 7)
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
    assert sum(len(batch["rows"].example_idx) for batch in batches[0]) == len(encoded)
