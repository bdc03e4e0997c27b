"""Kernels that a plan makes one: the same bits as apart, whatever lies around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from samples import FLOATS, normal
from steps import batches, examples, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F

# --- dense layers -----------------------------------------------------------------------------


class Odd(nn.Module):
    """Two dense layers and a convolution, put together in a way of its own."""

    def __init__(self, forward: Callable) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 12), nn.Linear(12, 12, bias=False), nn.Linear(12, 5)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.body = forward

    def forward(self, x):
        return self.body(self, x)


ODD: dict[str, Callable] = {
    "residual": lambda m, x: m.c((h := F.relu(m.a(x))) + F.relu(m.b(h))),
    "sum used twice": lambda m, x: m.c(F.relu(h := m.a(x)) + h),
    "activation used twice": lambda m, x: m.c(m.b(h := F.tanh(m.a(x))) * h),
    "two activations": lambda m, x: m.c(F.sigmoid(F.relu(m.a(x)))),
    "two activations of one sum": lambda m, x: m.c(F.relu(h := m.a(x)) * F.tanh(h)),
    "activation first": lambda m, x: m.c(m.a(F.relu(x))),
    "activation last": lambda m, x: F.relu(m.c(F.relu(m.a(x)))),
    "activation of a parameter": lambda m, x: F.linear(F.relu(m.a(x)), F.tanh(m.c.weight)),
    "one layer twice": lambda m, x: m.c(F.relu(m.a(F.relu(m.a(x))))),
    "tied weights": lambda m, x: m.c(F.linear(F.relu(m.b(x)), m.b.weight.T)),
    "detached": lambda m, x: m.c(F.relu(m.a(x).detach())),
    "detached weight": lambda m, x: m.c(F.relu(F.linear(F.relu(m.a(x)), m.a.weight.detach()))),
    "part of a layer": lambda m, x: m.c(F.relu(m.a(x)))[:, :5] + m.a(x)[:, 3:8],
    "one kernel already": lambda m, x: m.c(F.relu(F.linear(x, m.a.weight, m.a.bias, "tanh"))),
    "transposed weight": lambda m, x: m.c(F.relu(F.linear(F.relu(x @ m.b.weight), m.a.weight.T))),
    "reshaped": lambda m, x: m.c(F.relu(m.a(x).reshape(2, -1)).reshape(-1, 12)),
    "gelu": lambda m, x: m.c(F.gelu(m.b(F.gelu(m.a(x))))),
    "gelu by tanh": lambda m, x: m.c(F.gelu(m.b(F.gelu(m.a(x), "tanh")), "tanh")),
    "silu": lambda m, x: m.c(F.silu(m.b(F.silu(m.a(x))))),
    "gelu, sum used twice": lambda m, x: m.c(F.gelu(h := m.a(x)) + h),
    "gelu, used twice": lambda m, x: m.c(m.b(h := F.gelu(m.a(x))) * h),
    "two activations of one sum, one of them gelu": lambda m, x: m.c(
        F.gelu(h := m.a(x)) * F.relu(h)
    ),
    "gelu of relu": lambda m, x: m.c(F.gelu(F.relu(m.a(x)))),
    "gelu of a parameter": lambda m, x: F.linear(F.gelu(m.a(x)), F.gelu(m.c.weight)),
    "gelu of the weight, times the weight": lambda m, x: m.c(
        F.linear(x @ F.gelu(m.b.weight), m.b.weight)
    ),
    "gelu, detached": lambda m, x: m.c(F.gelu(m.a(x).detach())),
    "gelu, reshaped": lambda m, x: m.c(F.gelu(m.a(x).reshape(2, -1)).reshape(-1, 12)),
    "gelu in one kernel": lambda m, x: m.c(F.silu(F.linear(x, m.a.weight, m.a.bias, "gelu"))),
    "more dimensions": lambda m, x: m.c(F.relu(m.a(x.reshape(2, -1, 12)))).reshape(-1, 5),
    "vectors": lambda m, x: m.c(F.relu(m.a(x))) + m.c(F.relu(m.a(x[0]))),
    "dropout twice": lambda m, x: m.c(F.dropout(h := F.relu(m.a(x)), 0.2) + F.dropout(h, 0.2)),
    "convolution": lambda m, x: m.c(F.relu(m.conv(x.reshape(1, 1, -1, 12))).reshape(-1, 12)),
    "convolution twice": lambda m, x: m.c(
        F.relu(m.conv(F.tanh(m.conv(x.reshape(-1, 1, 3, 4))))).reshape(-1, 12)
    ),
    "convolution, residual": lambda m, x: m.c(
        (F.relu(m.conv(h := x.reshape(-1, 1, 3, 4))) + h).reshape(-1, 12)
    ),
    "pooled": lambda m, x: m.c(
        F.max_pool2d(F.relu(m.conv(F.relu(m.a(x)).reshape(-1, 1, 3, 4))), 3, 1, 1).reshape(-1, 12)
    ),
}


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("name", ODD)
def test_odd_networks(name: str, kind: type):
    def train(compile):
        model = Odd(ODD[name])
        opt = kind(model.parameters(), lr=0.01, weight_decay=0.1)
        half = kind is optim.Adam  # then backward does not begin with 1
        loss = (lambda x, y: F.cross_entropy(x, y) * 0.5) if half else F.cross_entropy
        step = compile(training_step(model, opt, loss))
        losses = [step(x, y) for x, y in examples(6, 8, 12)]
        return losses, model.state_dict(), opt.state_dict()

    same_bits(train)


@pytest.mark.parametrize("activation", ["ReLU", "GELU", "SiLU"])
def test_activations_of_dense_layers_are_part_of_them(activation: str):
    model = nn.Sequential(nn.Linear(12, 12), getattr(nn, activation)(), nn.Linear(12, 5))
    train = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
    infer = fn.compile(lambda x: model(x))
    x, y = batches(1, 6, 12)[0]
    train(x, y)
    with fn.no_grad():
        infer(x)
    for step in (train, infer):
        assert "linear_fwd + activation" in step.plan()
        assert "unary" not in step.plan()


def test_a_sum_changed_before_its_activation():
    def train(compile):
        layer = nn.Linear(12, 12)

        @compile
        @fn.no_grad()
        def step(x):
            h = layer(x)
            first = h * 1
            h[1:].mul_(0.5)
            return F.gelu(h), F.relu(h), first, h

        return [step(x) for x, _ in examples(3, 6, 12)]

    same_bits(train)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
@pytest.mark.parametrize("width", [1, 7, 33, 130, 300])
@pytest.mark.parametrize("rows", [1, 2, 37, 600, 800])
def test_sizes(rows: int, width: int, kind: type, threads: Callable[[int], None]):
    threads(3)

    def train(compile):
        model = nn.Sequential(nn.Linear(17, width), nn.ReLU(), nn.Linear(width, 5))
        opt = kind(model.parameters(), lr=0.1)
        step = compile(training_step(model, opt))
        return [step(x, y) for x, y in examples(4, rows, 17)], model.state_dict(), opt.state_dict()

    same_bits(train)


@pytest.mark.parametrize("rows", [5, 31])
@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1}, {"maximize": True}, {"momentum": 0.9}], ids=str
)
def test_weights_that_change_in_blocks(
    options: dict[str, Any], rows: int, threads: Callable[[int], None]
):
    threads(3)

    def train(compile):
        layers = nn.Linear(17, 300), nn.ReLU(), nn.Linear(300, 130), nn.GELU(), nn.Linear(130, 5)
        model = nn.Sequential(*layers)
        opt = optim.SGD(model.parameters(), lr=0.1, **options)
        step = compile(training_step(model, opt))
        return [step(x, y) for x, y in examples(4, rows, 17)], model.state_dict(), opt.state_dict()

    same_bits(train)


@pytest.mark.parametrize(
    "look",
    [
        lambda layer: (layer.weight**2).sum(),
        lambda layer: layer.weight[2:].sum(),
        lambda layer: layer.bias[1:].sum(),
        lambda layer: layer(fn.ones(3, layer.in_features)),
        lambda layer: layer.weight.grad.sum(),
        lambda layer: layer.weight.grad[1:],
        lambda layer: layer.weight.mul_(0.5),
        lambda layer: layer.weight[1:].mul_(0.5),
        lambda layer: layer.weight.grad[1:].mul_(0.5),
    ],
    ids=[
        "weight",
        "part of it",
        "part of the bias",
        "forward",
        "gradient",
        "part of the gradient",
        "weight changed",
        "part of it changed",
        "part of the gradient changed",
    ],
)
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_between_backward_and_the_update(look: Callable, kind: type):
    def train(compile):
        model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))
        opt = kind(model.parameters(), lr=0.1)

        def step(x, y):
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            with fn.no_grad():
                seen = [look(layer) * 1 for layer in (model[0], model[2])]
            opt.step()
            return seen

        step = compile(step)
        return [step(x, y) for x, y in examples(6, 5, 12)], model.state_dict(), opt.state_dict()

    same_bits(train)


# --- convolutions -----------------------------------------------------------------------------

TAILS: dict[str, Callable] = {  # of a convolution's output, before a dense layer
    "activation": F.relu,
    "pool": lambda y: F.max_pool2d(y, 2),
    "activation, pool": lambda y: F.max_pool2d(F.tanh(y), 2),
    "pool, activation": lambda y: F.sigmoid(F.max_pool2d(y, 2)),
    "activation, other pool": lambda y: F.max_pool2d(F.relu(y), 3, 2, 1),
    "activation, average": lambda y: F.avg_pool2d(F.relu(y), 2),
    "other activation, pool": lambda y: F.max_pool2d(F.silu(y), 2),
    "activation, dropout, pool": lambda y: F.max_pool2d(F.dropout(F.relu(y), 0.3), 2),
    "two pools": lambda y: F.max_pool2d(y, 2) + F.max_pool2d(F.relu(y), 2),
    "pool used twice": lambda y: (p := F.max_pool2d(F.relu(y), 2)) * p,
    "map used twice": lambda y: F.max_pool2d(m := F.relu(y), 2) + m[:, :, :1, :1],
    "sum used twice": lambda y: F.max_pool2d(F.relu(y), 2) + y[:, :, :1, :1],
    "detached": lambda y: F.max_pool2d(F.relu(y), 2).detach() + y[:, :, :1, :1],
    "detached map": lambda y: F.max_pool2d(F.relu(y).detach(), 2) + y[:, :, :1, :1],
    "saturated": lambda y: F.max_pool2d(F.sigmoid(y * 1e3), 2),
    "indices": lambda y: F.max_pool2d(F.relu(y), 2, return_indices=True)[0],
}
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "3 x 3": {"padding": 1},
    "5 x 5": {"kernel_size": 5, "bias": False},  # an odd number of cells behind it
    "groups": {"groups": 2, "stride": (1, 2), "padding": (0, 1)},
    "depthwise": {"groups": 4, "out_channels": 4, "padding": 1},
    "two outputs a channel": {"groups": 4, "out_channels": 8, "stride": (1, 2)},
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_behind_convolutions(tail: Callable, options: dict[str, Any], dtype: str):
    def train(compile):
        first = nn.Conv2d(2, 4, 3, padding=1)
        second = nn.Conv2d(4, **{"out_channels": 6, "kernel_size": 3, **options})
        third = nn.Linear(second.out_channels, 5)
        layers = nn.ModuleList([first, second, third]).to(dtype=getattr(fn, dtype))
        step = compile(
            training_step(
                lambda x: third(tail(second(F.max_pool2d(F.relu(first(x)), 2))).mean((2, 3))),
                optim.Adam(layers.parameters(), lr=0.01),
            )
        )
        losses = [step(x, y) for x, y in examples(5, 7, 2, 19, 18, dtype=dtype)]
        return losses, layers.state_dict()

    same_bits(train, recordings=2)


@pytest.mark.parametrize("activation", [F.relu, F.sigmoid, F.tanh])
@pytest.mark.parametrize("scale", [1.0, 1e3, -1e3, float("nan"), float("inf")])
def test_equal_cells_of_a_pool(scale: float, activation: Callable):
    def train(compile):
        conv = nn.Conv2d(1, 3, 3)
        with fn.no_grad():
            conv.weight.mul_(scale)

        @compile
        def step(x):
            conv.zero_grad()
            y = F.max_pool2d(activation(conv(x)), 2)
            (y * y).sum().backward()
            return y, conv.weight.grad, conv.bias.grad

        return [step(normal(3, 1, 9, 8, seed=i).astype(np.float32)) for i in range(4)]

    same_bits(train, recordings=1)


def test_a_map_in_another_shape():
    def train(compile):
        conv = nn.Conv2d(1, 1, 3, padding=1)
        opt = optim.SGD(conv.parameters(), lr=0.1)

        def loss(output, y):
            return F.max_pool2d(F.relu(output).reshape(-1, 1, 4, 9), 2).mean()

        step = compile(training_step(conv, opt, loss))
        return [step(x, y) for x, y in examples(4, 3, 1, 6, 6)], conv.state_dict()

    same_bits(train, recordings=1)


def test_maps_that_are_looked_at():
    def train(compile):
        conv = nn.Conv2d(2, 4, 3)

        @compile
        @fn.no_grad()
        def step(x):
            y = conv(x)
            relu = F.relu(y)
            return (
                [y, F.max_pool2d(relu, 2)][x.shape[0] % 2],
                F.max_pool2d(F.relu(conv(x)), 2),
                relu,
            )

        return [step(normal(n, 2, 8, 8).astype(np.float32)) for n in (2, 3, 2, 3, 1, 1)]

    same_bits(train, recordings=3)
