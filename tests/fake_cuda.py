"""A GPU for machines without one: tensors that compute on the CPU, know their device, and refuse to be mixed.

Inside :class:`FakeCuda` a tensor on ``cuda:0`` is a CPU tensor whose storage has a tag. What Python sees of it
(``device``, ``is_cuda``, ``to``, ``cpu``, ``device=`` of functions that make tensors) follows the tag; every operation,
those of the backward pass included, is checked by the rules of CUDA:

* tensors of different devices in one operation raise torch's error, except CPU scalars in elementwise operations and
  CPU indices, which torch copies;
* what makes the host wait for the device is counted (:attr:`FakeCuda.waits`), with the line of ours that waited;
* ``torch.cuda`` answers as if the device were there, refuses what torch refuses before CUDA is initialised, and notes
  the order of calls; the device has a random generator of its own.

It does not imitate the device's arithmetic, and autocast follows the CPU's lists of operations.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["FakeCuda"]

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
_ROOT = Path(__file__).resolve().parents[1]
_OURS = tuple(str(_ROOT / folder) for folder in ("genner", "data", "model"))
_TAG = "device_of_the_test"

_COPIES = {"_to_copy", "copy_", "_local_scalar_dense", "lift_fresh", "set_", "is_same_size"}
_TAKE_CPU_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
# Beside elementwise operations, these take a CPU scalar as their value.
_TAKE_CPU_SCALARS = {"fill_", "masked_fill", "masked_fill_", "index_fill_", "index_fill", *_TAKE_CPU_INDICES}
# In inference mode, operations made of others arrive whole.
_WAIT = {
    "_local_scalar_dense", "item", "is_nonzero", "allclose", "equal", "nonzero", "argwhere", "masked_select",
    "unique_dim", "_unique2", "unique_consecutive",
}  # fmt: skip


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _tag(tensor: torch.Tensor) -> torch.device | None:
    """None: made inside an operation, so on whatever device that operation turns out to run."""
    return getattr(tensor.untyped_storage(), _TAG, None)


def _set_tag(tensor: torch.Tensor, device: torch.device) -> None:
    setattr(tensor.untyped_storage(), _TAG, device)


class FakeCuda:
    """A context with one or more GPUs, all of them ``cuda:0`` to the tensors.

    Attributes:
        waits: how often the host waited for the device, by ``file:line``.
        calls: names of the functions of ``torch.cuda`` that were called, in order.
    """

    def __init__(self, n_devices: int = 1) -> None:
        self.n_devices = n_devices
        self.waits: Counter[str] = Counter()
        self.calls: list[str] = []
        self.is_initialised = False
        self.random_state = torch.Generator().manual_seed(0).get_state()
        self.is_making = False  # a function was told to make its tensors on the device
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> FakeCuda:
        names = [name for name in dir(self) if name.startswith("_cuda_")]
        for name in names:
            self._stack.enter_context(mock.patch.object(torch.cuda, name.removeprefix("_cuda_"), getattr(self, name)))
        self._stack.enter_context(mock.patch.object(torch, "autocast", _autocast(torch.autocast)))
        self._stack.enter_context(_Operations(self))
        self._stack.enter_context(_Functions(self))
        return self

    def __exit__(self, *reason: Any) -> None:
        self._stack.close()

    @property
    def n_waits(self) -> int:
        return self.waits.total()

    def wait(self) -> None:
        """Count one, for the innermost line of ours."""
        frame = sys._getframe()
        while frame is not None and not frame.f_code.co_filename.startswith(_OURS):
            frame = frame.f_back
        where = "a test"
        if frame is not None:
            where = f"{Path(frame.f_code.co_filename).relative_to(_ROOT)}:{frame.f_lineno}"
        self.waits[where] += 1

    @contextlib.contextmanager
    def own_generator(self) -> Iterator[None]:
        """Draw from the generator of the device."""
        before = torch.get_rng_state()
        torch.set_rng_state(self.random_state)
        try:
            yield
        finally:
            self.random_state = torch.get_rng_state()
            torch.set_rng_state(before)

    # What torch.cuda answers.

    def _cuda_is_available(self) -> bool:
        return True

    def _cuda_device_count(self) -> int:
        return self.n_devices

    def _cuda_is_initialized(self) -> bool:
        return self.is_initialised

    def _cuda_init(self) -> None:
        self.calls.append("init")
        self.is_initialised = True

    def _cuda_reset_peak_memory_stats(self, device: Any = None) -> None:
        if not self.is_initialised:
            raise RuntimeError("Invalid device argument : did you call init?")
        self.calls.append("reset_peak_memory_stats")

    def _cuda_max_memory_allocated(self, device: Any = None) -> int:
        self.calls.append("max_memory_allocated")
        return 3 * 2**20

    def _cuda_synchronize(self, device: Any = None) -> None:
        self.wait()

    def _cuda_current_device(self) -> int:
        return 0

    def _cuda_is_current_stream_capturing(self) -> bool:
        return False

    def _cuda_manual_seed_all(self, seed: int) -> None:
        self.calls.append("manual_seed_all")
        self.random_state = torch.Generator().manual_seed(seed).get_state()

    def _cuda_get_rng_state_all(self) -> list[torch.Tensor]:
        self.calls.append("get_rng_state_all")
        return [self.random_state.clone() for _ in range(self.n_devices)]

    def _cuda_set_rng_state_all(self, states: list[torch.Tensor]) -> None:
        self.calls.append("set_rng_state_all")
        assert all(state.dtype == torch.uint8 and state.device == CPU for state in states)
        self.random_state = states[0].clone()


def _autocast(real: Any) -> Any:
    def on_cpu(device_type: str, **options: Any) -> Any:
        return real("cpu" if device_type == "cuda" else device_type, **options)

    return on_cpu


class _Functions(TorchFunctionMode):
    """What Python sees of tensors on the device."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()
        self.cuda = cuda

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        for tensor in _tensors((args, kwargs)):
            if _tag(tensor) is None:
                _set_tag(tensor, CPU)
        name = (resolve_name(func) or getattr(func, "__name__", "")).removeprefix("torch.")
        handler = getattr(self, "_" + name.replace("Tensor.", "tensor_").replace(".__get__", ""), None)
        if handler is not None:
            return handler(func, args, kwargs)
        wanted = kwargs.get("device")
        if wanted is None:
            found = func(*args, **kwargs)
        else:
            kwargs["device"] = CPU
            self.cuda.is_making = torch.device(wanted).type == "cuda"
            try:
                found = func(*args, **kwargs)
            finally:
                self.cuda.is_making = False
        for tensor in _tensors(found):
            if wanted is not None:
                if torch.device(wanted).type == "cuda" and _tag(tensor) is None:
                    self.cuda.is_initialised = True
                _set_tag(tensor, CUDA if torch.device(wanted).type == "cuda" else CPU)
            elif _tag(tensor) is None:
                _set_tag(tensor, CPU)
        return found

    def _tensor_device(self, func: Any, args: Any, kwargs: Any) -> torch.device:
        return _tag(args[0])

    def _tensor_is_cuda(self, func: Any, args: Any, kwargs: Any) -> bool:
        return _tag(args[0]) == CUDA

    def _tensor_is_cpu(self, func: Any, args: Any, kwargs: Any) -> bool:
        return _tag(args[0]) == CPU

    def _tensor_get_device(self, func: Any, args: Any, kwargs: Any) -> int:
        return 0 if _tag(args[0]) == CUDA else -1

    def _tensor_cuda(self, func: Any, args: Any, kwargs: Any) -> torch.Tensor:
        return self._moved(args[0], CUDA, {})

    def _tensor_cpu(self, func: Any, args: Any, kwargs: Any) -> torch.Tensor:
        return self._moved(args[0], CPU, {})

    def _tensor_to(self, func: Any, args: Any, kwargs: Any) -> torch.Tensor:
        tensor, *rest = args
        if rest and isinstance(rest[0], torch.Tensor):
            kwargs |= {"device": _tag(rest[0]), "dtype": rest[0].dtype}
        for value in rest:
            if isinstance(value, torch.dtype):
                kwargs["dtype"] = value
            elif isinstance(value, str | torch.device | int) and not isinstance(value, bool):
                kwargs["device"] = value
        flags = [value for value in rest if isinstance(value, bool)]
        kwargs |= dict(zip(("non_blocking", "copy"), flags, strict=False))
        device = kwargs.pop("device", None)
        return self._moved(tensor, _tag(tensor) if device is None else torch.device(device), kwargs)

    def _tensor_numpy(self, func: Any, args: Any, kwargs: Any) -> Any:
        if _tag(args[0]) == CUDA:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        return func(*args, **kwargs)

    _tensor___array__ = _tensor_numpy

    def _tensor_tolist(self, func: Any, args: Any, kwargs: Any) -> Any:
        if _tag(args[0]) == CUDA:
            self.cuda.wait()
        return func(*args, **kwargs)

    def _moved(self, tensor: torch.Tensor, device: torch.device, options: dict[str, Any]) -> torch.Tensor:
        device = CUDA if device.type == "cuda" else CPU
        if device == _tag(tensor):
            return torch.Tensor.to(tensor, CPU, **options)
        if device == CUDA:
            self.cuda.is_initialised = True
        # To the host it always waits; to the device it does unless told not to.
        if device == CPU or not options.get("non_blocking"):
            self.cuda.wait()
        found = torch.Tensor.to(tensor, CPU, **{**options, "copy": True})
        _set_tag(found, device)
        return found


class _Operations(TorchDispatchMode):
    """The rules of the device."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()
        self.cuda = cuda

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        tensors = list(_tensors((args, kwargs)))
        tags = [_tag(tensor) for tensor in tensors]
        on_device = CUDA in tags
        if on_device:
            self._check(func, name, args, tensors, tags)
        with self._generator(func, on_device):
            found = func(*args, **kwargs)
        if name == "copy_" or not (on_device or CPU in tags):
            return found
        for tensor in _tensors(found):
            if _tag(tensor) is None:
                _set_tag(tensor, CUDA if on_device else CPU)
        return found

    def _check(self, func: Any, name: str, args: Any, tensors: list[torch.Tensor], tags: list[Any]) -> None:
        indices = list(_tensors(args[1])) if name in _TAKE_CPU_INDICES else []
        waits = (
            name in _WAIT,
            # The number of results is known to the device alone.
            any(index.dtype in (torch.bool, torch.uint8) for index in indices),
            name == "repeat_interleave" and "Tensor" in func._overloadname,
            any(_tag(index) == CPU for index in indices),  # copied to the device
            name == "copy_" and tags[0] != tags[1] and not (args[2:] and args[2] and tags[0] == CUDA),
        )
        if any(waits):
            self.cuda.wait()
        if name in _COPIES:
            return
        takes_scalars = name in _TAKE_CPU_SCALARS or torch.Tag.pointwise in func.tags
        for tensor, tag in zip(tensors, tags, strict=True):
            if tag is None:
                _set_tag(tensor, CUDA)  # made by this operation for itself
            elif tag == CPU and not (tensor.dim() == 0 and takes_scalars):
                if any(tensor is index for index in indices):
                    continue
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                    f"({func}, shapes {[tuple(one.shape) for one in tensors]}, devices {tags})"
                )

    def _generator(self, func: Any, on_device: bool) -> contextlib.AbstractContextManager[None]:
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if draws and (on_device or self.cuda.is_making):
            return self.cuda.own_generator()
        return contextlib.nullcontext()
