"""Backbones: where they come from, what they compute, and what they say when they are not there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartForConditionalGeneration, BartModel, T5ForConditionalGeneration

from genner.errors import ConfigError, MissingBackendError, SequenceTooLongError
from genner.model import hub
from genner.model.backbones import BartBackbone
from genner.model.sources import SCRATCH, load_backbone, load_tokenizer

BOTH = pytest.mark.parametrize("spec", ["scratch:tiny", "scratch-t5:tiny"])


@pytest.fixture
def folder(make_backbone, tmp_path: Path) -> Path:
    """A model folder as transformers writes it."""
    backbone = make_backbone("scratch:tiny")
    backbone.network.save_pretrained(tmp_path / "bart")
    backbone.tokenizer.save_pretrained(tmp_path / "bart")
    return tmp_path / "bart"


def example(backbone) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    src_tokens = torch.tensor([[0, 9, 8, 7, 6, 2], [0, 11, 12, 2, 1, 1]])
    return src_tokens, src_tokens != 1, torch.tensor([[0, 9, 8], [0, 12, 11]])


@BOTH
def test_same_seed_same_weights_and_the_random_state_stays(spec: str, make_backbone) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, two, other = (make_backbone(spec, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [backbone.network.state_dict() for backbone in (one, two, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_tiny_has_two_layers_of_width_128(make_backbone) -> None:
    config = make_backbone("scratch:tiny").network.config
    assert (config.encoder_layers, config.decoder_layers, config.d_model) == (2, 2, 128)
    assert {"scratch:tiny", "scratch:small", "scratch:base", "scratch-t5:tiny", "scratch-t5:small"} == set(SCRATCH)


@pytest.mark.parametrize("scale_embedding", [False, True])
def test_encode_and_decode_are_what_the_network_computes(scale_embedding: bool, make_backbone) -> None:
    tokenizer = make_backbone("scratch:tiny").tokenizer
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        scale_embedding=scale_embedding,
    )
    network = BartModel(config).eval()
    src_tokens, src_mask, inputs = example(None)
    with torch.no_grad():
        expected = network(src_tokens, attention_mask=src_mask.long(), decoder_input_ids=inputs)
        backbone = BartBackbone(network, tokenizer)
        backbone.resize(len(tokenizer) + 3)
        memory = backbone.encode(src_tokens, src_mask)
        hidden = backbone.decode(backbone.embed(inputs), None, memory, src_mask)
    torch.testing.assert_close(memory[src_mask], expected.encoder_last_hidden_state[src_mask], rtol=0, atol=1e-5)
    torch.testing.assert_close(hidden, expected.last_hidden_state, rtol=0, atol=1e-5)


@BOTH
def test_eager_and_sdpa_attention_agree(spec: str, make_backbone) -> None:
    results = []
    for attention in ("sdpa", "eager"):
        backbone = make_backbone(spec).eval()
        assert backbone.network.config._attn_implementation == "sdpa"
        backbone.network.set_attn_implementation(attention)
        src_tokens, src_mask, inputs = example(backbone)
        with torch.no_grad():
            memory = backbone.encode(src_tokens, src_mask)
            results.append(backbone.decode(inputs, None, memory, src_mask))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-5)


@BOTH
def test_padding_of_the_source_changes_nothing(spec: str, make_backbone) -> None:
    backbone = make_backbone(spec).eval()
    src_tokens, src_mask, inputs = example(backbone)
    with torch.no_grad():
        wide = backbone.decode(inputs[1:], None, backbone.encode(src_tokens[1:], src_mask[1:]), src_mask[1:])
        narrow_mask = src_mask[1:, :4]
        narrow = backbone.decode(inputs[1:], None, backbone.encode(src_tokens[1:, :4], narrow_mask), narrow_mask)
    torch.testing.assert_close(wide, narrow, rtol=0, atol=1e-5)


@BOTH
def test_resize_keeps_old_rows_and_shares_one_matrix(spec: str, make_backbone) -> None:
    backbone = make_backbone(spec)
    before, n_rows = backbone.embedding.weight.detach().clone(), backbone.n_rows
    backbone.resize(n_rows + 4)
    assert backbone.n_rows == n_rows + 4 == backbone.network.config.vocab_size
    assert torch.equal(backbone.embedding.weight[:n_rows], before)
    assert backbone.network.encoder.embed_tokens.weight is backbone.embedding.weight
    assert backbone.network.decoder.embed_tokens.weight is backbone.embedding.weight


def test_dropout_override(make_backbone) -> None:
    plain, bart, t5 = (
        make_backbone("scratch:tiny", dropout=None),
        make_backbone("scratch:tiny", dropout=0.0),
        make_backbone("scratch-t5:tiny", dropout=0.25),
    )
    assert plain.network.encoder.dropout == 0.1
    layer = bart.network.decoder.layers[0]
    assert (layer.dropout, layer.activation_dropout, layer.self_attn.dropout) == (0.0, 0.0, 0.0)
    assert t5.network.encoder.dropout.p == 0.25


def test_local_folder_gives_the_saved_weights(folder: Path, make_backbone) -> None:
    expected = make_backbone("scratch:tiny").network.state_dict()
    backbone = load_backbone(str(folder))
    assert not backbone.is_fresh
    for name, tensor in backbone.network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert (backbone.lead, backbone.tail, backbone.bos_id, backbone.eos_id, backbone.pad_id) == (1, 1, 0, 2, 1)
    assert backbone.max_positions == 1024


def test_sources_longer_than_the_positions_are_an_error(make_backbone) -> None:
    backbone = make_backbone("scratch:tiny")
    backbone.max_positions = 5
    src_tokens, src_mask, inputs = example(backbone)
    with pytest.raises(SequenceTooLongError, match=r"a source of 6 pieces. Expected at most 5"):
        backbone.encode(src_tokens, src_mask)
    backbone.max_positions = 2
    with pytest.raises(SequenceTooLongError, match=r"a target of 3 pieces. Expected at most 2"):
        backbone.decode(inputs, None, torch.zeros(2, 6, 128), src_mask)


def test_unknown_size_and_missing_corpus(sentences) -> None:
    with pytest.raises(ConfigError, match=r"unknown size 'scratch:huge'. Expected one of scratch:tiny"):
        load_backbone("scratch:huge", corpus_words=sentences)
    with pytest.raises(ConfigError, match="scratch:tiny without a corpus"):
        load_backbone("scratch:tiny")


@pytest.mark.parametrize("spec", ["./nowhere/bart", "/nowhere/bart", "a/b/c", "~/nowhere-at-all"])
def test_missing_folder(spec: str) -> None:
    with pytest.raises(MissingBackendError, match=r"no such model folder.*Point --backbone at a local folder"):
        load_backbone(spec)


def test_hub_id_without_network_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        MissingBackendError, match=r"nobody/no-such-bart: .*no network.*Point --backbone at a local folder"
    ):
        load_backbone("nobody/no-such-bart")


def test_hub_name_that_does_not_resolve_is_not_retried(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no name service")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub.socket, "getaddrinfo", refuse)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingBackendError, match="no network"):
        load_backbone("nobody/no-such-bart")


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (["config.json"], "no usable config.json"),
        (["model.safetensors"], "no usable weights"),
        (["tokenizer.json", "tokenizer_config.json"], "no usable tokenizer"),
    ],
)
def test_incomplete_folder(folder: Path, lost: list[str], message: str) -> None:
    for name in lost:
        (folder / name).unlink()
    with pytest.raises(MissingBackendError, match=message + ".*Point --backbone at"):
        load_backbone(str(folder))


def test_damaged_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(MissingBackendError, match="no usable weights"):
        load_backbone(str(folder))


@pytest.mark.parametrize(
    ("spec", "head"), [("scratch:tiny", BartForConditionalGeneration), ("scratch-t5:tiny", T5ForConditionalGeneration)]
)
def test_checkpoints_with_a_language_model_head(spec: str, head: type, make_backbone, tmp_path: Path) -> None:
    tokenizer = make_backbone(spec).tokenizer
    network = head(make_backbone(spec).network.config)
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    expected = network.base_model.state_dict() if head is BartForConditionalGeneration else network.state_dict()
    for name, tensor in backbone.network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_weights_that_lack_a_tensor_are_not_made_up(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("decoder.layers.1.fc1.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MissingBackendError, match=r"1 tensors are not there, decoder.layers.1.fc1.weight for one"):
        load_backbone(str(folder))


def test_unsupported_model_type(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(MissingBackendError, match=r"unsupported model type 'bert'. Expected one of bart, mt5, t5"):
        load_backbone(str(folder))


class Payload:
    """An object whose unpickling runs a command: what a hostile checkpoint holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch {self.path}",))


def test_pickled_weights_are_read_as_tensors_only(folder: Path, tmp_path: Path) -> None:
    weights = load_backbone(str(folder)).network.state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert load_backbone(str(folder)).n_rows == len(weights["shared.weight"])
    witness = tmp_path / "executed"
    torch.save({**weights, "shared.weight": Payload(witness)}, folder / "pytorch_model.bin")
    with pytest.raises(MissingBackendError, match="no usable weights"):
        load_backbone(str(folder))
    assert not witness.exists()


def test_code_in_a_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "ours", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w')\nclass EvilConfig: pass\n", encoding="utf-8")
    with pytest.raises(MissingBackendError, match=r"no usable config.json"):
        load_backbone(str(folder))
    assert not witness.exists()


def test_tokenizer_alone(folder: Path, sentences) -> None:
    (folder / "model.safetensors").unlink()
    tokenizer, max_pieces, remarks = load_tokenizer(str(folder), corpus_words=sentences)
    assert max_pieces == 1024
    assert tokenizer.is_fast
    assert remarks == []
    shutil.rmtree(folder)
    with pytest.raises(MissingBackendError, match="no such model folder"):
        load_tokenizer(str(folder), corpus_words=sentences)


def test_tokenizer_of_an_unreachable_hub_entry_is_replaced_and_said(monkeypatch, sentences) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    tokenizer, _, remarks = load_tokenizer("nobody/no-such-bart", corpus_words=sentences)
    assert tokenizer("")["input_ids"] == [0, 2]
    assert len(remarks) == 1
    assert "nobody/no-such-bart" in remarks[0]
