"""The pointer model in a model folder (:mod:`genner.model.folder`): its backbone, its shape and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from genner.errors import ConfigError, MissingBackendError
from genner.model.backbones import backbone_class
from genner.model.folder import ModelFolder, damaged, read_weights, write_weights
from genner.model.pointer import PointerConfig, PointerModel
from genner.model.sources import read_config, read_tokenizer

__all__ = ["labels_taken", "load_model", "save_model", "warm_model"]


def save_model(folder: Path, model: PointerModel) -> dict[str, Any]:
    """Write backbone and weights; returns the settings that :func:`load_model` wants to find in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.backbone.save(folder)
    write_weights(folder, model)
    return {"head": asdict(model.config), "output_scale": model.backbone.output_scale}


def load_model(folder: ModelFolder) -> PointerModel:
    """Read what :func:`save_model` wrote, ready for prediction, on the CPU; the random state is left as it was.

    Raises:
        DataFormatError: a file is missing or damaged.
    """
    where = str(folder.path)
    try:
        config, tokenizer = read_config(where), read_tokenizer(where)
        kind = backbone_class(config.model_type, where)
        with torch.random.fork_rng(devices=[]):
            backbone = kind(kind.network_class(config.model_type)(config), tokenizer)
            shape = PointerConfig(**folder.known("head", PointerConfig))
            model = PointerModel(backbone, folder.labels.words, shape, initialise=False)
        backbone.output_scale = float(folder.settings.get("output_scale", 1.0))
        read_weights(folder.path, model)
    except (
        KeyError, TypeError, ValueError, RuntimeError, OSError, ConfigError, MissingBackendError, SafetensorError
    ) as error:  # fmt: skip
        damaged(folder.path, error)
    return model.eval()


@torch.no_grad()
def warm_model(folder: ModelFolder, label_words: Sequence[str], config: PointerConfig) -> PointerModel:
    """A model to be trained, for other labels or of another shape, that begins with the weights of a folder.

    A label with the words of an old one takes over its row of the embedding and its part of the draft head; the others
    begin as in a new model, as does whatever the old one lacks.

    Args:
        folder: a pointer model.
        label_words: of the new model.
        config: its head.

    Raises:
        ConfigError: the folder holds a model of another formulation.
        DataFormatError: a file is missing or damaged.
    """
    if folder.formulation != "pointer":
        raise ConfigError(
            f"{folder.path}: a model of the formulation {folder.formulation}. Expected one of the pointer formulation, "
            "to start from. Choose another --backbone."
        )
    old = load_model(folder)
    rows = old.input_rows[2:]
    kept = old.backbone.embedding.weight[rows].clone()
    old.backbone.resize(int(rows.min()))  # without the old labels
    model = PointerModel(old.backbone, label_words, config)
    before = {_plain(words): number for number, words in enumerate(folder.labels.words)}
    pairs = [(new, before[_plain(words)]) for new, words in enumerate(label_words) if _plain(words) in before]
    for new, number in pairs:
        model.backbone.embedding.weight[model.input_rows[2 + new]] = kept[number]
    if model.encoder_mlp is not None and old.encoder_mlp is not None:
        model.encoder_mlp.load_state_dict(old.encoder_mlp.state_dict())
    if model.draft_head is not None and old.draft_head is not None and model.draft_head.unit == old.draft_head.unit:
        layers = (model.draft_head.linear, old.draft_head.linear)
        for ours, theirs in zip(*(layer.parameters() for layer in layers), strict=True):
            ours[:2] = theirs[:2]  # where an entity starts, and whether it goes on
            for new, number in pairs:
                ours[2 + new] = theirs[2 + number]
    return model.train()


def labels_taken(folder: ModelFolder, label_words: Sequence[str]) -> list[str]:
    """The words of the labels that :func:`warm_model` takes over."""
    before = set(map(_plain, folder.labels.words))
    return [words for words in label_words if _plain(words) in before]


def _plain(words: str) -> str:
    return " ".join(words.casefold().split())
