"""The fake GPU itself: it refuses what CUDA refuses, computes what the CPU computes, and counts what waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.fake_cuda import FakeCuda


@pytest.fixture()
def cuda() -> Iterator[FakeCuda]:
    with FakeCuda() as found:
        yield found


def numbers(device: str = "cuda") -> Tensor:
    return torch.arange(6.0, device=device).view(2, 3)


@pytest.mark.parametrize(
    "mix",
    [
        lambda ours, other: ours + other,
        lambda ours, other: ours @ other.T,
        lambda ours, other: torch.cat((ours, other)),
        lambda ours, other: ours.gather(1, other.long().clamp(max=2)),
        lambda ours, other: torch.where(other > 1, ours, ours),
        lambda ours, other: ours.masked_fill(other > 1, 0.0),
        lambda ours, other: ours.add_(other),
        lambda ours, other: other.add_(ours),
        lambda ours, other: ours.index_select(0, other[0].long().clamp(max=1)),
        lambda ours, other: ours.__setitem__(0, other[0]) or ours.index_copy_(0, other[0, :1].long(), ours[:1]),
        lambda ours, other: nn.functional.embedding(other.long(), ours.repeat(3, 1)),
        lambda ours, other: nn.functional.cross_entropy(ours, other[:, 0].long()),
        lambda ours, other: torch.nn.utils.get_total_norm([ours, other]),
        lambda ours, other: nn.Linear(3, 2)(ours),
    ],
)
def test_tensors_of_two_devices_do_not_mix(cuda: FakeCuda, mix: Callable[[Tensor, Tensor], Tensor]) -> None:
    ours, other = numbers(), numbers("cpu")
    with pytest.raises(RuntimeError, match=r"on the same device, .* cuda:0 and cpu"):
        mix(ours, other)


def test_a_backward_pass_is_watched_too(cuda: FakeCuda) -> None:
    leaf, other = numbers().requires_grad_(), numbers("cpu")
    leaf.register_hook(lambda gradient: gradient * other)
    with pytest.raises(RuntimeError, match="on the same device"):
        leaf.square().sum().backward()


def test_a_scalar_of_the_cpu_may_be_used_as_in_cuda(cuda: FakeCuda) -> None:
    scalar = torch.tensor(2.0)
    assert (numbers() * scalar).tolist() == [[0, 2, 4], [6, 8, 10]]
    assert numbers().masked_fill(numbers() > 1, scalar).tolist() == [[0, 1, 2], [2, 2, 2]]
    with pytest.raises(RuntimeError, match="on the same device"):
        torch.stack((numbers().sum(), scalar))


def test_what_python_sees_of_a_tensor(cuda: FakeCuda) -> None:
    ours = numbers()
    assert ours.is_cuda and not ours.is_cpu and ours.device == torch.device("cuda", 0)
    made = (ours[0], ours.T, ours.double(), ours.new_zeros(2), torch.zeros_like(ours))
    assert {found.device.type for found in made} == {"cuda"}
    assert ours.cpu().device == ours.to("cpu").device == torch.device("cpu")
    assert ours.to("cuda") is ours and torch.tensor([1, 2], device=ours.device).is_cuda
    assert ours.to(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        ours.numpy()


@pytest.mark.parametrize(
    ("n_waits", "read"),
    [
        (1, lambda ours: ours.sum().item()),
        (1, lambda ours: bool((ours > 1).any())),
        (1, lambda ours: int(ours[0, 1])),
        (1, lambda ours: ours.tolist()),
        (1, lambda ours: ours.cpu()),
        (1, lambda ours: (ours > 1).nonzero()),
        (1, lambda ours: ours[ours > 1]),
        (1, lambda ours: torch.equal(ours, ours)),
        (1, lambda ours: ours[torch.tensor([1])]),
        (1, lambda ours: torch.arange(3).to("cuda")),
        (1, lambda ours: ours.repeat_interleave(ours[:, 0].long(), dim=0)),
        (0, lambda ours: torch.arange(3).to("cuda", non_blocking=True)),
        (0, lambda ours: ours.repeat_interleave(2, dim=0)),
        (0, lambda ours: ours.masked_fill(ours > 1, 0).softmax(1).argmax(1)),
    ],
)
@pytest.mark.parametrize("inference", [False, True])
def test_waiting_is_counted(cuda: FakeCuda, n_waits: int, read: Callable[[Tensor], object], inference: bool) -> None:
    with torch.inference_mode(inference):
        ours = numbers()
        cuda.waits.clear()
        read(ours)
        assert cuda.n_waits == n_waits


def test_training_computes_what_the_cpu_computes() -> None:
    def train(device: str) -> list[list[float]]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))
        model[1].tied = model[0]
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
        model.to(device)
        assert {weight.device.type for weight in model.parameters()} == {device} and model[1].tied is model[0]
        for _ in range(3):
            model(torch.tensor([[0, 3, 4]], device=device)).square().sum().backward()
            torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        assert {value.device.type for state in optimizer.state.values() for value in state.values()} == {device}
        return [weight.detach().cpu().tolist() for weight in model.parameters()]

    expected = train("cpu")
    with FakeCuda():
        assert train("cuda") == expected


def test_the_device_draws_from_a_generator_of_its_own(cuda: FakeCuda) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4).tolist()
    torch.manual_seed(3)
    states = torch.cuda.get_rng_state_all()
    drawn = nn.functional.dropout(torch.ones(50, device="cuda")).tolist()
    assert torch.rand(4).tolist() == expected
    torch.cuda.set_rng_state_all(states)
    assert nn.functional.dropout(torch.ones(50, device="cuda")).tolist() == drawn
    assert torch.rand(50, device="cuda").tolist() != torch.rand(50, device="cuda").tolist()


def test_memory_is_counted_after_cuda_is_ready(cuda: FakeCuda) -> None:
    with pytest.raises(RuntimeError, match="did you call init"):
        torch.cuda.reset_peak_memory_stats()
    numbers()
    torch.cuda.reset_peak_memory_stats()
    assert cuda.calls == ["reset_peak_memory_stats"]


def test_nothing_is_left_of_it() -> None:
    with FakeCuda():
        numbers()
    assert torch.ones(2).device == torch.device("cpu") and not torch.ones(2).is_cuda
    assert torch.cuda.is_initialized is not None and "FakeCuda" not in repr(torch.cuda.is_available)
