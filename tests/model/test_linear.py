"""Linear layers that predict with oneDNN: the same numbers, the same parameters, and torch's own way in training."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from genner.model.linear import FastLinear, onednn_is_faster, use_fast_linears


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (3, 24), (4, 24), (7, 5, 24), (2, 3, 4, 24), (0, 24)])
def test_the_same_numbers(shape: tuple[int, ...], bias: bool) -> None:
    layer = nn.Linear(24, 40, bias=bias)
    inputs = torch.randn(shape)
    expected = functional.linear(
        inputs.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double()
    )
    use_fast_linears(nn.Sequential(layer))
    with torch.no_grad():
        found = layer(inputs)
        turned = layer(inputs.transpose(0, -2).contiguous().transpose(0, -2))
    for actual in (found, turned):
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=1e-5)


def test_only_some_rows_of_float32_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = FastLinear(8, 8)
    cases = {
        "rows": torch.randn(4, 8),
        "few rows": torch.randn(3, 8),
        "double": torch.randn(9, 8, dtype=torch.float64),
        "other device": torch.randn(9, 8, device="meta"),
    }
    monkeypatch.setattr("genner.model.linear.onednn_is_faster", lambda: True)
    assert [name for name, inputs in cases.items() if layer._is_for_onednn(inputs)] == ["rows"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not layer._is_for_onednn(cases["rows"])
        assert layer(cases["rows"]).dtype == torch.bfloat16
    monkeypatch.setattr("genner.model.linear.onednn_is_faster", lambda: False)
    assert not layer._is_for_onednn(cases["rows"])


def test_training_is_torch_s_own() -> None:
    torch.manual_seed(1)
    plain = nn.Linear(16, 16)
    fast = FastLinear(16, 16)
    fast.load_state_dict(plain.state_dict())
    inputs = torch.randn(12, 16)
    for layer in (plain, fast):
        layer(inputs).square().sum().backward()
    assert torch.equal(plain.weight.grad, fast.weight.grad)


def test_every_linear_layer_of_a_model_is_one(make_model) -> None:
    model = make_model("scratch-t5:tiny")
    kinds = {type(module) for module in model.modules() if isinstance(module, nn.Linear)}
    assert kinds == {FastLinear}
    assert isinstance(onednn_is_faster(), bool)
