"""The names that the recorded weights have, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

# Longest prefix first: the shared embedding is recorded under the encoder's name.
_PREFIXES = (
    ("seq2seq_model.encoder.bart_encoder.embed_tokens.", "backbone.network.shared."),
    ("seq2seq_model.encoder.bart_encoder.", "backbone.network.encoder."),
    ("seq2seq_model.decoder.decoder.", "backbone.network.decoder."),
    ("seq2seq_model.decoder.encoder_mlp.", "encoder_mlp."),
)
MAPPING = "seq2seq_model.decoder.mapping"


def our_name(recorded: str) -> str:
    """Our parameter name for a recorded one."""
    for theirs, ours in _PREFIXES:
        if recorded.startswith(theirs):
            return ours + recorded[len(theirs) :]
    raise KeyError(recorded)


def load_recorded_weights(model: nn.Module, path: Path) -> None:
    """Copy the weights of an ``.npz`` into ``model``; every parameter that the model has must be there."""
    parameters = dict(model.named_parameters())
    with np.load(path) as recorded:
        for name in recorded.files:
            if name == MAPPING:
                assert model.input_rows.tolist() == recorded[name].tolist()
                continue
            target = parameters.pop(our_name(name), None)
            if target is None:
                assert our_name(name).startswith("encoder_mlp."), name
                continue
            with torch.no_grad():
                target.copy_(torch.from_numpy(recorded[name]))
    assert not parameters, sorted(parameters)


def gradients(model: nn.Module) -> Mapping[str, torch.Tensor | None]:
    """Gradient of every parameter by our name."""
    return {name: parameter.grad for name, parameter in model.named_parameters()}
