"""Start values that are more than one distribution, and their choice by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import handed
from steps import mixed_net

import fastnn as fn
from fastnn import nn
from fastnn.nn import init
from fastnn.train import models


def values(tensor: fn.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)


# --- single tensors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (6, 0.5, 5.5, 8), (0, 1, 2, math.inf)]
)
def test_trunc_normal(mean: float, std: float, a: float, b: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    fn.manual_seed(0)
    weight = nn.Parameter(fn.empty((300, 200)))
    assert init.trunc_normal_(weight, mean, std, a, b) is weight
    w = values(weight)
    assert a <= w.min() < w.max() <= b
    law = stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    assert stats.kstest(w.ravel(), law.cdf).pvalue > 0.01


@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (7, 4), (6, 2, 3, 3), (3, 5, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    fn.manual_seed(0)
    weight = init.orthogonal_(nn.Parameter(fn.empty(shape, dtype=fn.float64)), gain=1.5)
    w = values(weight).reshape(shape[0], -1)
    square = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(square, 2.25 * np.eye(len(square)), atol=1e-14)


def test_orthogonal_matrices_are_drawn_without_a_preference() -> None:
    fn.manual_seed(0)  # without the signs of r, all diagonals would be below 0
    first = [values(init.orthogonal_(fn.empty((2, 2))))[0, 0] for _ in range(200)]
    assert abs(np.mean(first)) < 0.2  # 4 standard deviations


def test_sparse() -> None:
    fn.manual_seed(0)
    w = values(init.sparse_(nn.Parameter(fn.empty((25, 400))), 0.33, std=2.0))
    assert ((w == 0).sum(0) == math.ceil(0.33 * 25)).all()
    assert (w == 0).any(1).all()
    assert abs(w[w != 0].std() / 2 - 1) < 0.03


def test_lecun_normal() -> None:
    fn.manual_seed(0)
    w = values(init.lecun_normal_(fn.empty((400, 20, 3, 3))))
    assert abs(w.std() * math.sqrt(180) - 1) < 0.01
    assert abs(w.mean()) < 0.01


def test_dirac_passes_its_input_on() -> None:
    layer = nn.Conv2d(4, 6, 3, padding=1, bias=False, groups=2)
    init.dirac_(layer.weight, 2)
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
    y = layer(handed(x)).detach().cpu().numpy()
    np.testing.assert_array_equal(y[:, [0, 1, 3, 4]], x)
    assert not y[:, [2, 5]].any()


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("eye_", (4, 6), {}),
        ("eye_", (6, 4), {}),
        ("dirac_", (4, 6, 3), {}),
        ("dirac_", (6, 4, 3, 2), {}),
        ("dirac_", (6, 2, 4, 3, 2), {"groups": 3}),
        ("constant_", (2, 3), {"val": 0.25}),
        ("ones_", (3,), {}),
        ("zeros_", (), {}),
    ],
)
def test_beside_torch(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours = getattr(init, name)(fn.randn(shape), **options)
    theirs = getattr(torch.nn.init, name)(torch.randn(shape), **options)
    np.testing.assert_array_equal(ours.cpu().numpy(), theirs.numpy())


@pytest.mark.parametrize(
    "start",
    [init.trunc_normal_, init.orthogonal_, lambda t: init.sparse_(t, 0.5), init.lecun_normal_],
)
def test_the_seed_decides(start: Callable) -> None:
    drawn = []
    for seed in (3, 3, 4):
        fn.manual_seed(seed)
        drawn.append(values(start(fn.empty((20, 10)))).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


# --- models -------------------------------------------------------------------------------------


def test_initialize() -> None:
    fn.manual_seed(0)
    model = mixed_net()
    norm = [values(p).tolist() for p in model[1].parameters()]
    assert init.initialize(model, "kaiming_normal", "zeros") is model
    for layer in (model[0], model[6]):
        assert not values(layer.bias).any()
        fan_in, _ = init.fan_in_and_fan_out(layer.weight)
        assert abs(values(layer.weight).std() / math.sqrt(2 / fan_in) - 1) < 0.3
    assert [values(p).tolist() for p in model[1].parameters()] == norm


def test_initialize_leaves_what_is_not_named() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    before = [values(p).tolist() for p in model.parameters()]
    init.initialize(model, bias=lambda t: init.constant_(t, 7))
    after = [values(p).tolist() for p in model.parameters()]
    assert after == [before[0], [7] * 4, before[2]]


def test_the_two_starts_of_the_book() -> None:
    fn.manual_seed(0)
    for name, std in (("normal", 1.0), ("lecun_normal", 1 / 28)):
        model = models.mlp((1, 28, 28), 10, (100,), init=name, bias_init="normal")
        assert abs(values(model[1].weight).std() / std - 1) < 0.02
        assert 0.5 < values(model[1].bias).std() < 1.5


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
@pytest.mark.parametrize("name", ["mlp", "cnn", "lenet", "signals"])
def test_models_take_activation_and_start_by_name(name: str, activation: str) -> None:
    shape = (1, 16) if name == "signals" else (1, 8, 8)
    make = models.cnn if name == "signals" else models.MODELS[name]
    model = make(shape, 3, activation=activation, init="xavier_uniform", bias_init="zeros")
    kinds = {type(module) for module in model.modules()}
    every = {type(act()) for act in models.ACTIVATIONS.values()}
    assert kinds & every == {type(models.ACTIVATIONS[activation]())}
    assert all(not values(m.bias).any() for m in model.modules() if isinstance(m, nn.Linear))
    assert model(fn.zeros((2, *shape))).shape == (2, 3)


def test_models_are_as_they_were_without_a_name() -> None:
    drawn = []
    for options in ({}, {"activation": "relu", "init": None}):
        fn.manual_seed(0)
        drawn.append(
            [values(p).tolist() for p in models.lenet((1, 8, 8), 3, **options).parameters()]
        )
    assert drawn[0] == drawn[1]
    assert abs(np.array(drawn[0][0])).max() <= 1 / 5  # 1 / sqrt(fan_in)


REFUSED: list[tuple[Callable[[], Any], type, str]] = [
    (lambda: init.eye_(fn.zeros(3)), ValueError, "[eye_] expected a matrix; got shape (3,)"),
    (lambda: init.sparse_(fn.zeros(3), 0.1), ValueError, "[sparse_] expected a matrix"),
    (lambda: init.sparse_(fn.zeros((3, 3)), 2), ValueError, "sparsity must be in [0, 1]; got 2"),
    (lambda: init.dirac_(fn.zeros((3, 3))), ValueError, "[dirac_] expected a kernel (out, in"),
    (lambda: init.dirac_(fn.zeros((3, 3, 1)), 2), ValueError, "groups 2; got shape (3, 3, 1)"),
    (lambda: init.orthogonal_(fn.zeros(3)), ValueError, "[init] expected a weight (out, in, ...)"),
    (
        lambda: init.trunc_normal_(fn.zeros(3), a=5, b=6),
        ValueError,
        "[trunc_normal_] [a, b] must hold a hundredth of the distribution; got [5, 6]",
    ),
    (lambda: init.trunc_normal_(fn.zeros(3), std=0), ValueError, "std must be in (0, inf); got 0"),
    (
        lambda: init.initialize(nn.Linear(2, 2), "glorot"),
        ValueError,
        "[initialize] weight must be one of uniform, normal, ",
    ),
    (
        lambda: init.initialize(nn.Linear(2, 2), bias="xavier_normal"),
        ValueError,
        "[init] expected a weight (out, in, ...); got shape (2,)",
    ),
    (
        lambda: models.mlp((4,), 2, activation="swish"),
        ValueError,
        "[mlp] activation must be one of relu, sigmoid, tanh, leaky_relu, gelu, silu; got 'swish'",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
