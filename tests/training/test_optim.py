"""Learning rate factors and the optimizer."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genner.errors import ConfigError
from genner.training.optim import SCHEDULES, Schedule, build_optimizer


def factors(schedule: Schedule, total: int) -> list[float]:
    return [schedule.factor(step, total) for step in range(1, total + 1)]


@given(kind=st.sampled_from(SCHEDULES), warmup=st.floats(0, 40, allow_nan=False), total=st.integers(1, 60))
def test_every_default_step_learns_something_and_none_more_than_the_full_rate(kind, warmup, total):
    values = factors(Schedule(kind, warmup), total)
    assert all(0 < value <= 1 for value in values)


@given(kind=st.sampled_from(SCHEDULES), steps=st.integers(2, 20), more=st.integers(1, 40))
def test_the_rate_rises_for_the_warm_up_and_then_does_not(kind, steps, more):
    values = factors(Schedule(kind, steps), steps + more)
    assert all(early < late for early, late in pairwise(values[: steps + 1]))
    assert values[steps] == pytest.approx(1)
    assert all(early >= late for early, late in pairwise(values[steps:]))


def test_a_share_and_the_same_number_of_steps_agree():
    assert factors(Schedule("linear", 0.1), 60) == factors(Schedule("linear", 6), 60)


def test_compat_ends_at_zero_and_the_default_does_not():
    assert Schedule("linear", 0.01, compat=True).factor(60, 60) == 0
    assert Schedule("linear", 0.01).factor(60, 60) > 0


@given(kind=st.sampled_from(SCHEDULES), warmup=st.floats(0, 80, allow_nan=False), total=st.integers(1, 60))
def test_compat_never_divides_by_zero_or_turns_negative(kind, warmup, total):
    assert all(0 <= value <= 1 for value in factors(Schedule(kind, warmup, compat=True), total))


def test_what_is_no_schedule_is_refused():
    with pytest.raises(ConfigError, match=r"optim.schedule: unknown schedule 'cosine'. Expected linear, constant"):
        Schedule("cosine")
    with pytest.raises(ConfigError, match=r"optim.warmup_ratio: -1 is not a warm-up"):
        Schedule("linear", -1)


def test_adamw_decays_before_it_steps_and_leaves_frozen_parameters_out():
    decayed, free, frozen = (torch.nn.Parameter(torch.full((3,), 2.0)) for _ in range(3))
    frozen.requires_grad_(False)
    groups = [{"params": [decayed, frozen], "weight_decay": 0.1}, {"params": [free], "weight_decay": 0.0}]
    optimizer = build_optimizer(groups, lr=0.5)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
    for parameter in (decayed, free):
        parameter.grad = torch.ones(3)
    optimizer.step()
    # The first step of Adam is the sign of the gradient times the rate.
    assert free[0].item() == pytest.approx(2 - 0.5, abs=1e-5)
    assert decayed[0].item() == pytest.approx(2 * (1 - 0.5 * 0.1) - 0.5, abs=1e-5)


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match="no parameter needs a gradient"):
        build_optimizer([{"params": [torch.zeros(2)], "weight_decay": 0.0}], lr=0.1)
