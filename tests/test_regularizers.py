"""Penalties, max-norm and weight decay on weights alone, in recorded steps too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import place
from steps import examples, mixed_net, mlp_without_dropout, same_bits

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def numbers(tensors: Any) -> list[np.ndarray]:
    return [t.detach().cpu().numpy().astype(np.float64) for t in tensors]


def weights_of(model: nn.Module) -> list[fn.Tensor]:
    return [p for p in model.parameters() if p.ndim > 1]


# --- penalties ----------------------------------------------------------------------------------


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(
    ("penalty", "size", "slope"),
    [(nn.L1Penalty, abs, np.sign), (nn.L2Penalty, np.square, lambda w: 2 * w)],
)
def test_penalty(penalty: Any, size: Callable, slope: Callable, biases: bool) -> None:
    fn.manual_seed(0)
    model = mixed_net()  # with batch normalisation, whose weight is of one dimension
    nn.init.normal_(model[0].bias)
    value = penalty(0.3, biases)(model)
    assert value.shape == ()
    chosen = list(model.parameters()) if biases else weights_of(model)
    expected = 0.3 * sum(size(w).sum() for w in numbers(chosen))
    assert value.item() == pytest.approx(expected, rel=1e-6)
    value.backward()
    for p in model.parameters():
        if any(p is w for w in chosen):
            (w,), (g,) = numbers([p]), numbers([p.grad])
            np.testing.assert_allclose(g, 0.3 * slope(w), rtol=1e-6)
        else:
            assert p.grad is None


def test_the_slope_of_l1_at_zero_is_zero() -> None:
    layer = nn.Linear(3, 1)
    layer.load_state_dict({"weight": np.array([[-2.0, 0.0, 3.0]]), "bias": np.zeros(1)})
    nn.L1Penalty(0.5)(layer).backward()
    assert layer.weight.grad.tolist() == [[-0.5, 0.0, 0.5]]


def test_frozen_weights_are_not_penalised() -> None:
    model = mlp_without_dropout()
    model[0].requires_grad_(False)
    assert nn.L2Penalty(1)(model).item() == nn.L2Penalty(1)(model[2]).item()


def test_l2_is_weight_decay_and_the_book_s_lambda_over_n() -> None:
    lmbda, n, models = 5.0, 40, []
    for way in ("penalty", "decay"):
        fn.manual_seed(0)
        model = mlp_without_dropout().double()
        groups = optim.param_groups_weight_decay(model, lmbda / n)
        opt = optim.SGD(model.parameters() if way == "penalty" else groups, lr=0.5)
        penalty = nn.L2Penalty(lmbda / (2 * n))
        for x, y in examples(5, 8, 12, dtype=np.float64):
            loss = F.cross_entropy(model(place(x)), place(y))
            if way == "penalty":
                loss = loss + penalty(model)
            opt.zero_grad()
            loss.backward()
            opt.step()
        models.append(numbers(model.parameters()))
    for a, b in zip(*models, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [optim.SGD, optim.AdamW])
def test_decay_leaves_biases_and_normalisations_alone(make: Any) -> None:
    model = mixed_net()
    nn.init.ones_(model[0].bias)
    before = numbers(model.parameters())
    opt = make(optim.param_groups_weight_decay(model, 0.1), lr=0.5)
    for p in model.parameters():
        p.grad = fn.zeros_like(p)
    opt.step()
    for p, old, (new,) in zip(
        model.parameters(), before, map(numbers, ([p] for p in model.parameters())), strict=True
    ):
        np.testing.assert_allclose(new, old * (0.95 if p.ndim > 1 else 1), rtol=1e-6)


def test_no_group_of_nothing() -> None:
    groups = optim.param_groups_weight_decay(nn.Linear(2, 2, bias=False), 0.1)
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1)]
    assert optim.param_groups_weight_decay(nn.BatchNorm2d(3), 0.1)[0]["weight_decay"] == 0


# --- max-norm -----------------------------------------------------------------------------------


def test_max_norm() -> None:
    fn.manual_seed(0)
    model = mixed_net()
    for p in model.parameters():
        nn.init.normal_(p)
    with fn.no_grad():
        model[6].weight[1].fill_(0)  # a unit of no length
    before = numbers(model.parameters())
    lengths = [np.sqrt((w**2).reshape(len(w), -1).sum(1)) for w in numbers(weights_of(model))]
    most = float(np.median(np.concatenate(lengths)))
    assert nn.MaxNorm(most)(model) is None
    for p, old in zip(model.parameters(), before, strict=True):
        (new,) = numbers([p])
        if p.ndim == 1:
            np.testing.assert_array_equal(new, old)
            continue
        length = np.sqrt((old**2).reshape(len(old), -1).sum(1))
        short = length < most * (1 - 1e-6)
        np.testing.assert_array_equal(new[short], old[short])  # to the bit
        factor = np.minimum(1, most / np.maximum(length, 1e-30))
        np.testing.assert_allclose(new, old * factor.reshape(-1, *[1] * (p.ndim - 1)), rtol=1e-5)
    assert any(length.min() < most < length.max() for length in lengths)


def test_max_norm_beside_torch_renorm() -> None:
    torch = pytest.importorskip("torch")
    w = np.random.default_rng(0).standard_normal((7, 3, 2, 2)).astype(np.float32)
    layer = nn.Conv2d(3, 7, 2)
    layer.load_state_dict({"weight": w, "bias": np.zeros(7)})
    nn.MaxNorm(3.0)(layer)
    expected = torch.renorm(torch.from_numpy(w), 2, 0, 3.0).numpy()
    np.testing.assert_allclose(layer.weight.detach().cpu().numpy(), expected, rtol=1e-5)


# --- recorded -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", ["l1", "l2", "max-norm"])
def test_in_a_recorded_step(kind: str, count: int, threads: Callable) -> None:
    threads(count)
    penalty = {"l1": nn.L1Penalty(1e-2), "l2": nn.L2Penalty(1e-2, biases=True)}.get(kind)
    max_norm = nn.MaxNorm(0.4)

    def train(compile: Any) -> Any:
        model = mixed_net()
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(model(x), y)
            if penalty is not None:
                loss = loss + penalty(model)
            opt.zero_grad()
            loss.backward()
            opt.step()
            if kind == "max-norm":
                max_norm(model)
            return loss

        step = compile(step)
        losses = [step(x, y) for x, y in examples(5, 8, 2, 6, 6)]
        return losses, model.state_dict()

    same_bits(train, recordings=2)


def test_a_changed_factor_reaches_the_recorded_step() -> None:
    model, penalty = nn.Linear(3, 2), nn.L2Penalty(1.0)
    step = fn.compile(lambda: penalty(model))
    first = [step().item() for _ in range(3)]
    penalty.factor = 2.0
    assert step().item() == 2 * first[-1]


# --- refused ------------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], Any], type, str]] = [
    (lambda: nn.L1Penalty(-1), ValueError, "[L1Penalty] factor must be in [0, inf); got -1"),
    (lambda: nn.L2Penalty("1"), TypeError, "[L2Penalty] factor must be a number; got '1'"),
    (lambda: nn.MaxNorm(0), ValueError, "[MaxNorm] max_norm must be in (0, inf); got 0"),
    (
        lambda: nn.L1Penalty(1)(nn.BatchNorm1d(3)),
        ValueError,
        "[L1Penalty] the model must have trained weights; got 0",
    ),
    (
        lambda: nn.L2Penalty(1, biases=True)(nn.ReLU()),
        ValueError,
        "[L2Penalty] the model must have trained parameters; got 0",
    ),
    (lambda: nn.MaxNorm(1)(nn.ReLU()), ValueError, "[MaxNorm] the model must have trained weights"),
    (
        lambda: optim.SGD(optim.param_groups_weight_decay(nn.Linear(2, 2), -1.0)),
        ValueError,
        "[SGD] weight_decay must be in [0, inf); got -1.0",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
