"""The portable model folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from genner.data.labels import LabelSet
from genner.errors import DataFormatError
from genner.model.checkpoint import load_model, save_model
from genner.model.folder import ModelFolder, read_weights
from genner.model.pointer import PointerConfig, PointerModel
from tests.model.tools import BOTH, LABEL_WORDS

LABELS = LabelSet(("PER", "LOC", "Cell"), LABEL_WORDS)


def save(folder: Path, model: PointerModel) -> None:
    settings = save_model(folder, model)
    ModelFolder(folder, "pointer", "nested", LABELS, settings).write()


def load(folder: Path) -> PointerModel:
    return load_model(ModelFolder.read(folder))


@pytest.fixture
def saved(make_model, tmp_path: Path) -> tuple[Path, PointerModel]:
    model = make_model("scratch:tiny").eval()
    save(tmp_path / "best", model)
    return tmp_path / "best", model


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("spec", BOTH)
def test_round_trip_is_exact(spec: str, compat: bool, make_model, make_batch, tmp_path: Path) -> None:
    model = make_model(spec, PointerConfig("avg_score", dropout=0.2, compat=compat)).eval()
    batch = make_batch(model)
    save(tmp_path / "new" / "best", model)
    (tmp_path / "new" / "best").rename(tmp_path / "moved")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    loaded = load(tmp_path / "moved")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(loaded(*batch)["logits"], model(*batch)["logits"])
    symbols = torch.zeros(4, dtype=torch.long)
    steps = [each.step(symbols, each.start(*list(batch)[:2])) for each in (loaded, model)]
    assert torch.equal(*steps)
    about = ModelFolder.read(tmp_path / "moved")
    assert (about.labels, about.kind, about.formulation) == (LABELS, "nested", "pointer")
    assert loaded.config == model.config
    assert not loaded.training
    assert loaded.backbone.output_scale == model.backbone.output_scale
    text = "ein Wort wie balekori"
    tokenizers = [each.backbone.tokenizer for each in (loaded, model)]
    assert tokenizers[0](text)["input_ids"] == tokenizers[1](text)["input_ids"]


def test_scale_of_a_trained_model_is_kept(make_model, make_batch, tmp_path: Path) -> None:
    model = make_model("scratch-t5:tiny").eval()
    model.backbone.output_scale = 0.37
    save(tmp_path / "best", model)
    assert load(tmp_path / "best").backbone.output_scale == 0.37


def test_shared_tensors_are_stored_once_and_stay_shared(saved) -> None:
    folder, model = saved
    with safe_open(folder / "model.safetensors", "pt") as stored:
        names = set(stored.keys())
    assert names == {name for name, _ in model.named_parameters()} | {"input_rows", "score_rows"}
    backbone = load(folder).backbone
    assert backbone.network.encoder.embed_tokens.weight is backbone.network.decoder.embed_tokens.weight


def test_nothing_in_the_folder_is_executable(saved) -> None:
    folder, _ = saved
    names = {path.name for path in folder.iterdir()}
    assert names >= {"model.safetensors", "config.json", "tokenizer.json", "model.json"}
    assert {Path(name).suffix for name in names} == {".safetensors", ".json"}
    for path in folder.iterdir():
        assert not os.access(path, os.X_OK)
        assert path.suffix == ".safetensors" or "auto_map" not in path.read_text(encoding="utf-8")


def test_missing_folder_and_files(saved, tmp_path: Path) -> None:
    folder, _ = saved
    with pytest.raises(DataFormatError, match=r"nowhere: no such model folder"):
        load(tmp_path / "nowhere")
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataFormatError, match=r"damaged model folder \(No such file.*model.safetensors"):
        load(folder)
    (folder / "model.json").unlink()
    with pytest.raises(DataFormatError, match=r"not a model folder, model.json is missing.*Name that folder, or copy"):
        load(folder)


def test_the_head_of_drafts_is_kept(make_model, tmp_path: Path) -> None:
    model = make_model("scratch:tiny", PointerConfig(draft_unit="bpe"))
    torch.nn.init.normal_(model.draft_head.linear.weight)
    save(tmp_path / "best", model)
    loaded = load(tmp_path / "best")
    assert loaded.draft_head.unit == "bpe"
    assert torch.equal(loaded.draft_head.linear.weight, model.draft_head.linear.weight)


@pytest.mark.parametrize(("version", "advice"), [(99, "Update GenNER"), (2, "Train the model again"), ("x", "Train")])
def test_other_formats_are_refused(saved, version: object, advice: str) -> None:
    folder, _ = saved
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps(about | {"format": version}), encoding="utf-8")
    with pytest.raises(DataFormatError, match=rf"model format .?{version}.?. Expected 3, which .* reads. {advice}"):
        load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.json", "tokenizer.json"])
def test_cut_off_files(name: str, saved) -> None:
    folder, _ = saved
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataFormatError, match=r"best: damaged model folder \(.*\)\. Expected what training wrote"):
        load(folder)


@pytest.mark.parametrize("change", [{"labels": [{"tag": "PER"}]}, {"labels": None}, {"settings": {}}, {"kind": ...}])
def test_descriptions_that_lack_something(saved, change: dict) -> None:
    folder, _ = saved
    about = json.loads((folder / "model.json").read_text(encoding="utf-8")) | change
    kept = {name: value for name, value in about.items() if value is not ...}
    (folder / "model.json").write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(DataFormatError, match="damaged model folder"):
        load(folder)


def test_buffers_that_are_not_kept_are_no_hindrance(saved) -> None:
    folder, model = saved
    model.register_buffer("scratch_pad", torch.zeros(3), persistent=False)
    save(folder, model)
    assert torch.equal(load(folder).backbone.embedding.weight, model.backbone.embedding.weight)

    tensors = load_file(folder / "model.safetensors") | {"rows": torch.zeros(2)}
    save_file(tensors, folder / "model.safetensors")
    module = torch.nn.Module()
    for name, value in tensors.items():
        if "." not in name:
            module.register_buffer(name, value, persistent=name != "rows")  # it was stored before
    save_file({name: value for name, value in tensors.items() if "." not in name}, folder / "model.safetensors")
    read_weights(folder, module)


def test_folders_of_neighbouring_versions_are_read(saved, make_batch, caplog: pytest.LogCaptureFixture) -> None:
    folder, model = saved
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    about["settings"]["head"]["colour"] = "blue"  # a later one has more
    del about["settings"]["head"]["word_dropout"], about["settings"]["output_scale"], about["versions"]
    (folder / "model.json").write_text(json.dumps(about | {"licence": "mit"}), encoding="utf-8")
    loaded = load(folder)
    assert "head has settings of a later version: colour, not used" not in caplog.text
    assert "model.json has settings of a later version: colour, not used" in caplog.text
    batch = make_batch(model)
    assert torch.equal(loaded(*batch)["logits"], model(*batch)["logits"])


def test_weights_of_another_model(saved, make_model) -> None:
    folder, _ = saved
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("encoder_mlp.0.bias")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(DataFormatError, match=r"differ in 1 tensors, encoder_mlp.0.bias for one"):
        load(folder)


def test_labels_that_do_not_fit(saved) -> None:
    folder, _ = saved
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps(about | {"labels": about["labels"][:1]}), encoding="utf-8")
    with pytest.raises(DataFormatError, match="damaged model folder"):
        load(folder)


def test_folder_can_be_copied(saved, tmp_path: Path) -> None:
    folder, model = saved
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    loaded = load(tmp_path / "copy")
    assert torch.equal(loaded.backbone.embedding.weight, model.backbone.embedding.weight)
