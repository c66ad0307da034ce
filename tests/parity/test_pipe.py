"""The pipe against the recorded fields of the reference, whole splits by digest."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from genner.data.alignment import WordTokenizer, label_token, label_token_ids
from genner.data.bundle import LoadedCorpus, load_bundle
from genner.data.codecs.pointer import PointerCodec, PointerVocab
from genner.data.labels import LabelSet
from genner.data.loaders import LoaderOptions
from genner.data.pipe import PipeConfig, PointerPipe

CORPORA = {"flat": ("conll2003", "conll"), "nested": ("genia", "nested"), "disc": ("CADEC", "discontinuous")}
UNITS = ("word", "span", "bpe", "span_bpe")


@cache
def tokenizer_at(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder / "inputs" / "bart_tiny")


@cache
def recorded(folder: Path, kind: str) -> dict[str, Any]:
    return json.loads((folder / f"pipe_{kind}.json").read_text(encoding="utf-8"))


@cache
def corpus_at(folder: Path, kind: str) -> LoadedCorpus:
    name, loader = CORPORA[kind]
    files = {path.stem: path for path in (folder / "inputs" / name).iterdir()}
    return load_bundle(None, loader, LoaderOptions(compat=True), files=files)


def label_words(folder: Path, kind: str) -> list[str]:
    return [token[2:-2] for token in recorded(folder, kind)["tag_to_token"].values()]


def pipe_for(folder: Path, kind: str, unit: str) -> PointerPipe:
    vocab = PointerVocab(tuple(recorded(folder, kind)["tag_to_index"]))
    tokenizer = WordTokenizer(tokenizer_at(folder), compat=True, label_words=label_words(folder, kind))
    return PointerPipe(tokenizer, PointerCodec(vocab, unit, compat=True), PipeConfig(use_cache=False))


def digest(rows: Any) -> str:
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def test_every_odd_word(parity_dir: Path) -> None:
    words = json.loads((parity_dir / "tokenize_words.json").read_text(encoding="utf-8"))["words"]
    assert len(words) > 70
    labels = ["location", "person", "organization", "others"]
    aligner = WordTokenizer(tokenizer_at(parity_dir), compat=True, label_words=labels)
    piece_ids, bounds = (column[0] for column in aligner.align_columns([[row["word"] for row in words]]))
    for row, start, end in zip(words, bounds, bounds[1:], strict=False):
        assert piece_ids[start:end] == row["ids"], repr(row["word"])
    assert aligner.n_unknown_words == sum(not row["ids"] for row in words)


@pytest.mark.parametrize("kind", CORPORA)
def test_label_tokens_and_symbols(parity_dir: Path, kind: str) -> None:
    record = recorded(parity_dir, kind)
    words = label_words(parity_dir, kind)
    ids = label_token_ids(record["tokenizer_vocab_size"], words, compat=True)
    assert ids == record["label_ids"]
    assert dict(zip(map(label_token, words), ids, strict=True)) == record["token_to_id"]
    vocab = PointerVocab(tuple(record["tag_to_index"]))
    assert vocab.shift == record["target_shift"]
    assert {tag: vocab.label_id(tag) - 2 for tag in vocab.labels} == record["tag_to_index"]


@pytest.mark.parametrize("kind", CORPORA)
def test_labels_are_numbered_as_the_reference_does(parity_dir: Path, kind: str) -> None:
    """By the fixed mapping where there is one, else by first appearance in the recorded order of the splits."""
    record = recorded(parity_dir, kind)
    examples = corpus_at(parity_dir, kind).examples
    mapping = dict(zip(record["tag_to_index"], label_words(parity_dir, kind), strict=True)) if kind == "flat" else {}
    labels = LabelSet.collect([examples[split] for split in record["dataset_order"]], mapping, first_seen_order=True)
    assert {tag: labels.index(tag) for tag in labels.tags} == record["tag_to_index"]
    assert list(labels.words) == label_words(parity_dir, kind)


def fields_of(folder: Path, kind: str, unit: str, split: str) -> list[dict[str, Any]]:
    """The rows of a split with the reference's further fields."""
    pipe, examples = pipe_for(folder, kind, unit), corpus_at(folder, kind).examples[split]
    rows = []
    for example, row in zip(examples, pipe.encode_splits({split: examples})[split], strict=True):
        spans = pipe.codec.decode(row["tgt_tokens"], row["bounds"]).symbol_spans
        row |= {
            "raw_words": list(example.words),
            "entities": [entity.surface(example.words) for entity in example.entities],
            "entity_tags": [entity.label for entity in example.entities],
            "entity_spans": [entity.flat for entity in example.entities],
            "target_span": [row["tgt_tokens"][start:end] for start, end in spans],
        }
        rows.append(row)
    return rows


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", CORPORA)
def test_instances(parity_dir: Path, kind: str, unit: str) -> None:
    instances = recorded(parity_dir, kind)["instances"]
    assert len(instances) == 40
    train = fields_of(parity_dir, kind, unit, "train")
    for row, instance in enumerate(instances):
        expected = instance | instance["targets"][unit]
        for name in ("raw_words", "entity_spans", "src_tokens", "first", "src_seq_len", "tgt_tokens", "target_span"):
            assert train[row][name] == expected[name], (row, name)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", CORPORA)
def test_whole_splits(parity_dir: Path, kind: str, unit: str) -> None:
    record = recorded(parity_dir, kind)
    assert set(corpus_at(parity_dir, kind).examples) == {"train", "dev", "test"}
    for split, digests in record["sha256_all"][unit].items():
        rows = fields_of(parity_dir, kind, unit, split)
        assert len(rows) == record["sizes"][split]
        for name, expected in digests.items():
            assert digest([row[name] for row in rows]) == expected, (split, name)
