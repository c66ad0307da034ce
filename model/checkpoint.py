"""The pointer model in a model folder (:mod:`genner.model.folder`): its backbone, its shape and its weights."""

from __future__ import annotations

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

__all__ = ["load_model", "save_model"]


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
