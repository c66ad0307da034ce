"""The model against the numbers recorded from the reference implementation, in compat mode."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import load_backbone

# pytest's import mode gives test folders no package to import a neighbour from.
_SPEC = importlib.util.spec_from_file_location("reference_weights", Path(__file__).with_name("reference_weights.py"))
reference_weights = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference_weights)

KINDS = ("flat", "nested", "disc")
CONFIGS = tuple(f"{kind}_mlp{mlp}" for kind in ("None", "avg_score", "avg_feature") for mlp in (0, 1))
LOGIT_TOLERANCE = 5e-5
LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-5
# The gradient of a key projection's bias is zero but for rounding: recorded values are below this.
NOISE = 1e-7


@functools.cache
def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def read_npz(path: Path) -> dict[str, torch.Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def build(folder: Path, kind: str, *, decoder_type: str = "avg_feature", mlp: bool = True) -> PointerModel:
    """The model of one data set before its weights are loaded; all dropouts are 0, as they were in the recording."""
    pipe = read_json(folder / f"pipe_{kind}.json")
    words = [pipe["tag_to_token"][tag][2:-2] for tag in pipe["tag_to_index"]]
    backbone = load_backbone(str(folder / "inputs" / "bart_tiny"), dropout=0.0)
    model = PointerModel(backbone, words, PointerConfig(decoder_type, mlp, 0.0, compat=True))
    assert model.input_rows[2:].tolist() == pipe["label_ids"]
    return model


def build_with_weights(folder: Path, kind: str, weights: str, **options: object) -> PointerModel:
    model = build(folder, kind, **options)
    reference_weights.load_recorded_weights(model, folder / weights)
    return model


def build_config(folder: Path, config: str) -> PointerModel:
    decoder_type, mlp = config.rsplit("_mlp", 1)
    kind = {"None": "none"}.get(decoder_type, decoder_type)
    return build_with_weights(folder, "flat", "weights_forward.npz", decoder_type=kind, mlp=mlp == "1")


def forward_batch(folder: Path, batch: str) -> dict[str, torch.Tensor]:
    arrays = read_npz(folder / "forward.npz")
    return {name: arrays[f"{batch}_{name}"] for name in ("src_tokens", "src_seq_len", "tgt_tokens", "tgt_seq_len")}


def assert_logits(ours: torch.Tensor, recorded: torch.Tensor, where: torch.Tensor | None = None) -> None:
    """Masked columns hold the very same values, the others agree within the tolerance; ``where`` picks positions."""
    assert ours.shape == recorded.shape
    if where is not None:
        ours, recorded = ours[where], recorded[where]
    masked = recorded < -1e20
    assert masked.any() and not masked.all()
    torch.testing.assert_close(ours[masked], recorded[masked], rtol=1e-6, atol=0.0)
    difference = (ours - recorded)[~masked].abs().max().item()
    assert difference <= LOGIT_TOLERANCE, difference


def real_steps(tgt_tokens: torch.Tensor) -> torch.Tensor:
    """(B, T-1) bool, True = the symbol scored there is not padding."""
    is_end = tgt_tokens == 1
    return (is_end.cumsum(1) <= is_end)[:, 1:]


@pytest.mark.parametrize("kind", KINDS)
def test_label_rows(parity_dir: Path, kind: str) -> None:
    recorded = read_npz(parity_dir / "label_embeddings.npz")
    about = read_json(parity_dir / "label_embeddings.json")[kind]
    model = build(parity_dir, kind)
    weight = model.backbone.embedding.weight.detach()
    assert weight.shape[0] == about["rows_after_resize"]
    set_rows = torch.tensor(about["rows_that_changed"])
    position = {row: i for i, row in enumerate(recorded[f"{kind}_rows"].tolist())}
    after = recorded[f"{kind}_after"][[position[row] for row in set_rows.tolist()]]
    assert torch.equal(weight[set_rows], after)
    original = load_backbone(str(parity_dir / "inputs" / "bart_tiny")).embedding.weight.detach()
    others = sorted(set(range(about["checkpoint_rows"])) - set(set_rows.tolist()))
    assert torch.equal(weight[others], original[others])


@pytest.mark.parametrize("kind", KINDS)
def test_label_rows_by_default_are_plain_means(parity_dir: Path, kind: str) -> None:
    pipe = read_json(parity_dir / f"pipe_{kind}.json")
    about = read_json(parity_dir / "label_embeddings.json")[kind]
    words = [pipe["tag_to_token"][tag][2:-2] for tag in pipe["tag_to_index"]]
    backbone = load_backbone(str(parity_dir / "inputs" / "bart_tiny"))
    original = backbone.embedding.weight.detach().clone()
    model = PointerModel(backbone, words)
    weight = model.backbone.embedding.weight.detach()
    assert weight.shape[0] == len(original) + len(words)
    assert torch.equal(weight[: len(original)], original)
    pieces = {item["token"][2:-2]: item["piece_ids"] for item in about["order_of_work"]}
    for word, row in zip(words, model.input_rows[2:].tolist(), strict=True):
        torch.testing.assert_close(weight[row], original[pieces[word]].mean(dim=0), rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("batch", ["A", "B"])
def test_encoder_output(parity_dir: Path, batch: str) -> None:
    model = build_config(parity_dir, "avg_feature_mlp1").eval()
    recorded = read_npz(parity_dir / "forward.npz")
    mask = recorded[f"{batch}_encoder_mask"]
    with torch.no_grad():
        states = model.backbone.encode(recorded[f"{batch}_src_tokens"], mask)
    difference = (states - recorded[f"{batch}_encoder_output"])[mask].abs().max().item()
    assert difference <= LOGIT_TOLERANCE


@pytest.mark.parametrize("batch", ["A", "B"])
@pytest.mark.parametrize("config", CONFIGS)
def test_training_forward(parity_dir: Path, config: str, batch: str) -> None:
    model = build_config(parity_dir, config).train()
    about = read_json(parity_dir / "forward.json")["configs"][config]
    assert (model.encoder_mlp is not None) == about["has_encoder_mlp"]
    fields = forward_batch(parity_dir, batch)
    output = model(**fields)
    recorded = read_npz(parity_dir / "forward.npz")[f"{config}_{batch}_logits"]
    assert_logits(output["logits"], recorded, real_steps(fields["tgt_tokens"]))
    # Steps behind the end: their own symbol is fed as padding and hidden from attention.
    assert_logits(output["logits"], recorded)
    assert abs(output["loss"].item() - about["loss"][batch]) <= LOSS_TOLERANCE
    output["loss"].backward()
    ours = reference_weights.gradients(model)
    names = {reference_weights.our_name(name): name for name in about["grad_l2"][batch]}
    assert set(names) == {name for name, gradient in ours.items() if gradient is not None}
    for name, recorded_name in names.items():
        expected = about["grad_l2"][batch][recorded_name]
        norm = ours[name].norm().item()
        if name.endswith("k_proj.bias"):
            assert max(norm, expected) < NOISE
        else:
            assert abs(norm - expected) <= GRADIENT_TOLERANCE * expected, name


def is_going(tgt_tokens: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
    """(B, T) True where a row has not ended; what is scored behind the end reaches no answer."""
    return tgt_tokens[:, : recorded.shape[1]] != 1


@pytest.mark.parametrize("config", CONFIGS)
def test_steps_with_cache(parity_dir: Path, config: str) -> None:
    model = build_config(parity_dir, config).eval()
    fields = forward_batch(parity_dir, "A")
    recorded = read_npz(parity_dir / "forward.npz")[f"{config}_A_eval_step_logits"]
    state = model.start(fields["src_tokens"], fields["src_seq_len"])
    steps = [model.step(fields["tgt_tokens"][:, t], state) for t in range(recorded.shape[1])]
    assert_logits(torch.stack(steps, dim=1), recorded, where=is_going(fields["tgt_tokens"], recorded))


@pytest.mark.parametrize("kind", KINDS)
def test_trained_weights(parity_dir: Path, kind: str) -> None:
    model = build_with_weights(parity_dir, kind, f"weights_{kind}.npz").train()
    batch = read_npz(parity_dir / f"generation_{kind}.npz")
    about = read_json(parity_dir / f"generation_{kind}.json")
    with torch.no_grad():
        loss = model(batch["src_tokens"], batch["src_seq_len"], batch["tgt_tokens"])["loss"].item()
        n_source, n_target = batch["src_seq_len"][:8].max(), batch["tgt_seq_len"][:8].max()
        logits = model(
            batch["src_tokens"][:8, :n_source], batch["src_seq_len"][:8], batch["tgt_tokens"][:8, :n_target]
        )["logits"]
    assert_logits(logits, batch["train_mode_logits_first8"])
    assert abs(loss - about["train_mode_loss_of_the_32"]) <= LOSS_TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_trained_weights_step_by_step(parity_dir: Path, kind: str) -> None:
    model = build_with_weights(parity_dir, kind, f"weights_{kind}.npz").eval()
    batch = read_npz(parity_dir / f"generation_{kind}.npz")
    about = read_json(parity_dir / f"generation_{kind}.json")
    (greedy,) = [
        run
        for run in about["runs"]
        if run["num_beams"] == 1 and run["length_penalty"] == 1 and run["batch_size"] == len(batch["src_tokens"])
    ]
    written = torch.tensor(greedy["pred"][0])
    state = model.start(batch["src_tokens"], batch["src_seq_len"])
    first_step = model.step(written[:, 0], state)
    assert_logits(first_step.unsqueeze(1), batch["eval_first_step_logits"])
    recorded = batch["greedy_step_logits_first4"]
    state = model.start(batch["src_tokens"][:4], batch["src_seq_len"][:4])
    steps = [model.step(written[:4, t], state) for t in range(recorded.shape[1])]
    assert_logits(torch.stack(steps, dim=1), recorded, where=is_going(written[:4], recorded))


def test_parameter_groups(parity_dir: Path) -> None:
    recorded = read_json(parity_dir / "trajectory.json")["param_groups"]
    model = build_config(parity_dir, "avg_feature_mlp1")
    decay = max(group["weight_decay"] for group in recorded)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = model.parameter_groups(decay)
    assert len(groups) == len(recorded) == 3
    for ours, theirs in zip(groups, recorded, strict=True):
        assert ours["weight_decay"] == theirs["weight_decay"]
        assert sorted(names[p] for p in ours["params"]) == sorted(map(reference_weights.our_name, theirs["names"]))
