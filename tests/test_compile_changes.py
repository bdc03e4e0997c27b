"""fn.compile: changes between two calls, of the model, the optimizer or the mode, are seen."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import place
from samples import normal
from steps import examples, mixed_net, same_bits, training_step
from steps import mlp_without_dropout as mlp

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def frozen(on: bool) -> Callable:
    return lambda model, opt: model[0].requires_grad_(not on)


def option(**options: Any) -> Callable:
    return lambda model, opt: opt.param_groups[0].update(options)


def keep_state(model: Any, opt: Any) -> None:
    model.kept = copy.deepcopy((model.state_dict(), opt.state_dict()))


def set_weight(model: Any, opt: Any) -> None:
    model[6].weight.data = model[6].weight.data * 0.5


def replace_weight(model: Any, opt: Any) -> None:
    model[6].weight = nn.Parameter(place(normal(5, 36).astype(np.float32)))


def train_the_new_weight(model: Any, opt: Any) -> None:
    opt.add_param_group({"params": model[6].weight, "lr": 0.5})


def write_weights(model: Any, opt: Any) -> None:
    with fn.no_grad():
        model[0].weight.mul_(0.5)
        nn.init.zeros_(model[6].bias)


def eager_backward(model: Any, opt: Any) -> None:
    F.cross_entropy(model(fn.ones(3, 2, 6, 6)), fn.zeros(3, dtype=fn.int64)).backward()


def eager_step(model: Any, opt: Any) -> None:
    opt.zero_grad()
    eager_backward(model, opt)
    opt.step()


def eager_step_of_some(model: Any, opt: Any) -> None:
    opt.zero_grad()
    eager_backward(model, opt)
    model[0].weight.grad = None
    opt.step()


def module(index: int, make: Callable[[], nn.Module]) -> Callable:
    return lambda model, opt: model.__setitem__(index, make())


# One change in the middle of training, and another one later.
CHANGES: dict[str, tuple[Callable, Callable]] = {
    "eval, train": (lambda m, o: m.eval(), lambda m, o: m.train()),
    "one layer in eval": (lambda m, o: m[5].eval(), lambda m, o: m[1].eval()),
    "training set": (
        lambda m, o: setattr(m[5], "training", False),
        lambda m, o: setattr(m[1], "training", False),
    ),
    "frozen layer": (frozen(True), frozen(False)),
    "all frozen but one": (
        lambda m, o: [p.requires_grad_(False) for p in list(m.parameters())[:-1]],
        lambda m, o: m.requires_grad_(),
    ),
    "parameter": (replace_weight, train_the_new_weight),
    "no bias": (lambda m, o: setattr(m[6], "bias", None), frozen(True)),
    "module": (module(2, nn.Tanh), module(6, lambda: nn.Linear(36, 5))),
    "module removed": (lambda m, o: m.__delitem__(2), lambda m, o: m.__delitem__(4)),
    "modules added": (
        lambda m, o: m.append(nn.Sigmoid()),
        lambda m, o: m.insert(0, nn.Tanh()),
    ),
    "buffer": (
        lambda m, o: setattr(m[1], "running_mean", fn.ones(4)),
        lambda m, o: m[1].reset_running_stats(),
    ),
    "states": (
        keep_state,
        lambda m, o: (m.load_state_dict(m.kept[0]), o.load_state_dict(m.kept[1])),
    ),
    "data": (set_weight, set_weight),
    "dtype": (lambda m, o: m.double(), lambda m, o: m.float()),  # of SGD, which keeps no state
    "values": (write_weights, write_weights),
    "eager step": (eager_step, eager_step),
    "eager step of some": (eager_step_of_some, option(lr=0.05)),
    "eager gradient": (eager_backward, eager_backward),
    "gradient cleared": (lambda m, o: o.zero_grad(), lambda m, o: m.zero_grad()),
    "gradient zeroed": (
        lambda m, o: (eager_backward(m, o), o.zero_grad(set_to_none=False)),
        lambda m, o: o.zero_grad(set_to_none=False),
    ),
    "another model": (lambda m, o: mixed_net(), lambda m, o: optim.SGD(mixed_net().parameters())),
    "threads": (lambda m, o: fn.set_num_threads(2), lambda m, o: fn.set_num_threads(1)),
    "state read": (lambda m, o: o.state_dict(), lambda m, o: repr(o.state)),
}


def trained(kind: type, options: dict[str, Any], changes: tuple[Callable, ...]) -> Callable:
    """For `same_bits`: twelve steps with a change before the fifth and one before the ninth."""

    def train(compile):
        model = mixed_net()
        opt = kind(model.parameters(), lr=0.1, **options)
        step, losses = compile(training_step(model, opt)), []
        for i, (x, y) in enumerate(examples(12, 5, 2, 6, 6, dtype=np.float64)):
            if i in (4, 8):
                changes[i // 4 - 1](model, opt)
            losses.append(step(x, y))
        return losses, model.state_dict(), opt.state_dict()

    return train


@pytest.mark.parametrize(
    ("kind", "name"),
    [(optim.SGD, name) for name in CHANGES]
    + [(optim.Adam, name) for name in CHANGES if name != "dtype"],
)
def test_changes(name: str, kind: type, threads: Callable[[int], None]):
    threads(1)
    same_bits(trained(kind, {}, CHANGES[name]))


@pytest.mark.parametrize(
    ("kind", "options", "first", "second"),
    [
        (optim.SGD, {}, {"momentum": 0.9}, {"nesterov": True}),
        (optim.SGD, {"momentum": 0.9}, {"momentum": 0.0}, {"momentum": 0.5}),
        (optim.SGD, {}, {"weight_decay": 0.1}, {"maximize": True}),
        (optim.SGD, {}, {"lr": 0}, {"lr": 0.1}),
        (optim.Adam, {}, {"amsgrad": True}, {"amsgrad": False}),
        (optim.AdamW, {}, {"weight_decay": 0.0}, {"weight_decay": 0.5}),
        (optim.RMSprop, {}, {"momentum": 0.9}, {"centered": True}),
    ],
)
def test_changed_options(kind: type, options: dict, first: dict, second: dict):
    same_bits(trained(kind, options, (option(**first), option(**second))))


def test_parameters_added_to_a_group():
    def train(compile):
        model = mixed_net()
        *most, last = model.parameters()
        opt = optim.SGD(most, lr=0.1)
        step = compile(training_step(model, opt))
        for i, (x, y) in enumerate(examples(8, 5, 2, 6, 6)):
            if i == 4:
                opt.param_groups[0]["params"].append(last)
            step(x, y)
        return model.state_dict()

    same_bits(train)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))],
    ids=["deepcopy", "pickle"],
)
def test_an_optimizer_in_training_can_be_copied(copied: Callable):
    def train(compile):
        model = mlp()
        opt = optim.Adam(model.parameters(), lr=0.1)
        for i, (x, y) in enumerate(examples(6, 5, 12)):
            if i % 3 == 0:
                model, opt = copied((model, opt))
                step = compile(training_step(model, opt))
            step(x, y)
        return model.state_dict(), opt.state_dict()

    same_bits(train)


def test_no_grad_around_the_call_records_anew():
    def train(compile):
        layer = nn.Linear(12, 5)

        def step(x):
            layer.zero_grad()
            y = layer(x).mean()
            return y.backward() if fn.is_grad_enabled() else y

        step, results = compile(step, keep_grads=True), []
        for i, (x, _) in enumerate(examples(6, 4, 12)):
            with fn.no_grad() if i % 2 else fn.enable_grad():
                results.append((step(x), layer.weight.grad))
        return results

    same_bits(train)
