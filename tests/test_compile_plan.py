"""fn.compile: the plan of a step and its profile."""

from __future__ import annotations

import re
from typing import Any

import pytest
from steps import batches, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def deep_step() -> tuple[fn.Tensor, Any]:
    model = nn.Sequential(*(m for _ in range(6) for m in (nn.Linear(32, 32), nn.Tanh())))
    return model[0].weight, fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))


def test_the_plan_names_kernels_and_the_arena():
    _, step = deep_step()
    with pytest.raises(RuntimeError, match=r"\[compile\] there is no plan before the first call"):
        step.plan()
    step(*batches(1, 16, 32)[0])
    plan = step.plan()
    for name in ("linear", "cross_entropy", "GFLOP/s"):
        assert name in plan
    found = re.search(r"arena ([\d.]+) MB, where .* would take ([\d.]+) MB", plan)
    assert 0 < float(found[1]) < float(found[2])


def test_a_profile_has_times():
    rows = deep_step()[1].profile(*batches(1, 16, 32)[0], repeats=3).splitlines()
    kernels = [row.split() for row in rows if " float32 " in row]
    assert kernels
    assert all(len(fields) == 7 for fields in kernels)  # the name is two of them


def test_a_profile_trains_as_so_many_calls():
    ends = []
    for profiled in (True, False):
        fn.manual_seed(0)
        weight, step = deep_step()
        x, y = batches(1, 16, 32)[0]
        step.profile(x, y, repeats=3) if profiled else [step(x, y) for _ in range(5)]
        ends.append(weight.detach().cpu().numpy().tobytes())
    assert ends[0] == ends[1]


def test_profiling_what_cannot_be_replayed():
    model = nn.Linear(12, 5)

    @fn.compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        model.zero_grad()
        return loss

    assert "us" in step.profile(*batches(1, 4, 12)[0])


def test_a_plan_without_kernels():
    step = fn.compile(lambda x: x)
    step(fn.ones(3))
    assert "arena" in step.plan()


def test_the_plan_of_a_call_that_cannot_be_replayed():
    model = nn.Linear(12, 5)
    step = fn.compile(training_step(model, optim.Adam(model.parameters())))
    step(*batches(1, 4, 12)[0])
    assert "cannot be replayed: the optimizer made its state" in step.plan()
