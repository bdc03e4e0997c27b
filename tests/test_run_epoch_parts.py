"""CompiledStep.run_epoch: an epoch in parts, and one that ends at a loss that is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from devices import handed
from steps import examples, training_step

import fastnn as fn
from fastnn import nn, optim

N, BATCH = 37, 4  # nine batches and one of a single example
X, Y = examples(1, N, 12)[0]


def trained(parts: list[tuple[int, int | None]], drop_last: bool = False) -> tuple[Any, list[Any]]:
    """The weights after an epoch of dropout and momentum in these parts, and the parts' results."""
    fn.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 5))
    opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = fn.compile(training_step(model, opt))
    x, y = handed(X), handed(Y)
    results = [
        step.run_epoch(x, y, BATCH, seed=(2, 3), drop_last=drop_last, first=first, steps=steps)
        for first, steps in parts
    ]
    return [p.detach().cpu().numpy() for p in model.parameters()], results


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(
    "parts", [[(0, 1), (1, 4), (5, None)], [(0, 9), (9, 1)], [(0, 0), (0, 99), (10, 5)]]
)
def test_parts_make_an_epoch(parts, drop_last):
    whole, (result,) = trained([(0, None)], drop_last)
    weights, results = trained(parts, drop_last)
    assert all(np.array_equal(a, b) for a, b in zip(weights, whole, strict=True))
    assert sum(r.steps for r in results) == result.steps == (9 if drop_last else 10)
    examples_in = [
        min(BATCH * (first + r.steps), N) - min(BATCH * first, N)
        for (first, _), r in zip(parts, results, strict=True)
    ]
    total = sum(r.loss * n for r, n in zip(results, examples_in, strict=True))
    assert total == pytest.approx(result.loss * sum(examples_in), rel=1e-12)
    right = sum((r.accuracy or 0) * n for r, n in zip(results, examples_in, strict=True))
    assert right == pytest.approx(result.accuracy * sum(examples_in))


def test_hooks_are_told_the_number_in_the_epoch():
    numbers: list[int] = []
    step = fn.compile(lambda x, y: (x * y).mean())
    x = handed(np.ones((12, 3), np.float32))
    step.run_epoch(x, x, 2, first=2, steps=3, before_step=numbers.append)
    assert numbers == [2, 3, 4]


@pytest.mark.parametrize("bad", [0, 1, 4, 9])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_epoch(bad, value):
    x = np.ones((20, 3), np.float32)
    x[2 * bad] = value
    result = fn.compile(lambda x: x.mean()).run_epoch(handed(x), None, 2, shuffle=False)
    assert result.steps == bad + 1
    assert not np.isfinite(result.loss)


@pytest.mark.parametrize(("name", "value"), [("first", -1), ("steps", -2), ("batch_size", 0)])
def test_numbers_out_of_range(name, value):
    given = {"batch_size": 4, name: value}
    with pytest.raises(ValueError, match=rf"\[run_epoch\] {name} must be at least .; got {value}"):
        fn.compile(lambda x: x.mean()).run_epoch(handed(X), None, **given)
