"""Lighter forms of a trained model for prediction on a CPU: the linear layers, where nearly all of the time goes.

Each form changes a model in place and for good: it can be neither trained nor saved afterwards. What a form gains, and
whether it still finds the same entities, differs by machine and model: ``python -m benchmarks.lighter`` measures both.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from genner.errors import ConfigError, MissingBackendError
from genner.model.pointer import PointerModel

__all__ = ["FORMS", "lighten"]


def lighten(model: PointerModel, form: str) -> PointerModel:
    """Bring the model into a lighter form.

    Args:
        model: in eval mode, on the CPU, in float32.
        form: ``float32`` leaves it as it is; ``packed``: float32 in the layout of oneDNN, other rounding only;
            ``bf16``: weights and products in bfloat16, half the memory; ``int8``: weights in 8 bits, what they are
            multiplied with scaled to 8 bits per batch, a quarter of the memory.

    Raises:
        ConfigError: an unknown form, or a model that is not on the CPU.
        MissingBackendError: this build of torch has no kernels for the form.
    """
    if form not in FORMS:
        raise ConfigError(f"form: unknown form {form!r}. Expected one of {', '.join(FORMS)}.")
    device = model.backbone.embedding.weight.device
    if form != "float32" and device.type != "cpu":
        raise ConfigError(f"form: {form} is for the CPU, the model is on {device}. Move it there, or take float32.")
    build = FORMS[form]
    if build is not None:
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                # The layer that drafts is small, and its guesses are verified anyway.
                if isinstance(child, nn.Linear) and parent is not model.draft_head:
                    setattr(parent, name, build(child).eval())
    return model


class _PackedLinear(nn.Module):
    """A linear layer whose weight lies as oneDNN likes it best."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _USUAL_ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")


class _Bf16Linear(nn.Module):
    """A linear layer in bfloat16 among layers in float32."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight.detach().bfloat16()
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs.bfloat16(), self.weight, self.bias).float()


def _pack(linear: nn.Linear) -> nn.Module:
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        raise MissingBackendError("form: this build of torch has no oneDNN. Expected one for x86 or ARM. Take float32.")
    return _PackedLinear(linear)


def _quantise(linear: nn.Linear) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the module will move to another package
        try:
            linear.__class__ = nn.Linear  # the only kind that torch quantises
            from torch.ao.quantization import quantize_dynamic

            return quantize_dynamic(nn.Sequential(linear), {nn.Linear}, dtype=torch.qint8)[0]
        except (ImportError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise MissingBackendError(
                f"form: no 8-bit kernels here ({reason}). Expected a torch with FBGEMM or QNNPACK. Take packed."
            ) from None


_USUAL_ROWS = 32
FORMS: dict[str, Callable[[nn.Linear], nn.Module] | None] = {
    "float32": None,
    "packed": _pack,
    "bf16": _Bf16Linear,
    "int8": _quantise,
}
