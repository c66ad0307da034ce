"""Devices and placement: what is called on a GPU and in which order, and where a task is trained."""

from __future__ import annotations

import pytest
import torch

from genner.errors import ConfigError, MissingBackendError
from genner.training.driver import left_alone
from genner.training.job import FitConfig
from genner.training.trainer import fit
from genner.training.world import World, choose_device, open_world
from tests.training.toy import ToyTask, toy_job


@pytest.fixture()
def cuda(monkeypatch) -> list[tuple]:
    """Two GPUs that only note what is called; like torch, they refuse to reset what is not initialised."""
    calls: list[tuple] = []

    def reset(device=None):
        if ("init",) not in calls:
            raise RuntimeError("Invalid device argument : did you call init?")
        calls.append(("reset", device))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "init", lambda: calls.append(("init",)))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    return calls


@pytest.mark.parametrize(("name", "device"), [("auto", "cuda:0"), ("cuda", "cuda"), ("cuda:1", "cuda:1")])
def test_a_gpu_is_initialised_before_its_memory_is_counted(cuda, name, device):
    assert open_world(name).device == torch.device(device)
    assert cuda == [("init",), ("reset", torch.device(device))]


def test_a_training_makes_its_gpu_ready_before_the_task_is_moved_to_it(cuda):
    def place(task, device):
        assert cuda == [("init",), ("reset", device)] and device == torch.device("cuda", 0)
        raise KeyboardInterrupt  # there is none to move it to

    with pytest.raises(KeyboardInterrupt):
        fit(toy_job(ToyTask(), placement=place), FitConfig(epochs=1, device="auto"))


def test_the_cpu_asks_nothing_of_a_gpu(cuda):
    assert open_world("cpu").device == torch.device("cpu")
    assert cuda == []


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


def test_devices_that_are_not_here_are_told_from_those_that_do_not_exist(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(MissingBackendError, match=r"device: no 'cuda:1' here, 1 GPUs visible. Expected .* Use auto"):
        choose_device("cuda:1")
    for name in ("gpu", "meta", "cuda:x", ""):
        with pytest.raises(
            ConfigError, match=rf"device: unknown device '{name}'. Expected auto, cpu, cuda or .* Use auto"
        ):
            choose_device(name)


def test_one_process_is_a_world():
    world = World(torch.device("cpu"))
    world.barrier()
    assert (world.rank, world.size, world.gather("mine")) == (0, 1, ["mine"])


def test_a_task_is_placed_once_and_one_that_is_left_alone_is_not_moved():
    placed = []
    for place in (lambda task, device: placed.append((task, device)), left_alone):
        task = ToyTask()
        task.to = lambda *_: pytest.fail("moved")
        job = toy_job(task, placement=place)
        assert fit(job, FitConfig(epochs=1, device="cpu")).steps == 6
    assert len(placed) == 1 and placed[0][1] == torch.device("cpu")


def test_a_task_is_moved_to_the_device_of_the_world():
    moved = []
    task = ToyTask()
    task.to = moved.append
    fit(toy_job(task), FitConfig(epochs=1, device="cpu"))
    assert moved == [torch.device("cpu")]
