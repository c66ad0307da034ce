"""Patches for transformers 5.x."""

from __future__ import annotations

import importlib
import inspect
import types
from typing import Any

import torch

__all__ = ["skip_draws_for_layerdrop"]


def skip_draws_for_layerdrop() -> bool:
    """Let BART pass LayerDrop by without a draw, as newer versions do where its rate is 0.

    No BART that is known has another rate; one that had would train without LayerDrop while this patch is in place.

    Symptom: ``torch.compile`` breaks the graph at every layer of BART, so that each batch size is compiled anew.
    Cause: ``modeling_bart.py`` compares ``torch.rand([])`` with the rate in training even if that is 0; a branch on the
        value of a tensor cannot be compiled.
    Applies: transformers 5.17; 5.24 looks at the rate first. Needed by the compiled training step only.
    Remove when: the oldest version that is supported looks at the rate first.

    Returns:
        Whether the module's ``torch.rand`` was exchanged by this call.
    """
    bart = importlib.import_module("transformers.models.bart.modeling_bart")
    if bart.torch is not torch or "self.layerdrop > 0.0" in inspect.getsource(bart.BartEncoder.forward):
        return False
    stand_in = types.ModuleType("torch", "torch without the draw for LayerDrop.")
    stand_in.__dict__.update(vars(torch))
    stand_in.rand = _rand
    bart.torch = stand_in
    return True


def _rand(size: Any, **options: Any) -> Any:
    """What is compared with the rate is 1, which is never below it; all else is drawn."""
    return torch.rand(size, **options) if size or options else 1.0
