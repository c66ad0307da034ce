"""The portable model folder: weights, backbone configuration, tokenizer, labels and recipe; nothing in it is executed.

* model.safetensors: all parameters and row tables, what is shared only once
* config.json, tokenizer*.json: of the backbone, as transformers writes them
* model.json: format number, shape of the head
* labels.json: tags and their words, in symbol order
* recipe.yaml: the text that made the model

Other files may lie beside them, such as ``calibration.json``.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from genner.data.labels import LabelSet
from genner.errors import ConfigError, DataFormatError, MissingBackendError
from genner.model.backbones import backbone_class
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import read_config, read_tokenizer

__all__ = ["SavedModel", "load_model", "save_model"]

FORMAT = 2  # 1: without the head of drafts
_WEIGHTS, _ABOUT, _LABELS, _RECIPE = "model.safetensors", "model.json", "labels.json", "recipe.yaml"
_REQUIRED = ("config.json", _WEIGHTS, _ABOUT, _LABELS, _RECIPE)


class SavedModel(NamedTuple):
    """What :func:`load_model` finds."""

    model: PointerModel
    labels: LabelSet
    recipe_text: str


def save_model(folder: Path, model: PointerModel, labels: LabelSet, recipe_text: str) -> None:
    """Write a model folder; :func:`genner.files.replace_folder` puts it in the place of an older one.

    Args:
        folder: empty, or made with its parents.
        model: on any device.
        labels: in symbol order.
        recipe_text: the resolved recipe, kept as it is.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.backbone.save(folder)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _write_weights(folder / _WEIGHTS, tensors)
    about = {
        "format": FORMAT,
        "formulation": "pointer",
        "head": asdict(model.config),
        "output_scale": model.backbone.output_scale,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    (folder / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    labels.save(folder / _LABELS)
    (folder / _RECIPE).write_text(recipe_text, encoding="utf-8")


def load_model(folder: Path, *, attention: str = "sdpa") -> SavedModel:
    """Read what :func:`save_model` wrote, ready for prediction, on the CPU; the random state is left as it was.

    Args:
        folder: a model folder, wherever it was moved to.
        attention: ``sdpa`` or ``eager``.

    Raises:
        DataFormatError: the folder or one of its files is missing, damaged or of a newer format.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataFormatError(f"{folder}: no such model folder. Expected the folder 'best' of a finished run.")
    missing = [name for name in _REQUIRED if not (folder / name).is_file()]
    if missing:
        raise DataFormatError(
            f"{folder}: not a model folder, {', '.join(missing)} missing. Expected what training wrote as 'best'. "
            "Copy the whole folder again."
        )
    about = _read_about(folder / _ABOUT)
    labels = LabelSet.load(folder / _LABELS)
    try:
        config, tokenizer = read_config(str(folder)), read_tokenizer(str(folder))
        kind = backbone_class(config.model_type, str(folder))
        head = PointerConfig(**about["head"])
        config._attn_implementation = attention
        with torch.random.fork_rng(devices=[]):
            network = kind.network_class(config.model_type)(config)
            backbone = kind(network, tokenizer)
            model = PointerModel(backbone, labels.words, head, initialise=False)
        backbone.output_scale = float(about["output_scale"])
        model.load_state_dict(_read_weights(folder / _WEIGHTS, model))
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError, MissingBackendError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataFormatError(
            f"{folder}: damaged model folder ({reason}). Expected what training wrote. Copy the whole folder again."
        ) from None
    return SavedModel(model.eval(), labels, (folder / _RECIPE).read_text(encoding="utf-8"))


def _write_weights(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):  # such as a full disk
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        raise


def _read_about(path: Path) -> dict:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        version = about["format"]
        if version > FORMAT:
            raise DataFormatError(
                f"{path}: model format {version} is newer than this code. Expected at most {FORMAT}. Update the code."
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataFormatError(f"{path}: not a model description ({error}). Copy the whole folder again.") from None
    return about


def _read_weights(path: Path, model: PointerModel) -> dict[str, torch.Tensor]:
    """The stored tensors, with the shared ones under each of their names again."""
    stored = load_file(path)
    first_names = {id(parameter): name for name, parameter in model.named_parameters()}
    state = {name: first_names.get(id(tensor), name) for name, tensor in model.state_dict(keep_vars=True).items()}
    if set(stored) != set(state.values()):
        odd = sorted(set(stored) ^ set(state.values()))
        raise ValueError(f"{path.name} and the configuration differ in {len(odd)} tensors, {odd[0]} for one")
    return {name: stored[first_name] for name, first_name in state.items()}
