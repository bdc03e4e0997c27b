"""fn.compile: the gradients after a step, which keep_grads keeps."""

from __future__ import annotations

import pytest
from steps import batches, examples, mixed_net, mlp, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def test_gradients_are_none_after_a_step():
    model = mlp()
    step = fn.compile(training_step(model, optim.Adam(model.parameters())))
    for i, (x, y) in enumerate(batches(4, 5, 12)):
        step(x, y)
        assert i == 0 or all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_gradients_can_be_kept(kind: type):
    def train(compile):
        model = mixed_net()
        step = training_step(model, kind(model.parameters(), lr=0.1))
        step, grads = compile(step, keep_grads=True), []
        for i, (x, y) in enumerate(examples(9, 5, 2, 6, 6)):
            step(x[: 5 - i % 3], y[: 5 - i % 3])
            grads.append([p.grad.clone() for p in model.parameters()])
        return grads, model.state_dict()

    same_bits(train)


def test_compile_with_options_is_a_decorator():
    w = fn.ones(2, requires_grad=True)

    @fn.compile(keep_grads=True)
    def step(x):
        """Words."""
        w.grad = None
        (w * x).sum().backward()

    for i in range(3):
        step(fn.full((2,), float(i)))
        assert w.grad.cpu().numpy().tolist() == [i, i]
    assert (step.__name__, step.__doc__) == ("step", "Words.")


def test_kept_gradients_can_be_returned():
    def train(compile):
        model = mlp()

        def step(x, y):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            return model[0].weight.grad

        step = compile(step, keep_grads=True)
        return [step(x, y) for x, y in examples(4, 5, 12)]

    same_bits(train, recordings=1)


def test_a_tape_from_before_a_replay_is_refused():
    layer = nn.Linear(12, 5)
    step = fn.compile(training_step(layer, optim.SGD(layer.parameters(), lr=0.1)))
    x, y = batches(1, 5, 12)[0]
    step(x, y)
    product = (layer.weight * layer.weight).sum()
    step(x, y)
    with pytest.raises(RuntimeError, match="changed in place"):
        product.backward()
