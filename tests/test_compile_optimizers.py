"""fn.compile: every optimizer in a replayed step, its options and its parameter groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from samples import FLOATS
from steps import examples, mixed_net, mlp, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim

OPTIMIZERS: list[tuple[type, dict[str, Any]]] = [
    (optim.SGD, {}),
    (optim.SGD, {"momentum": 0.9, "dampening": 0.3}),
    (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    (optim.Adam, {"betas": (0.8, 0.9), "weight_decay": 0.1}),
    (optim.Adam, {"amsgrad": True}),
    (optim.AdamW, {}),
    (optim.AdamW, {"amsgrad": True, "maximize": True}),
    (optim.RMSprop, {"centered": True, "momentum": 0.5}),
    (optim.Adagrad, {"lr_decay": 0.5}),
    (optim.Adadelta, {}),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_optimizers(kind: type, options: dict[str, Any], dtype: str):
    def train(compile):
        model = mixed_net().to(dtype=getattr(fn, dtype))
        opt = kind(model.parameters(), lr=0.1, **options)
        step = compile(training_step(model, opt))
        losses, counts = [], []
        for i, (x, y) in enumerate(examples(8, 5, 2, 6, 6, dtype=dtype)):
            opt.param_groups[0]["lr"] = 0.1 / (1 + i)
            losses.append(step(x, y))
            counts.append([state.get("step") for state in opt.state.values()])
        return losses, counts, model.state_dict(), opt.state_dict()

    same_bits(train, recordings=1 if (kind, options) == OPTIMIZERS[0] else 2)


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_more_parameters_than_a_kernel_takes(kind: type, options: dict[str, Any]):
    def train(compile):
        layers = [m for _ in range(12) for m in (nn.Linear(12, 12), nn.Tanh())]
        model = nn.Sequential(*layers, nn.BatchNorm1d(12))
        opt = kind(model.parameters(), lr=0.1, **options)
        step = compile(training_step(model, opt))
        return [step(x, y) for x, y in examples(6, 5, 12)], model.state_dict(), opt.state_dict()

    same_bits(train)


@pytest.mark.parametrize(
    "change",
    [
        lambda group, options: [group.__setitem__(*item) for item in options.items()],
        lambda group, options: group.update(options),
        lambda group, options: group.update(**options),
        lambda group, options: group.__ior__(options),
    ],
    ids=["item", "update", "update by name", "ior"],
)
@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (optim.SGD, {"momentum": 0.9}, {"lr": 0.05, "momentum": 0.5}),
        (optim.SGD, {"momentum": 0.9, "dampening": 0.1}, {"dampening": 0.5, "weight_decay": 0.1}),
        (optim.Adam, {}, {"lr": 0.01, "betas": (0.5, 0.6), "eps": 1e-3}),
        (optim.RMSprop, {"momentum": 0.5}, {"alpha": 0.5, "momentum": 0.8}),
        (optim.Adagrad, {"lr_decay": 0.1}, {"lr_decay": 0.7}),
        (optim.Adadelta, {}, {"rho": 0.5, "lr": 0.5}),
    ],
)
def test_options_may_change(change: Callable, kind: type, before: dict, after: dict):
    def train(compile):
        model = mlp()
        opt = kind(model.parameters(), lr=0.1, **before)
        step = compile(training_step(model, opt))
        for i, (x, y) in enumerate(examples(8, 5, 12)):
            if i == 4:
                change(opt.param_groups[0], after)
            step(x, y)
        return model.state_dict(), opt.state_dict()

    same_bits(train)


def test_groups_and_dtypes_of_their_own():
    def train(compile):
        narrow, wide = nn.Linear(12, 6), nn.Linear(6, 5).double()
        groups = [
            {"params": narrow.weight, "lr": 0.5},
            {"params": [narrow.bias, *wide.parameters()]},
        ]
        opt = optim.Adam(groups, lr=0.1)
        step = compile(training_step(lambda x: wide(narrow(x).double()), opt))
        for i, (x, y) in enumerate(examples(8, 5, 12)):
            opt.param_groups[i % 2]["lr"] *= 0.5
            step(x, y)
        return narrow.state_dict(), wide.state_dict(), opt.state_dict()

    same_bits(train, recordings=2)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_two_steps_of_one_optimizer(kind: type):
    def train(compile):
        models = [nn.Linear(12, 5), nn.Linear(12, 5)]
        opt = kind([p for model in models for p in model.parameters()], lr=0.1)
        steps = [compile(training_step(model, opt)) for model in models]
        for i, (x, y) in enumerate(examples(16, 5, 12)):
            if i == 10:
                opt.param_groups[0]["lr"] = 0.01
            steps[i % 2](x, y)
        return [model.state_dict() for model in models], opt.state_dict()

    same_bits(train)
