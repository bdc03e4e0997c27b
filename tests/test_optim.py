"""Every optimizer against its formula, written for reading, in float64 NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from devices import place

import fastnn as fn
from fastnn import nn, optim

Array = np.ndarray
STEPS = 5
SHAPES = [(7, 5), (3,), (2, 3, 2, 2), (1,), (129,)]


# --- the formulas: generators that take a gradient and give the weight after the step ----------


def sgd(w, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    v = None
    while True:
        g = (yield w) + weight_decay * w
        if momentum:
            v = g if v is None else momentum * v + (1 - dampening) * g
            g = g + momentum * v if nesterov else v
        w = w - lr * g


def adam(w, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, decoupled=False):
    m = v = largest = np.zeros_like(w)
    t = 0
    while True:
        g = yield w
        t += 1
        if decoupled:
            w = w * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        v_hat = (largest if amsgrad else v) / (1 - betas[1] ** t)
        w = w - lr * m / (1 - betas[0] ** t) / (np.sqrt(v_hat) + eps)


def adamw(w, weight_decay=1e-2, **options):
    return adam(w, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(w, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    square = mean = v = np.zeros_like(w)
    while True:
        g = (yield w) + weight_decay * w
        square = alpha * square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        scaled = g / (np.sqrt(square - mean**2 if centered else square) + eps)
        v = momentum * v + scaled
        w = w - lr * v


def adagrad(w, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10):
    total = np.full_like(w, initial_accumulator_value)
    t = 0
    while True:
        g = (yield w) + weight_decay * w
        total = total + g**2
        w = w - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
        t += 1


def adadelta(w, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0):
    square = moved = np.zeros_like(w)
    while True:
        g = (yield w) + weight_decay * w
        square = rho * square + (1 - rho) * g**2
        d = np.sqrt(moved + eps) / np.sqrt(square + eps) * g
        moved = rho * moved + (1 - rho) * d**2
        w = w - lr * d


FORMULAS: dict[type, Callable[..., Iterator[Array]]] = {
    optim.SGD: sgd,
    optim.Adam: adam,
    optim.AdamW: adamw,
    optim.RMSprop: rmsprop,
    optim.Adagrad: adagrad,
    optim.Adadelta: adadelta,
}

CASES: list[tuple[type, dict[str, Any]]] = [
    (optim.SGD, {}),
    (optim.SGD, {"lr": 0.1, "weight_decay": 0.2}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (optim.Adam, {}),
    (optim.Adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adam, {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    (optim.AdamW, {}),
    (optim.AdamW, {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True}),
    (optim.RMSprop, {}),
    (optim.RMSprop, {"alpha": 0.6, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.8}),
    (optim.RMSprop, {"alpha": 0.6, "centered": True}),
    (optim.RMSprop, {"alpha": 0.6, "centered": True, "momentum": 0.5}),
    (optim.Adagrad, {}),
    (
        optim.Adagrad,
        {"lr": 0.1, "lr_decay": 0.5, "initial_accumulator_value": 0.3, "weight_decay": 0.1},
    ),
    (optim.Adadelta, {}),
    (optim.Adadelta, {"lr": 0.5, "rho": 0.6, "eps": 1e-3, "weight_decay": 0.1}),
]
KINDS = [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad, optim.Adadelta]


def label(case: object) -> str:
    if isinstance(case, type):
        return case.__name__
    return ",".join(case) or "defaults" if isinstance(case, dict) else str(case)


def made(shapes: list[tuple[int, ...]], dtype: Any, seed: int = 0) -> list[nn.Parameter]:
    rng = np.random.default_rng(seed)
    return [nn.Parameter(place(rng.standard_normal(s)).to(dtype).clone()) for s in shapes]


def give_grads(params: list[nn.Parameter], rng: np.random.Generator) -> list[Array]:
    """Random gradients, in float64 as the kernel sees them."""
    for p in params:
        p.grad = place(rng.standard_normal(tuple(p.shape))).to(p.dtype)
    return [p.grad.cpu().numpy().astype(np.float64) for p in params]


def values(params: list[nn.Parameter]) -> list[Array]:
    return [p.detach().cpu().numpy().astype(np.float64) for p in params]


def assert_close(actual: Array, expected: Array, dtype: Any, ulps: float = 100) -> None:
    eps = np.finfo(np.float32 if dtype == fn.float32 else np.float64).eps
    error = np.abs(actual - expected).max()
    assert error <= ulps * eps * np.abs(expected).max()


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtype", [fn.float32, fn.float64], ids=["f32", "f64"])
@pytest.mark.parametrize(("kind", "options"), CASES, ids=label)
def test_formula(kind: type, options: dict[str, Any], dtype: Any, maximize: bool):
    params, rng = made(SHAPES, dtype), np.random.default_rng(1)
    opt = kind(params, maximize=maximize, **options)
    references = [FORMULAS[kind](w.copy(), **options) for w in values(params)]
    for reference in references:
        next(reference)
    for _ in range(STEPS):
        grads = give_grads(params, rng)
        opt.step()
        for w, g, reference in zip(values(params), grads, references, strict=True):
            assert_close(w, reference.send(-g if maximize else g), dtype)


# --- what is updated, and when ----------------------------------------------------------------


def run_steps(opt: optim.Optimizer, params: list[nn.Parameter], n: int, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(n):
        give_grads(params, rng)
        opt.step()


def test_momentum_near_zero_is_plain_sgd_bit_for_bit():
    # 0 itself takes plain SGD's kernel; this one is lost beside any gradient.
    plain, momentum = made(SHAPES, fn.float32), made(SHAPES, fn.float32)
    run_steps(optim.SGD(plain, lr=0.1, weight_decay=0.01), plain, 5)
    run_steps(optim.SGD(momentum, lr=0.1, momentum=1e-30, weight_decay=0.01), momentum, 5)
    for a, b in zip(values(plain), values(momentum), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_parameters_without_gradient_are_skipped(kind: type):
    params = made([(3,), (4,), (5,)], fn.float64)
    start = values(params)
    references = [FORMULAS[kind](w.copy()) for w in start]
    for reference in references:
        next(reference)
    opt, rng = kind(params), np.random.default_rng(0)
    opt.step()  # no gradients at all
    # Each parameter takes part in other steps, so that their step counts differ.
    for taking_part in ([0], [0, 1], [1, 2], [0, 1, 2], [0, 1, 2], [2]):
        grads = give_grads(params, rng)
        for i, (p, reference) in enumerate(zip(params, references, strict=True)):
            if i in taking_part:
                start[i] = reference.send(grads[i])
            else:
                p.grad = None
        opt.step()
        for w, expected in zip(values(params), start, strict=True):
            assert_close(w, expected, fn.float64)


def test_dampening_spares_the_first_step_of_each_parameter():
    params = made([(3,), (4,)], fn.float64)
    options = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}
    references = [sgd(w.copy(), **options) for w in values(params)]
    for reference in references:
        next(reference)
    opt, rng = optim.SGD(params, **options), np.random.default_rng(0)
    for t in range(4):
        grads = give_grads(params, rng)
        if t == 0:
            params[1].grad = None
        opt.step()
        assert_close(values(params)[0], references[0].send(grads[0]), fn.float64)
        if t > 0:
            assert_close(values(params)[1], references[1].send(grads[1]), fn.float64)


def test_options_may_change_between_steps():
    params = made([(3,)], fn.float64)
    w, rng = values(params)[0], np.random.default_rng(0)
    opt = optim.SGD(params, lr=0.1)
    g = give_grads(params, rng)[0]
    opt.step()
    w = w - 0.1 * g
    opt.param_groups[0].update(lr=0.01, momentum=0.5)
    v = np.zeros(3)
    for _ in range(3):
        g = give_grads(params, rng)[0]
        opt.step()
        v = 0.5 * v + g
        w = w - 0.01 * v
        assert_close(values(params)[0], w, fn.float64)


def test_groups_have_options_of_their_own():
    a, b, c = made([(3,), (3,), (3,)], fn.float64)
    wa, wb, wc = values([a, b, c])
    opt = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    ga, gb, _ = give_grads([a, b, c], np.random.default_rng(0))
    opt.step()
    assert_close(values([a])[0], wa - 0.1 * ga, fn.float64)
    assert_close(values([b])[0], wb - 1.0 * gb, fn.float64)
    assert np.array_equal(values([c])[0], wc)
    opt.add_param_group({"params": [c], "lr": 10.0})
    gc = give_grads([c], np.random.default_rng(1))[0]
    opt.step()
    assert_close(values([c])[0], wc - 10 * gc, fn.float64)


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_parameters_in_another_memory_order(kind: type):
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    ends = []
    for order in ("C", "F"):
        p = nn.Parameter(place(np.array(w, order=order)))
        opt = kind([p], lr=0.1)
        for _ in range(3):
            p.grad = place(g.copy())
            opt.step()
            opt.load_state_dict(opt.state_dict())
        ends.append(p.detach().cpu().numpy())
    assert np.array_equal(*ends)


def test_mixed_dtypes_in_one_group():
    params = [*made([(3,)], fn.float32), *made([(3,)], fn.float64)]
    start = values(params)
    opt = optim.SGD(params, lr=0.5, momentum=0.9)
    grads = give_grads(params, np.random.default_rng(0))
    opt.step()
    for p, w, g in zip(params, start, grads, strict=True):
        assert_close(values([p])[0], w - 0.5 * g, p.dtype)


def test_more_parameters_than_one_launch_takes():
    together, alone = (made([(i * i % 2500 + 1,) for i in range(70)], fn.float32) for _ in range(2))
    for group in ([together], [[p] for p in alone]):
        rng = np.random.default_rng(4)
        for params in group:
            give_grads(params, rng)
            opt = optim.Adam(params, lr=0.1)
            opt.step()
    assert all(np.array_equal(a, b) for a, b in zip(values(together), values(alone), strict=True))


def test_zero_grad():
    params = made([(3,), (2,)], fn.float32)
    opt = optim.SGD(params)
    give_grads(params[:1], np.random.default_rng(0))
    opt.zero_grad(set_to_none=False)
    assert np.array_equal(params[0].grad.cpu().numpy(), np.zeros(3))
    assert params[1].grad is None
    opt.zero_grad()
    assert params[0].grad is None


def test_closure():
    (p,) = made([(3,)], fn.float64)
    start = values([p])[0]
    opt = optim.SGD([p], lr=0.5)

    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert opt.step(closure).item() == pytest.approx((start**2).sum())
    assert_close(values([p])[0] + 1, np.ones(3), fn.float64)  # w - 0.5 * 2 w = 0
    assert opt.step() is None


@pytest.mark.parametrize("kind", KINDS, ids=label)
def test_a_quadratic_is_minimised(kind: type):
    target = place(np.array([1.0, -2.0]))
    w = nn.Parameter(fn.zeros(2, dtype=fn.float64))
    rate = {optim.SGD: 0.1, optim.Adagrad: 1.0, optim.Adadelta: 50.0}.get(kind, 0.05)
    opt = kind([w], lr=rate)
    for _ in range(300):
        opt.zero_grad()
        ((w - target) ** 2).sum().backward()
        opt.step()
    assert np.abs(w.detach().cpu().numpy() - [1, -2]).max() < 0.15


# --- state ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), CASES, ids=label)
def test_a_restored_optimizer_continues_bit_for_bit(kind: type, options: dict[str, Any]):
    whole, first = made(SHAPES, fn.float32), made(SHAPES, fn.float32)
    run = kind(whole, **options)
    run_steps(run, whole, 3, seed=1)
    run_steps(run, whole, 3, seed=2)

    before = kind(first, **options)
    run_steps(before, first, 3, seed=1)
    second = [nn.Parameter(p.detach().clone()) for p in first]
    after = kind(second, lr=77.0)
    after.load_state_dict(before.state_dict())
    assert after.param_groups[0]["lr"] == before.param_groups[0]["lr"]
    run_steps(before, first, 1, seed=9)  # must not disturb the copy
    run_steps(after, second, 3, seed=2)
    for a, b in zip(values(whole), values(second), strict=True):
        assert np.array_equal(a, b)


def test_state_dict_structure_is_pytorchs():
    params = made([(2,), (3,)], fn.float32)
    opt = optim.Adam([{"params": params[:1], "lr": 0.5}, {"params": params[1:]}])
    assert opt.state_dict()["state"] == {}
    run_steps(opt, params, 2)
    state = opt.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert state["param_groups"][0]["lr"] == 0.5
    assert sorted(state["state"]) == [0, 1]
    assert set(state["state"][1]) == {"step", "exp_avg", "exp_avg_sq"}
    assert state["state"][1]["step"] == 2
    assert tuple(state["state"][1]["exp_avg"].shape) == (3,)
    assert optim.SGD(params).state_dict()["state"] == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["param_groups"].append(s["param_groups"][0]), r"expected \[2\] parameters"),
        (lambda s: s["param_groups"][0]["params"].pop(), r"expected \[2\] parameters"),
        (lambda s: s["param_groups"][0].update(lr=-1), r"\[Adam\] lr must be in \[0, inf\)"),
        (lambda s: s["state"][1].update(exp_avg=np.zeros(7)), r"expected shape \(3,\)"),
    ],
)
def test_a_refused_state_changes_nothing(change: Callable, message: str):
    params = made([(2,), (3,)], fn.float32)
    opt = optim.Adam(params)
    run_steps(opt, params, 2)
    state = opt.state_dict()
    state["param_groups"][0]["lr"] = 0.9
    change(state)
    moments = [opt.state[p]["exp_avg"] for p in params]
    with pytest.raises(ValueError, match=message):
        opt.load_state_dict(state)
    assert opt.param_groups[0]["lr"] == 1e-3
    assert all(opt.state[p]["exp_avg"] is m for p, m in zip(params, moments, strict=True))


# --- arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([]), ValueError, "[SGD] params must hold at least one Tensor"),
        (lambda p: optim.SGD(p), TypeError, "[SGD] params must be an iterable of Tensors; got one"),
        (lambda p: optim.SGD(["w"]), TypeError, "[SGD] params must be Tensors; got str"),
        (lambda p: optim.SGD([p * 2]), ValueError, "[SGD] params must be leaf tensors"),
        (lambda p: optim.SGD([p, p]), ValueError, "[SGD] a parameter appears more than once"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "[SGD] lr must be in [0, inf); got -1"),
        (lambda p: optim.SGD([p], lr=math.nan), ValueError, "[SGD] lr must be in [0, inf); got"),
        (lambda p: optim.SGD([p], lr="0.1"), TypeError, "[SGD] lr must be a number; got '0.1'"),
        (lambda p: optim.SGD([p], momentum=-0.1), ValueError, "[SGD] momentum must be in"),
        (
            lambda p: optim.SGD([p], nesterov=True),
            ValueError,
            "[SGD] nesterov must have a momentum",
        ),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "[Adam] betas must be in [0, 1)"),
        (lambda p: optim.Adam([p], betas=0.9), ValueError, "[Adam] betas must be two numbers"),
        (lambda p: optim.AdamW([p], eps=-1), ValueError, "[AdamW] eps must be in [0, inf); got -1"),
        (lambda p: optim.RMSprop([p], alpha=-1), ValueError, "[RMSprop] alpha must be in [0, inf)"),
        (lambda p: optim.Adagrad([p], lr_decay=-1), ValueError, "[Adagrad] lr_decay must be in"),
        (lambda p: optim.Adadelta([p], rho=1.1), ValueError, "[Adadelta] rho must be in [0, 1]"),
        (
            lambda p: optim.SGD([{"params": [p], "lr": -3}]),
            ValueError,
            "[SGD] lr must be in [0, inf); got -3",
        ),
    ],
)
def test_bad_arguments_are_named(make: Callable, error: type, message: str):
    with pytest.raises(error) as info:
        make(nn.Parameter(fn.zeros(2)))
    assert message in str(info.value)


def test_repr_lists_the_options():
    text = repr(optim.SGD([nn.Parameter(fn.zeros(2))], lr=0.5))
    assert text.splitlines()[:4] == [
        "SGD (",
        "Parameter Group 0",
        "    dampening: 0.0",
        "    lr: 0.5",
    ]
