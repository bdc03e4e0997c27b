"""fn.compile: what a step returns."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from devices import place
from samples import normal
from steps import same_bits

import fastnn as fn


def test_results_keep_their_structure():
    def step(x):
        return {"a": (x, [x + 1, None]), "b": {}, "c": x * 2, 3: (x + 1,)}

    compiled = fn.compile(step)
    for i in range(4):
        x = fn.full((2,), float(i))
        result = compiled(x)
        assert list(result) == ["a", "b", "c", 3]
        assert type(result["a"]) is tuple
        assert type(result["a"][1]) is list
        assert result["a"][1][1] is None
        assert result["b"] == {}
        assert result["c"].cpu().numpy().tolist() == [2 * i, 2 * i]
        assert result[3][0].cpu().numpy().tolist() == [i + 1, i + 1]


def test_named_tuples_are_kept():
    step = fn.compile(lambda x: x.max(1))
    for i in range(3):
        result = step(place(normal(4, 5, seed=i)))
        assert result.indices.cpu().numpy().tolist() == normal(4, 5, seed=i).argmax(1).tolist()


def test_a_step_may_return_nothing():
    seen = fn.zeros(1)

    @fn.compile
    def step(x):
        seen.add_(x)

    assert [step(fn.ones(1)) for _ in range(4)] == [None] * 4
    assert seen.item() == 4


def test_results_are_new_tensors_off_the_tape():
    w = fn.ones(3, requires_grad=True)
    step = fn.compile(lambda x: (w * x).sum())
    results = [step(fn.full((3,), float(i))) for i in range(5)]
    assert [r.item() for r in results] == [0, 3, 6, 9, 12]
    assert not any(r.requires_grad for r in results)


@pytest.mark.parametrize(
    "body",
    [
        lambda x, w: (x, x[1:], x.T),
        lambda x, w: (w, w[0]),
        lambda x, w: [(y := x * w), y, y[1:], y.reshape(-1)],
        lambda x, w: (fn.zeros(3), fn.full((2,), 3.0), fn.ones(2).add_(1)),
        lambda x, w: (fn.zeros((0, 3)), x.sum(), x > 0, x.argmax(1), x.to(fn.float32)),
    ],
    ids=["argument", "outside tensor", "views", "constants", "dtypes"],
)
def test_results(body: Callable):
    def train(compile):
        w = place(normal(3, 3, seed=9))
        step = compile(lambda x: body(x, w))
        return [step(place(normal(3, 3, seed=i))) for i in range(4)]

    same_bits(train, recordings=1)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: (x * 2, fn.arange(3)),
        lambda x: x * fn.arange(3).add_(1),
        lambda x: x[fn.arange(2)] + fn.arange(3, dtype=fn.float32)[:2],
    ],
    ids=["returned", "changed", "read"],
)
def test_numbers_counted_in_the_step(body: Callable):
    def train(compile):
        step = compile(body)
        return [step(fn.full((3,), float(i))) for i in range(4)]

    same_bits(train, recordings=1)
