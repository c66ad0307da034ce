"""Training that starts from a model of ours: what is taken over, and what begins anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genner.data.labels import LabelSet
from genner.errors import ConfigError, DataFormatError
from genner.model.checkpoint import labels_taken, load_model, save_model, warm_model
from genner.model.folder import ModelFolder
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone, load_tokenizer
from tests.model.tools import BOTH, LABEL_WORDS

HEAD = PointerConfig(dropout=0.0, draft_unit="word")


def save(folder: Path, model: PointerModel, words: tuple[str, ...] = LABEL_WORDS) -> ModelFolder:
    settings = save_model(folder, model)
    ModelFolder(folder, "pointer", "flat", LabelSet(tuple(words), tuple(words)), settings).write()
    return ModelFolder.read(folder)


@torch.no_grad()
def trained(model: PointerModel) -> PointerModel:
    """No weight is what it began as."""
    torch.manual_seed(11)
    for weight in model.parameters():
        weight += 0.02 * torch.randn_like(weight)
    return model.eval()


def row(model: PointerModel, label: int) -> torch.Tensor:
    return model.backbone.embedding.weight[model.input_rows[2 + label]]


@pytest.fixture(params=BOTH)
def old(request, make_model, tmp_path: Path) -> tuple[PointerModel, ModelFolder]:
    model = trained(make_model(request.param, HEAD))
    return model, save(tmp_path / "old", model)


def test_with_the_same_labels_it_is_the_same_model(old, make_batch, tmp_path: Path) -> None:
    model, folder = old
    torch.manual_seed(3)
    warm = warm_model(folder, LABEL_WORDS, HEAD)
    assert warm.training
    assert warm.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in warm.state_dict().items())
    assert warm.backbone.output_scale == model.backbone.output_scale
    batch = make_batch(model)
    assert torch.equal(warm.eval()(*batch)["logits"], model(*batch)["logits"])
    # What it becomes does not need the old folder.
    save(tmp_path / "new", warm)
    shutil.rmtree(folder.path)
    assert torch.equal(load_model(ModelFolder.read(tmp_path / "new"))(*batch)["logits"], model(*batch)["logits"])


def test_labels_are_known_by_their_words(old, make_model) -> None:
    model, folder = old
    words = ("ship", "Cell_Line", "person")
    warm = warm_model(folder, words, HEAD)
    assert labels_taken(folder, words) == ["Cell_Line", "person"]
    assert warm.backbone.n_rows == model.backbone.n_rows  # no row of an old label is left behind
    assert torch.equal(row(warm, 1), row(model, 2)) and torch.equal(row(warm, 2), row(model, 0))
    pieces = model.backbone.tokenizer("ship", add_special_tokens=False)["input_ids"]
    new = model.backbone.embedding.weight[torch.tensor(pieces)].mean(0)
    assert torch.allclose(row(warm, 0), new, atol=1e-6)
    ours, theirs = warm.draft_head.linear, model.draft_head.linear
    assert torch.equal(ours.weight[:2], theirs.weight[:2]) and torch.equal(ours.bias[3], theirs.bias[4])
    assert torch.equal(ours.weight[4], theirs.weight[2]) and not ours.weight[2].any()


def test_what_the_old_model_lacks_begins_anew(old, make_batch) -> None:
    model, folder = old
    other = warm_model(folder, LABEL_WORDS, replace(HEAD, draft_unit="bpe", decoder_type="none", encoder_mlp=False))
    assert not other.draft_head.linear.weight.any() and other.encoder_mlp is None
    assert torch.equal(other.backbone.embedding.weight, model.backbone.embedding.weight)
    assert torch.isfinite(other(*make_batch(other))["loss"])
    folder = save(folder.path, other)
    again = warm_model(folder, LABEL_WORDS, replace(HEAD, draft_unit=None))
    assert again.draft_head is None and again.encoder_mlp is not None
    assert torch.isfinite(again(*make_batch(again))["loss"])


@pytest.mark.parametrize("is_old", [True, False])
def test_one_of_the_two_repeats_the_reference(old, is_old: bool, make_model, make_batch) -> None:
    model, folder = old
    reference = replace(HEAD, compat=True, draft_unit=None)
    if is_old:
        model = trained(make_model("scratch:tiny", reference))
        folder = save(folder.path, model)
    warm = warm_model(folder, LABEL_WORDS, HEAD if is_old else reference)
    for label in range(3):
        assert torch.equal(row(warm, label), row(model, label))
    assert torch.isfinite(warm(*make_batch(warm))["loss"])


@pytest.mark.parametrize("spec", BOTH)
def test_a_model_on_a_pretrained_backbone(spec: str, make_backbone, make_batch, tmp_path: Path) -> None:
    fresh = make_backbone(spec)
    fresh.network.save_pretrained(tmp_path / "base")
    fresh.tokenizer.save_pretrained(tmp_path / "base")
    model = trained(PointerModel(load_backbone(str(tmp_path / "base")), LABEL_WORDS, HEAD))
    warm = warm_model(save(tmp_path / "old", model), LABEL_WORDS, HEAD).eval()
    batch = make_batch(model)
    assert torch.equal(warm(*batch)["logits"], model(*batch)["logits"])


def test_the_tokenizer_and_the_room_are_the_folders_own(old) -> None:
    model, folder = old
    tokenizer, room, notes = load_tokenizer(str(folder.path), corpus_words=[["not", "read"]])
    assert tokenizer.get_vocab() == model.backbone.tokenizer.get_vocab() and notes == []
    assert room == model.backbone.max_positions


def test_a_folder_is_known_by_its_content(old, tmp_path: Path) -> None:
    model, folder = old
    run = tmp_path / "run"
    shutil.copytree(folder.path, run / "best")
    found = ModelFolder.of_backbone(str(run))  # a run stands for its best model
    assert found.path == run / "best" and found.digest() == folder.digest()
    assert ModelFolder.of_backbone("scratch:tiny") is None and ModelFolder.of_backbone(str(tmp_path)) is None
    save(run / "best", trained(model))
    assert found.digest() != folder.digest()


def test_what_cannot_be_a_start(old) -> None:
    _, folder = old
    with pytest.raises(ConfigError, match=r"old: a model of the formulation tokens. Expected one of the pointer .*"):
        warm_model(replace(folder, formulation="tokens"), LABEL_WORDS, HEAD)
    (folder.path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(DataFormatError, match="damaged model folder"):
        warm_model(folder, LABEL_WORDS, HEAD)
    (folder.path / "model.safetensors").unlink()
    with pytest.raises(DataFormatError, match=r"damaged model folder \(.*No such file"):
        folder.digest()
