"""fn.compile: gradients that a step clears, adds up, reads or leaves to the next one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from devices import place
from steps import examples, mixed_net, same_bits
from steps import mlp_without_dropout as mlp

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def clear_after(loss: Callable, opt: optim.Optimizer) -> None:
    loss().backward()
    opt.step()
    opt.zero_grad()


def zero_in_place(loss: Callable, opt: optim.Optimizer) -> None:
    opt.zero_grad(set_to_none=False)
    loss().backward()
    opt.step()


def in_a_closure(loss: Callable, opt: optim.Optimizer) -> None:
    def evaluate():
        opt.zero_grad()
        loss().backward()

    opt.step(evaluate)


def twice(loss: Callable, opt: optim.Optimizer) -> None:
    for _ in range(2):
        opt.zero_grad()
        loss().backward()
        opt.step()


def added_up(loss: Callable, opt: optim.Optimizer) -> None:
    opt.zero_grad()
    loss().backward()
    loss().backward()
    opt.step()


def never_cleared(loss: Callable, opt: optim.Optimizer) -> None:
    loss().backward()
    opt.step()


def update_first(loss: Callable, opt: optim.Optimizer) -> None:
    opt.step()
    opt.zero_grad()
    loss().backward()


def leave_one(loss: Callable, opt: optim.Optimizer) -> None:
    clear_after(loss, opt)
    loss().backward()


@pytest.mark.parametrize("keep_grads", [False, True])
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
@pytest.mark.parametrize(
    "body",
    [
        clear_after,
        zero_in_place,
        in_a_closure,
        twice,
        added_up,
        never_cleared,
        update_first,
        leave_one,
    ],
)
def test_when_gradients_are_cleared(body: Callable, kind: type, keep_grads: bool):
    def train(compile):
        model = mlp()
        opt = kind(model.parameters(), lr=0.1)

        def step(x, y):
            body(lambda: F.cross_entropy(model(x), y), opt)

        step = compile(step, keep_grads=keep_grads)
        for x, y in examples(8, 5, 12):
            step(x, y)
        return model.state_dict(), opt.state_dict()

    same_bits(train)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("every", [1, 3])
def test_gradients_accumulate(every: int, set_to_none: bool):
    def train(compile):
        model, grads = mixed_net(), []
        opt = optim.SGD(model.parameters(), lr=0.1)

        @compile
        def step(x, y):
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            (model[0].weight ** 2).sum().backward()
            return loss

        for i, (x, y) in enumerate(examples(12, 5, 2, 6, 6)):
            step(x, y)
            grads.append(model[0].weight.grad.clone())
            if i % every == every - 1:
                opt.step()
                opt.zero_grad(set_to_none)
        return grads, model.state_dict()

    same_bits(train)


@pytest.mark.parametrize("clear", [True, False])
def test_the_update_alone(clear: bool):
    def train(compile):
        model = nn.Linear(12, 5)
        opt = optim.SGD(model.parameters(), lr=0.1)

        @compile
        def update(x):
            opt.step()
            if clear:
                opt.zero_grad()
            return x

        for x, y in examples(6, 5, 12):
            opt.zero_grad()
            F.cross_entropy(model(place(x)), place(y)).backward()
            update(x)
        return model.state_dict()

    same_bits(train)


def test_a_gradient_that_the_step_reads():
    def train(compile):
        w = fn.ones(3, requires_grad=True)
        norm = compile(lambda x: (w.grad**2).sum())
        results = []
        for i in range(4):
            w.grad = fn.full((3,), float(i))
            results.append(norm(fn.ones(1)))
        return results

    same_bits(train)
