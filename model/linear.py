"""The linear layers, where nearly all of the time goes: oneDNN for inference, and lighter forms of a trained model.

torch multiplies float32 matrices with MKL, which uses only half of the vector width on CPUs not made by Intel. On an
AMD EPYC with AVX-512, oneDNN, which torch includes as well, takes 0.45 times as long for the layers of an encoder and
0.55 times for those of 32 decoder rows, at the same precision. Training is unchanged.

The lighter forms are for prediction on a CPU. Each changes a model in place: afterwards it can be neither trained nor
saved. What a form gains, and whether it still finds the same entities, depends on machine and model:
``python -m benchmarks.lighter`` measures both.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from genner.errors import ConfigError, MissingBackendError
from genner.model.drafts import DraftHead

__all__ = ["FORMS", "FastLinear", "lighten", "use_fast_linears"]

_FEWEST_ROWS = 4
"""With fewer rows, reading the weights dominates anyway, and MKL has less overhead."""


class FastLinear(nn.Linear):
    """``nn.Linear`` that uses oneDNN for enough rows of float32 on the CPU without gradients."""

    def forward(self, inputs: Tensor) -> Tensor:
        """As ``nn.Linear``, up to rounding."""
        # A compiled graph holds what the compiler chose, also where it runs without gradients.
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or not self._is_for_onednn(inputs):
            return super().forward(inputs)
        return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")

    def _is_for_onednn(self, inputs: Tensor) -> bool:
        return (
            inputs.dtype == self.weight.dtype == torch.float32
            and inputs.numel() >= _FEWEST_ROWS * self.in_features
            and inputs.device.type == "cpu"
            and onednn_is_faster()
            and not torch.is_autocast_enabled("cpu")
        )


@functools.cache
def onednn_is_faster() -> bool:
    """Whether oneDNN is available and the CPU is of the kind on which it is faster."""
    return _has_onednn() and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def use_fast_linears(module: nn.Module) -> None:
    """Turn every plain linear layer of ``module`` into a :class:`FastLinear`; parameters, names and hooks are kept."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = FastLinear


def lighten(model: nn.Module, form: str) -> nn.Module:
    """Bring the model into a lighter form.

    Args:
        model: in eval mode, on the CPU, in float32.
        form: ``float32`` leaves it as it is; ``packed``: float32 in the layout of oneDNN, other rounding only;
            ``bf16``: weights and products in bfloat16, half the memory; ``int8``: weights in 8 bits and inputs scaled
            to 8 bits per batch, a quarter of the memory.

    Raises:
        ConfigError: an unknown form, or a model that is not on the CPU.
        MissingBackendError: this build of torch has no kernels for the form.
    """
    if form not in FORMS:
        raise ConfigError(f"form: unknown form {form!r}. Expected one of {', '.join(FORMS)}. Choose one.")
    device = next(model.parameters()).device
    if form != "float32" and device.type != "cpu":
        raise ConfigError(
            f"form: {form} is for the CPU, the model is on {device}. Expected it there. Set form=float32 or device=cpu."
        )
    build = FORMS[form]
    # The layer that drafts is small, and its guesses are verified anyway.
    parents = [module for module in model.modules() if not isinstance(module, DraftHead)]
    for parent in parents if build is not None else ():
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, build(child).eval())
    return model


class _PackedLinear(nn.Module):
    """A linear layer whose weight has the layout that suits oneDNN best."""

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
    if not _has_onednn():
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
