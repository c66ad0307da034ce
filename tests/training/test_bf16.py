"""bf16 autocast of the pointer model: the products are in bfloat16, what is sensitive to rounding is not."""

from __future__ import annotations

import pytest
import torch

from tests.training.pointer import PointerTraining


def test_products_are_in_bfloat16_and_norms_scores_loss_and_weights_in_float32():
    pointer = PointerTraining()
    model, seen = pointer.task.model, {}
    layer = model.backbone.network.encoder.layers[0]

    def note(module, _, found):
        names = {layer.fc1: "fc1", layer.final_layer_norm: "final_layer_norm"}
        seen.update(found if module is model else {names[module]: found})

    for module in (model, layer.fc1, layer.final_layer_norm):
        module.register_forward_hook(note)
    pointer.trainer(bf16=True).run()
    assert {name: found.dtype for name, found in seen.items()} == {
        "fc1": torch.bfloat16,
        "final_layer_norm": torch.float32,
        "logits": torch.float32,
        "total": torch.float32,
        "weight": torch.int64,
        "loss": torch.float32,
    }
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_the_loss_in_bfloat16_is_nearly_that_in_float32():
    pointer = PointerTraining()
    batch = pointer.data.batch(range(12))
    expected, gradients = pointer.gradients(pointer.task.loss, batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss, rounded = pointer.gradients(pointer.task.loss, batch)
    assert loss != expected and loss == pytest.approx(expected, rel=1e-2)
    assert torch.nn.functional.cosine_similarity(rounded, gradients, dim=0) > 0.99
