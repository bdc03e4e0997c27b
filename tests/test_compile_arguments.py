"""fn.compile: the arguments of a step, in every layout and dtype, and the ones it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import handed, place
from samples import normal
from steps import examples, mixed_net, mlp, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F


def test_new_shapes_record_anew_and_old_plans_stay():
    def train(compile):
        model = mlp()
        step = compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
        losses = [step(*examples(1, n, 12)[0]) for n in (8, 5, 8, 8, 1, 5, 8, 1)]
        return losses, model.state_dict()

    same_bits(train, recordings=3)


ARGUMENTS: dict[str, Callable] = {
    "arrays": lambda x, y: (x, y),
    "tensors": lambda x, y: (place(x), place(y)),
    "both": lambda x, y: (x, place(y)),
    "transposed": lambda x, y: (x.T.copy().T, y),
    "every second": lambda x, y: (x.repeat(2, 0)[::2], y.repeat(2)[::2]),
    "backwards": lambda x, y: (x[::-1], y[::-1]),
    "columns": lambda x, y: (np.hstack([x, x])[:, 3:15], y),
    "part of a tensor": lambda x, y: (place(np.vstack([x, x]))[2:8], place(y)),
    "read-only": lambda x, y: (np.broadcast_to(x[:1], x.shape), y),
    "int32 labels": lambda x, y: (x, y.astype(np.int32)),
    "uint8 labels": lambda x, y: (x, y.astype(np.uint8)),
    "float64": lambda x, y: (x.astype(np.float64), y),
    "uint8": lambda x, y: (np.abs(50 * x).astype(np.uint8), y),
    "in turns": lambda x, y: (x if x[0, 0] > 0 else x.T.copy().T, y),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments(kind: str):
    def train(compile):
        model = mlp()
        step = compile(training_step(model, optim.SGD(model.parameters(), lr=0.1)))
        losses = [step(*ARGUMENTS[kind](x, y)) for x, y in examples(8, 6, 12)]
        return losses, model.state_dict()

    same_bits(train, recordings=2 if kind == "in turns" else 1)


def test_the_same_tensor_twice():
    def train(compile):
        step = compile(lambda a, b: (a * 2 - b, a, b))
        x, y = fn.ones(3), fn.full((3,), 5.0)
        return [step(x, x), step(x, y), step(y, x), step(y, y)]

    same_bits(train, recordings=1)


def test_arguments_that_share_memory():
    def train(compile):
        step = compile(lambda a, b: (a[2:] - b[:-2], a))
        shared, c, d = (place(normal(4, 6, seed=i)) for i in range(3))
        return [step(shared[:, :3], shared[:, 3:]), step(c[:, :3], d[:, 3:])]

    same_bits(train)


def test_an_argument_that_the_function_knows_too():
    def train(compile):
        table = place(normal(12, 3))
        step = compile(lambda x: x - table[8:10])
        return [step(table[i : i + 2]) for i in range(6)], step(fn.ones((2, 3), dtype=fn.float64))

    same_bits(train)


def test_a_parameter_as_an_argument():
    def train(compile):
        w = nn.Parameter(fn.ones(3))
        step = compile(lambda x: w.detach() * 10 + x)
        return [step(w.detach()), step(fn.zeros(3)), step(fn.zeros(3))]

    same_bits(train)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a.T,
        lambda a: np.broadcast_to(a[:1], a.shape),
    ],
    ids=["every second", "backwards", "mirrored", "transposed", "broadcast"],
)
def test_parts_of_strided_arrays(view: Callable):
    def train(compile):
        step = compile(lambda x: (x[1:] - x[:-1], x[2:, 1:].sum()))
        return [step(place(view(normal(8, 8, seed=i)))) for i in range(3)]

    same_bits(train, recordings=1)


def test_empty_arguments():
    step = fn.compile(lambda a, b: (a * 2, b.sum()))
    for _ in range(3):
        doubled, total = step(fn.ones((0, 3)), fn.ones((0, 3)))
        assert tuple(doubled.shape) == (0, 3)
        assert total.item() == 0


def test_a_step_without_arguments():
    def train(compile):
        model, (x, y) = mlp(), map(place, examples(1, 5, 12)[0])
        body = training_step(model, optim.Adam(model.parameters()))
        step = compile(lambda: body(x, y))
        return [step() for _ in range(5)], model.state_dict()

    same_bits(train)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True], ids=["first call", "later call"])
@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (1.5, TypeError, "argument 1 must be a tensor or an array; got float"),
        ([1.0], TypeError, "argument 1 must be a tensor or an array; got list"),
        (None, TypeError, "argument 1 must be a tensor or an array; got NoneType"),
        (np.ones(3, np.float16), TypeError, "float16 is not supported"),
        (fn.ones(3, requires_grad=True), ValueError, "argument 1 requires a gradient; use detach"),
    ],
    ids=["float", "list", "None", "float16", "requires_grad"],
)
def test_arguments_of_other_kinds(again: bool, argument: Any, error: type, message: str):
    step = fn.compile(lambda x, y: x + y)
    if again:
        step(fn.ones(3), fn.ones(3))
    with pytest.raises(error, match=message):
        step(fn.ones(3), argument)
    assert step(fn.ones(3), fn.ones(3))[0].item() == 2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_wrong_number_of_arguments(count: int):
    step = fn.compile(lambda x, y: x + y)
    step(fn.ones(3), fn.ones(3))
    with pytest.raises(TypeError, match="positional argument"):
        step(*[fn.ones(3)] * count)


# --- values out of range ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "dtype"),
    [(5, np.int64), (-1, np.int64), (5, np.int32), (-1, np.int32), (5, np.uint8)],
)
def test_labels_out_of_range_change_nothing(label: int, dtype: type):
    model = mixed_net()
    opt = optim.Adam(model.parameters())
    step = fn.compile(training_step(model, opt))
    batches = [(handed(x), y.astype(dtype)) for x, y in examples(4, 6, 2, 6, 6)]
    for x, y in batches:
        step(x, handed(y))
    fn.manual_seed(1)
    tensors = [*model.parameters(), *(t for t in flat_state(opt) if isinstance(t, fn.Tensor))]
    if dtype is np.int64:  # else the labels are cast first, after the forward pass as in eager mode
        tensors += model.buffers()
    before = [t.detach().cpu().numpy().copy() for t in tensors]
    counts = [state["step"] for state in opt.state.values()]
    bad = batches[0][1].copy()
    bad[3] = label
    with pytest.raises(IndexError, match=f"target {label} is out of range for 5 classes"):
        step(batches[0][0], handed(bad))
    for tensor, value in zip(tensors, before, strict=True):
        assert np.array_equal(tensor.detach().cpu().numpy(), value)
    assert [state["step"] for state in opt.state.values()] == counts
    step(batches[1][0], handed(batches[1][1]))
    assert [state["step"] for state in opt.state.values()] == [n + 1 for n in counts]


def flat_state(opt: optim.Optimizer) -> list[Any]:
    return [value for state in opt.state.values() for value in state.values()]


def test_rows_out_of_range():
    table = place(normal(4, 2))
    step = fn.compile(lambda i: table[i].sum())
    step(handed(np.array([0, 3])))
    step(handed(np.array([1, -4])))
    for bad in (4, -5):
        with pytest.raises(IndexError, match=f"index {bad} is out of range for 4 rows"):
            step(handed(np.array([0, bad])))
    assert step(handed(np.array([2, 2]))).item() == pytest.approx(2 * table[2].sum().item())


def test_probabilities_out_of_range():
    step = fn.compile(lambda x: F.binary_cross_entropy(x, x))
    step(fn.full((3,), 0.5))
    with pytest.raises(ValueError, match=r"input must be in \[0, 1\]"):
        step(fn.full((3,), 1.5))
