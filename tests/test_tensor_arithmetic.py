"""Arithmetic of tensors: dtype promotion, broadcasting, in place."""

from __future__ import annotations

import numpy as np
import pytest
from devices import place
from samples import FLOATS, NAMES, normal

import fastnn as fn

# --- dtype promotion ----------------------------------------------------------------------------

# PyTorch's result types of tensor + tensor, in the order of NAMES.
PROMOTED = """
    bool    uint8   int32   int64   float32 float64
    uint8   uint8   int32   int64   float32 float64
    int32   int32   int32   int64   float32 float64
    int64   int64   int64   int64   float32 float64
    float32 float32 float32 float32 float32 float64
    float64 float64 float64 float64 float64 float64
"""
TABLE = {
    (a, b): dtype
    for a, row in zip(NAMES, PROMOTED.split("\n")[1:-1], strict=True)
    for b, dtype in zip(NAMES, row.split(), strict=True)
}
# Two bool tensors have no arithmetic.
PAIRS = [pair for pair in TABLE if pair != ("bool", "bool")]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_promotion_of_two_tensors(a: str, b: str) -> None:
    x, y = fn.ones(2, dtype=a), fn.ones(2, dtype=b)
    for result in (x + y, x - y, x * y, fn.maximum(x, y)):
        assert result.dtype.name == TABLE[a, b]
    assert (x / y).dtype.name == (TABLE[a, b] if TABLE[a, b] in FLOATS else "float32")
    assert (x < y).dtype is fn.bool


# A number never widens a tensor of its kind: results with 1 and with 1.5.
WITH_INT = dict(zip(NAMES, ("int64", "uint8", "int32", "int64", "float32", "float64"), strict=True))
WITH_FLOAT = {name: "float64" if name == "float64" else "float32" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_promotion_with_a_number(name: str) -> None:
    x = fn.ones(2, dtype=name)
    for number, table in ((1, WITH_INT), (1.5, WITH_FLOAT)):
        assert (x + number).dtype.name == (number + x).dtype.name == table[name]
        assert (x * number).tolist() == [number] * 2
    assert (x.to(fn.float32) * np.float64(2)).dtype is fn.float32


def test_the_promotion_tables_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    for (a, b), dtype in TABLE.items():
        result = torch.ones(2, dtype=getattr(torch, a)) + torch.ones(2, dtype=getattr(torch, b))
        assert str(result.dtype) == f"torch.{dtype}", (a, b)
    for name in NAMES:
        x = torch.ones(2, dtype=getattr(torch, name))
        assert str((x + 1).dtype) == f"torch.{WITH_INT[name]}"
        assert str((x + 1.5).dtype) == f"torch.{WITH_FLOAT[name]}"


def test_a_tensor_without_dimensions_does_not_widen_one_of_its_kind() -> None:
    # As in PyTorch: fn.tensor(np.float64(2)) acts as a number does.
    assert (fn.ones(2) * fn.tensor(2.0, dtype=fn.float64)).dtype is fn.float32
    assert (fn.ones(2, dtype=fn.int32) + fn.tensor(2)).dtype is fn.int32
    assert (fn.ones(2, dtype=fn.int32) + fn.tensor(2.0)).dtype is fn.float32


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3,), ()),
        ((2, 3), (3,)),
        ((2, 3), (2, 1)),
        ((4, 1, 3), (2, 1)),
        ((1,), (5, 0)),
        ((2, 1, 3, 1), (4, 1, 5)),
    ],
)
def test_broadcasting(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = normal(*a), normal(*b, seed=1)
    for op in (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum):
        name = {"subtract": "sub", "multiply": "mul", "divide": "div"}.get(op.__name__, op.__name__)
        z = getattr(fn, name)(fn.tensor(x), fn.tensor(y))
        np.testing.assert_array_equal(z.cpu().numpy(), op(x, y))
    np.testing.assert_array_equal((fn.tensor(x) < fn.tensor(y)).cpu().numpy(), x < y)


@pytest.mark.cpu_only("NumPy's memory")
def test_arrays_and_tensors_mix() -> None:
    x, a = fn.tensor([1.0, 2.0]), np.array([3.0, 4.0], np.float32)
    for result in (x + a, a + x):
        assert isinstance(result, fn.Tensor)
        assert result.tolist() == [4, 6]
    assert (a - x).tolist() == [2, 2]
    assert (np.float32(1) - x).tolist() == [0, -1]
    assert (1 / fn.tensor([2, 4])).tolist() == [0.5, 0.25]


# --- in place -----------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/"])
def test_in_place_arithmetic_keeps_the_object_and_its_memory(symbol: str) -> None:
    a, b = normal(2, 3), normal(3, seed=1)
    x = fn.tensor(a)
    same, memory = x, x.detach()
    scope = {"x": x, "b": fn.tensor(b)}
    exec(f"x {symbol}= b", scope)
    exec(f"x {symbol}= 2", scope)
    assert scope["x"] is same
    expected = eval(f"a {symbol} b {symbol} 2" if symbol in "*/" else f"(a {symbol} b) {symbol} 2")
    np.testing.assert_array_equal(memory.cpu().numpy(), expected)


def test_in_place_on_a_view_changes_the_base() -> None:
    x = fn.zeros(3, 4)
    x[1] += 1
    x[:, 1:3] *= 5
    x.T[0] -= 2
    assert x.tolist() == [[-2, 0, 0, 0], [-1, 5, 5, 1], [-2, 0, 0, 0]]
    x.zero_()
    assert x.tolist() == [[0] * 4] * 3


def test_in_place_with_an_operand_that_overlaps() -> None:
    x = place(np.arange(5.0))
    x[1:] += x[:-1]
    assert x.tolist() == [0, 1, 3, 5, 7]
    m = place(np.arange(4.0).reshape(2, 2))
    m += m.T
    assert m.tolist() == [[0, 3], [3, 6]]
    m += m
    assert m.tolist() == [[0, 6], [6, 12]]


def test_in_place_promotes_the_operand_only() -> None:
    x = fn.zeros(2, dtype=fn.float64)
    x += fn.ones(2)
    x += fn.tensor([1, 2])
    assert x.dtype is fn.float64
    assert x.tolist() == [2, 3]
    i = fn.ones(2, dtype=fn.int32)
    i += 1
    assert i.dtype is fn.int32


def test_in_place_arithmetic_refuses_repeated_memory() -> None:
    x = fn.zeros(1)
    with pytest.raises(ValueError, match="add"):  # three results, one place
        x.expand(3).add_(fn.tensor([1.0, 2.0, 3.0]))
    assert x.tolist() == [0]
