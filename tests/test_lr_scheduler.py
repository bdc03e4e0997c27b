"""Schedules of the learning rate: beside PyTorch's, by hand, continued, refused."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest

import fastnn as fn
from fastnn import nn, optim
from fastnn.optim import lr_scheduler as ls

LRS = (0.5, 0.02)  # of two groups


def sgd(module: Any = optim, tensor: Any = fn) -> Any:
    params = [tensor.ones(1, requires_grad=True) for _ in LRS]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(params, LRS, strict=True)]
    return module.SGD(groups, lr=0.1, momentum=0.9)


def adam(module: Any = optim, tensor: Any = fn) -> Any:
    return module.Adam([tensor.ones(1, requires_grad=True)], lr=0.01)


Make = Callable[[Any, Any], Any]  # (module of schedules, optimizer)
SCHEDULES: dict[str, Make] = {
    "lambda": lambda m, o: m.LambdaLR(o, lambda t: 1 / (1 + t)),
    "lambdas": lambda m, o: m.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 + t]),
    "step": lambda m, o: m.StepLR(o, 3),
    "step by a half": lambda m, o: m.StepLR(o, 1, gamma=0.5),
    "multi-step": lambda m, o: m.MultiStepLR(o, [9, 2, 2, 5], gamma=0.3),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.9),
    "polynomial": lambda m, o: m.PolynomialLR(o, 15, power=2.0),
    "constant": lambda m, o: m.ConstantLR(o, 0.2, 7),
    "linear": lambda m, o: m.LinearLR(o),
    "linear down": lambda m, o: m.LinearLR(o, 1.0, 0.1, 7),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 10, eta_min=0.001),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 4),
    "longer restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.001),
    "triangles": lambda m, o: m.CyclicLR(o, 0.01, 0.1, step_size_up=4),
    "uneven triangles": lambda m, o: m.CyclicLR(
        o, [0.01, 0.02], [0.1, 0.3], 3, 5, mode="triangular2", base_momentum=0.7
    ),
    "shrinking triangles": lambda m, o: m.CyclicLR(
        o, 0.01, 0.1, 4, mode="exp_range", gamma=0.9, cycle_momentum=False
    ),
    "scaled triangles": lambda m, o: m.CyclicLR(
        o, 0.01, 0.1, 4, scale_fn=lambda x: 1 / x, scale_mode="cycle"
    ),
    "triangles scaled by steps": lambda m, o: m.CyclicLR(
        o, 0.01, 0.1, 4, scale_fn=lambda x: 0.99**x, scale_mode="iterations"
    ),
    "one cycle": lambda m, o: m.OneCycleLR(o, 0.4, total_steps=25),
    "one cycle of epochs": lambda m, o: m.OneCycleLR(
        o, [0.4, 0.2], epochs=5, steps_per_epoch=5, anneal_strategy="linear", pct_start=0.4
    ),
    "three phases": lambda m, o: m.OneCycleLR(
        o, 0.4, total_steps=25, three_phase=True, div_factor=10, final_div_factor=100
    ),
    "warm-up, then cosine": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, total_iters=5), m.CosineAnnealingLR(o, 12)], [5]
    ),
    "three in turn": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o), m.StepLR(o, 2), m.ExponentialLR(o, 0.8)], [4, 11]
    ),
    "triangles between others": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o), m.CyclicLR(o, 0.01, 0.2, 3), m.ExponentialLR(o, 0.8)], [4, 11]
    ),
}
STEPS = 24


def course(schedule: Any, optimizer: Any, steps: int = STEPS) -> list[tuple[float, ...]]:
    """Rates and momenta at each step."""
    seen = []
    for i in range(steps + 1):
        momenta = [g.get("momentum", g.get("betas", (0,))) for g in optimizer.param_groups]
        momenta = [m[0] if isinstance(m, tuple) else m for m in momenta]
        assert schedule.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
        seen.append((*schedule.get_last_lr(), *momenta))
        if i < steps:
            schedule.step()
    return seen


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")
def test_as_in_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = importlib.import_module("torch.optim.lr_scheduler")
    for make in (sgd, adam) if "lambdas" not in name and "[" not in name else (sgd,):
        if make is adam and name in ("uneven triangles", "one cycle of epochs"):
            continue  # of two groups
        opt, their_opt = make(), make(torch.optim, torch)
        got = course(SCHEDULES[name](ls, opt), opt)
        want = course(SCHEDULES[name](theirs, their_opt), their_opt)
        for a, b in zip(got, want, strict=True):
            assert a == pytest.approx(b, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("stop", [0, 1, 7, STEPS])
def test_a_loaded_schedule_goes_on(name: str, stop: int) -> None:
    opt = sgd()
    whole = course(SCHEDULES[name](ls, opt), opt)
    opt = sgd()
    schedule = SCHEDULES[name](ls, opt)
    for _ in range(stop):
        schedule.step()
    saved = copy.deepcopy((schedule.state_dict(), opt.state_dict()))
    again = sgd()
    fresh = SCHEDULES[name](ls, again)
    fresh.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    assert course(fresh, again, STEPS - stop) == whole[stop:]


def test_by_hand() -> None:
    def rates(make: Callable[[Any], Any], steps: int) -> list[float]:
        opt = optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0)
        schedule = make(opt)
        return [rate[0] for rate in course(schedule, opt, steps)]

    assert rates(lambda o: ls.StepLR(o, 2, 0.5), 5) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert rates(lambda o: ls.MultiStepLR(o, [1, 3], 0.1), 3) == [1, 0.1, 0.1, 0.1**2]
    assert rates(lambda o: ls.CosineAnnealingLR(o, 4), 4) == pytest.approx(
        [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]
    )
    assert rates(lambda o: ls.LinearLR(o, 0.25, total_iters=3), 4) == [0.25, 0.5, 0.75, 1, 1]
    assert rates(lambda o: ls.CyclicLR(o, 0, 2, 2, 1, cycle_momentum=False), 6) == [
        *(0, 1, 2),
        *(0, 1, 2, 0),
    ]
    one = rates(lambda o: ls.OneCycleLR(o, 1.0, 11, pct_start=0.5, anneal_strategy="linear"), 10)
    assert one[0] == 1 / 25
    assert max(one) == pytest.approx(1, rel=0.15)
    assert one[-1] == pytest.approx(1 / 25 / 1e4)


def test_restarts_between_whole_steps() -> None:
    opt = optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0)
    schedule = ls.CosineAnnealingWarmRestarts(opt, 2, 2)
    for epoch, lr in ((0.5, (1 + math.sqrt(0.5)) / 2), (1, 0.5), (2, 1), (4, 0.5), (6, 1)):
        schedule.step(epoch)
        assert schedule.get_last_lr()[0] == pytest.approx(lr)
    schedule.step()
    assert schedule.last_epoch == 7


MEASURED = [3, 2, 2, 2, 1.9999, 1, 1, math.nan, 1, 1, 1, 1, 1, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1]
PLATEAUS: dict[str, dict[str, Any]] = {
    "plain": {"patience": 2},
    "impatient": {"patience": 0, "factor": 0.5},
    "rising": {"mode": "max", "patience": 3},
    "absolute": {"patience": 1, "threshold": 0.3, "threshold_mode": "abs"},
    "cooling": {"patience": 1, "cooldown": 2},
    "bounded": {"patience": 0, "min_lr": [0.1, 0.001]},
}


@pytest.mark.parametrize("mode", ["min", "max"])
def test_infinities_on_a_plateau_as_in_pytorch(mode: str) -> None:
    torch = pytest.importorskip("torch")
    inf, seen = math.inf, []
    for module, tensor, schedules in (
        (optim, fn, ls),
        (torch.optim, torch, importlib.import_module("torch.optim.lr_scheduler")),
    ):
        opt = sgd(module, tensor)
        schedule = schedules.ReduceLROnPlateau(opt, mode=mode, patience=1)
        rates = []
        for value in (inf, inf, 1.0, inf, 2.0, 0.5, -inf, -inf, 3.0, inf, inf, inf):
            schedule.step(value)
            rates.append(opt.param_groups[0]["lr"])
        seen.append((rates, schedule.best))
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-12)
    assert seen[0][1] == seen[1][1]


@pytest.mark.parametrize("options", PLATEAUS.values(), ids=PLATEAUS)
def test_plateaus_as_in_pytorch(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    seen = []
    for module, tensor, schedules in (
        (optim, fn, ls),
        (torch.optim, torch, importlib.import_module("torch.optim.lr_scheduler")),
    ):
        opt = sgd(module, tensor)
        schedule = schedules.ReduceLROnPlateau(opt, **options)
        rates = []
        for value in MEASURED:
            schedule.step(value)
            rates.append([g["lr"] for g in opt.param_groups])
        seen.append(rates)
    for a, b in zip(*seen, strict=True):
        assert a == pytest.approx(b, rel=1e-12)


def test_a_loaded_plateau_goes_on() -> None:
    ends = []
    for stop in (len(MEASURED), 9):
        opt = sgd()
        schedule = ls.ReduceLROnPlateau(opt, patience=2)
        for i, value in enumerate(MEASURED):
            if i == stop:
                saved = copy.deepcopy((schedule.state_dict(), opt.state_dict()))
                opt = sgd()
                schedule = ls.ReduceLROnPlateau(opt)
                schedule.load_state_dict(saved[0])
                opt.load_state_dict(saved[1])
            schedule.step(value)
        ends.append((schedule.get_last_lr(), schedule.state_dict()))
    assert ends[0] == ends[1]


def test_cyclic_rates_go_on_from_an_epoch() -> None:
    opt = sgd()
    ls.ConstantLR(opt)
    first = course(ls.CyclicLR(opt, 0.01, 0.2, 3), opt, 9)
    again = course(ls.CyclicLR(opt, 0.01, 0.2, 3, last_epoch=3), opt, 5)
    assert again == first[4:]


def test_one_cycle_steps_after_each_batch() -> None:
    opt = optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    rates = course(ls.OneCycleLR(opt, 1.0, total_steps=10), opt, 10)
    assert rates[10] == rates[9]  # where PyTorch's goes on along the cosine


def test_halving_until_a_128th() -> None:
    opt = optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0)
    schedule = ls.HalvingLR(opt, patience=3)
    rates = []
    for epoch in range(100):
        schedule.step(0.9 if epoch else 0.8)  # of accuracy: better once, and then no more
        rates.append(schedule.get_last_lr()[0])
        if schedule.finished:
            break
    assert rates[:5] == [1, 1, 1, 1, 0.5]  # after three without improvement
    assert rates[-1] == 1 / 128
    assert epoch == 3 * 7 + 1
    assert sorted(set(rates)) == [2.0**-k for k in range(7, -1, -1)]


def test_a_recorded_step_takes_each_rate() -> None:
    weight = nn.Parameter(fn.zeros(1))
    opt = optim.SGD([weight], lr=1.0)
    schedule = ls.StepLR(opt, 2, 0.5)

    @fn.compile
    def step(x: fn.Tensor) -> fn.Tensor:
        loss = (weight * x).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    def before(i: int) -> None:
        if i:
            schedule.step()

    step.run_epoch(-fn.ones(6, 1), None, 1, shuffle=False, before_step=before)
    assert weight.item() == 1 + 1 + 0.5 + 0.5 + 0.25 + 0.25


REFUSED: list[tuple[Callable[[], Any], type, str]] = [
    (lambda: ls.StepLR(sgd(), 0), ValueError, "[StepLR] step_size must be at least 1; got 0"),
    (lambda: ls.StepLR(sgd(), 2.5), TypeError, "[StepLR] step_size must be an integer; got 2.5"),
    (
        lambda: ls.StepLR(None, 1),
        TypeError,
        "[StepLR] optimizer must be an Optimizer; got NoneType",
    ),
    (lambda: ls.ExponentialLR(sgd(), -1), ValueError, "gamma must be in [0, inf); got -1"),
    (lambda: ls.PolynomialLR(sgd(), 0), ValueError, "total_iters must be at least 1; got 0"),
    (lambda: ls.ConstantLR(sgd(), 2), ValueError, "factor must be in [0, 1]; got 2"),
    (lambda: ls.LambdaLR(sgd(), [abs]), ValueError, "lr_lambda must be one function or 2; got 1"),
    (
        lambda: ls.StepLR(sgd(), 1, last_epoch=3),
        ValueError,
        "[StepLR] with last_epoch 3 group 0 must have an initial_lr",
    ),
    (lambda: ls.CosineAnnealingLR(sgd(), -1), ValueError, "T_max must be at least 1; got -1"),
    (lambda: ls.CyclicLR(sgd(), 0, 1, mode="x"), ValueError, "mode must be one of triangular,"),
    (lambda: ls.CyclicLR(sgd(), [0], 1), ValueError, "base_lr must be one number or 2; got 1"),
    (
        lambda: ls.CyclicLR(optim.Adagrad([fn.ones(1, requires_grad=True)]), 0, 1),
        ValueError,
        "[CyclicLR] cycle_momentum must be False for an optimizer without momentum",
    ),
    (lambda: ls.OneCycleLR(sgd(), 1.0), ValueError, "total_steps, or epochs and steps_per_epoch"),
    (lambda: ls.OneCycleLR(sgd(), -1.0, 10), ValueError, "max_lr must be in [0, inf); got -1.0"),
    (
        lambda: course(ls.OneCycleLR(o := sgd(), 1.0, 10), o, 11),
        ValueError,
        "[OneCycleLR] the schedule has 10 steps; this would be one more",
    ),
    (
        lambda: ls.SequentialLR(o := sgd(), [ls.StepLR(o, 1)], [3]),
        ValueError,
        "[SequentialLR] milestones must be 0 rising numbers; got [3]",
    ),
    (
        lambda: ls.SequentialLR(sgd(), [ls.StepLR(sgd(), 1)], []),
        TypeError,
        "schedulers must be schedules by steps of the same optimizer",
    ),
    (lambda: ls.ReduceLROnPlateau(sgd(), factor=1), ValueError, "factor must be in [0, 1); got 1"),
    (lambda: ls.ReduceLROnPlateau(sgd(), "up"), ValueError, "mode must be one of min, max; got"),
    (
        lambda: ls.StepLR(sgd(), 1).load_state_dict(ls.ExponentialLR(sgd(), 1).state_dict()),
        ValueError,
        "[StepLR] expected a state of",
    ),
    (
        lambda: ls.StepLR(adam(), 1).load_state_dict(ls.StepLR(sgd(), 1).state_dict()),
        ValueError,
        "[StepLR] expected base_lrs of 1 groups; got 2",
    ),
    (
        lambda: ls.ReduceLROnPlateau(sgd()).load_state_dict(ls.HalvingLR(sgd()).state_dict()),
        ValueError,
        "[ReduceLROnPlateau] expected a state of",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_refused(make: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
