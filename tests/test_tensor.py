"""The Tensor: factories, dtypes, views, NumPy and DLPack, the tape, random numbers, threads."""

from __future__ import annotations

import copy
import gc
import itertools
import math
import os
import pickle
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.nn import functional as F

Array = np.ndarray
NAMES = ("bool", "uint8", "int32", "int64", "float32", "float64")
FLOATS = ("float32", "float64")


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(values: Any) -> fn.Tensor:
    return fn.tensor(values, dtype=fn.float64, requires_grad=True)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """set_num_threads, undone after the test."""
    before = fn.get_num_threads()
    yield fn.set_num_threads
    fn.set_num_threads(before)


# --- factories ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1, 2.5], "float32"),
        ([], "float32"),
        (3, "int64"),
        ([[1], [2]], "int64"),
        (True, "bool"),
        ([True, False], "bool"),
        (np.float64(1.5), "float64"),
        *((np.ones(2, name), name) for name in NAMES),
        (fn.ones(2, dtype=fn.uint8), "uint8"),
    ],
)
def test_tensor_keeps_array_types_and_gives_python_numbers_pytorchs(data: Any, dtype: str) -> None:
    t = fn.tensor(data)
    assert t.dtype.name == dtype
    np.testing.assert_array_equal(t.numpy(), np.asarray(data))


@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_given_as_object_numpy_type_or_name(name: str) -> None:
    for dtype in (getattr(fn, name), np.dtype(name), name):
        assert fn.zeros(2, dtype=dtype).dtype is getattr(fn, name)
        assert fn.tensor([0, 1], dtype=dtype).numpy().dtype == name
    assert getattr(fn, name).itemsize == np.dtype(name).itemsize


def test_dtypes_are_copied_and_pickled_as_themselves() -> None:
    for name in NAMES:
        dtype = getattr(fn, name)
        assert copy.deepcopy(dtype) is dtype
        assert pickle.loads(pickle.dumps(dtype)) is dtype


@pytest.mark.parametrize("make", [fn.zeros, fn.ones, fn.empty, fn.rand, fn.randn])
def test_sizes_are_ints_a_tuple_or_a_list(make: Callable[..., fn.Tensor]) -> None:
    shapes = [make(2, 3).shape, make((2, 3)).shape, make([2, 3]).shape, make(*np.array([2, 3]))]
    assert shapes[:3] == [(2, 3)] * 3
    assert shapes[3].shape == (2, 3)
    assert make(()).shape == make().shape == ()
    assert make(0, 4).shape == (0, 4)
    assert make(2).dtype is fn.float32
    assert make(2, dtype=fn.float64).dtype is fn.float64
    assert not make(2).requires_grad
    assert make(2, requires_grad=True).requires_grad
    assert make(2, device="cpu").device == fn.device("cpu") == "cpu"


def test_factories_fill() -> None:
    np.testing.assert_array_equal(fn.zeros(2, 2).numpy(), np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(fn.ones(2, dtype=fn.int32).numpy(), np.ones(2, np.int32))
    assert fn.full((2,), 7).dtype is fn.int64
    assert fn.full((2,), 7.0).dtype is fn.float32
    assert fn.full((2,), 2**60 + 1).numpy().tolist() == [2**60 + 1] * 2
    x = fn.rand(3, 2).T
    for like, value in ((fn.zeros_like(x), 0), (fn.ones_like(x), 1)):
        np.testing.assert_array_equal(like.numpy(), np.full((2, 3), value, np.float32))


@pytest.mark.parametrize(
    "bounds", [(5,), (2, 7), (7, 2, -2), (0, 1, 0.25), (0.5, 3), (0,), (3, 3), (-3, 8, 4)]
)
def test_arange_counts_as_numpy_does(bounds: tuple[float, ...]) -> None:
    y = fn.arange(*bounds)
    np.testing.assert_array_equal(y.numpy(), np.arange(*bounds))
    assert y.dtype is (fn.float32 if any(isinstance(b, float) for b in bounds) else fn.int64)


def test_arange_is_exact_beyond_two_to_the_53() -> None:
    assert fn.arange(2**60, 2**60 + 3).tolist() == [2**60, 2**60 + 1, 2**60 + 2]


def test_tensor_copies_and_constructor_shares() -> None:
    a = np.zeros(3, np.float32)
    copied, shared = fn.tensor(a), fn.Tensor(a)
    a[0] = 1
    assert copied.tolist() == [0, 0, 0]
    assert shared.tolist() == [1, 0, 0]
    t = fn.tensor(copied)
    copied[1] = 5
    assert t.tolist() == [0, 0, 0]


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
        np.testing.assert_array_equal(z.numpy(), op(x, y))
    np.testing.assert_array_equal((fn.tensor(x) < fn.tensor(y)).numpy(), x < y)


def test_arrays_and_tensors_mix() -> None:
    x, a = fn.tensor([1.0, 2.0]), np.array([3.0, 4.0], np.float32)
    for result in (x + a, a + x):
        assert isinstance(result, fn.Tensor)
        assert result.tolist() == [4, 6]
    assert (a - x).tolist() == [2, 2]
    assert (np.float32(1) - x).tolist() == [0, -1]
    assert (1 / fn.tensor([2, 4])).tolist() == [0.5, 0.25]


# --- views and NumPy ----------------------------------------------------------------------------

LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "plain": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1],
    "stepped": lambda a: a[:, ::2],
    "broadcast": lambda a: np.lib.stride_tricks.as_strided(a, (3, *a.shape), (0, *a.strides)),
    "scalar": lambda a: a[1, 1, ...],
    "empty": lambda a: a[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_from_numpy_shares_memory_both_ways(layout: str, name: str) -> None:
    a = LAYOUTS[layout](np.arange(24).reshape(4, 6).astype(name))
    t = fn.from_numpy(a)
    assert t.dtype.name == name
    assert t.shape == a.shape
    assert t.data_ptr() == a.__array_interface__["data"][0]
    back = t.numpy()
    assert back.dtype == a.dtype
    assert back.strides == a.strides or a.size <= 1
    np.testing.assert_array_equal(back, a)
    np.testing.assert_array_equal(t.clone().numpy(), a)
    np.testing.assert_array_equal((t.to(fn.float64) * 2).numpy(), a.astype(float) * 2)
    if a.size:
        a[...] = 1
        assert (back == 1).all()
        t.fill_(0)
        assert (a == 0).all()


def misaligned(dtype: str = "float32", n: int = 4) -> Array:
    a = np.zeros(n * np.dtype(dtype).itemsize + 1, np.uint8)[1:].view(dtype)
    a[...] = np.arange(n)
    assert not a.flags.aligned
    return a


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_memory_that_no_kernel_reads_is_refused_or_copied(dtype: str) -> None:
    swapped = np.arange(4).astype(np.dtype(dtype).newbyteorder())
    record = np.zeros(4, [("x", dtype), ("pad", "u1")])["x"]  # strides of 5 or 9 bytes
    record[...] = np.arange(4)
    for array in (misaligned(dtype), swapped, record):
        with pytest.raises(ValueError, match=r"\[from_numpy\] cannot share"):
            fn.from_numpy(array)
        for t in (fn.tensor(array), fn.Tensor(array)):
            assert t.dtype.name == dtype
            assert t.tolist() == [0, 1, 2, 3]


def test_memory_outlives_its_owner() -> None:
    array = np.full(1000, 3.0)
    kept = weakref.ref(array)
    t = fn.from_numpy(array)
    del array
    gc.collect()
    assert kept() is not None
    back = t[10:].numpy()
    del t
    gc.collect()
    assert (back == 3).all()
    del back
    gc.collect()
    assert kept() is None


def test_asarray_shares_and_array_converts() -> None:
    t = fn.arange(4)
    assert np.shares_memory(np.asarray(t), t.numpy())
    assert not np.shares_memory(np.array(t, copy=True), t.numpy())
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    assert np.asarray(t[1:3]).tolist() == [1, 2]


def test_numpy_of_a_tensor_that_requires_a_gradient_is_refused() -> None:
    x = fn.ones(2, requires_grad=True)
    for f in (x.numpy, lambda: np.asarray(x), x.__dlpack__):
        with pytest.raises(RuntimeError, match="detach"):
            f()
    assert np.shares_memory(x.detach().numpy(), x.data.numpy())


def test_views_share_memory_and_reshape_copies_only_where_it_must() -> None:
    x = fn.from_numpy(np.arange(24.0).reshape(2, 3, 4))
    base = x.numpy()
    views = [
        x.reshape(6, 4),
        x.view(2, -1),
        x.view_as(fn.empty(4, 6)),
        x.flatten(1),
        x.transpose(0, 2),
        x.permute(1, 2, 0),
        x.unsqueeze(0),
        x.unsqueeze(-1).squeeze(-1),
        x[1],
        x[:, 1:, ::2],
        x.transpose(0, 1).reshape(3, 2, 2, 2),
        x.expand(5, -1, 3, 4),
        x.detach(),
        x.data,
    ]
    for i, view in enumerate(views):
        assert np.shares_memory(view.numpy(), base), i
    views[0][0, 0] = -1
    assert all(0 in v.shape or base[0, 0, 0] == -1 for v in views)
    assert not np.shares_memory(x.transpose(0, 2).reshape(24).numpy(), base)
    assert not np.shares_memory(x.clone().numpy(), base)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_view_of_permuted_memory_is_a_view_or_refused(order: tuple[int, ...]) -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    p, t = a.transpose(order), fn.from_numpy(a).permute(order)
    for shape in ((24,), (6, 4), (2, 12), (4, 3, 2), (2, 3, 4), (1, 2, 1, 12), (2, 2, 3, 2)):
        np.testing.assert_array_equal(t.reshape(shape).numpy(), p.reshape(shape))
        try:
            view = t.view(shape)
        except ValueError:
            assert not np.shares_memory(p.reshape(shape), a)  # NumPy had to copy as well
        else:
            assert np.shares_memory(view.numpy(), a)
            np.testing.assert_array_equal(view.numpy(), p.reshape(shape))


def test_channels_last() -> None:
    x = fn.from_numpy(normal(2, 3, 4, 5))
    y = x.contiguous(memory_format=fn.channels_last)
    assert y.stride() == (60, 1, 15, 3)
    assert x.is_contiguous()
    assert not x.is_contiguous(memory_format=fn.channels_last)
    assert y.is_contiguous(memory_format=fn.channels_last)
    assert not y.is_contiguous()
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    z = y.contiguous(memory_format=fn.contiguous_format)
    assert z.stride() == (60, 20, 5, 1)
    np.testing.assert_array_equal(z.numpy(), x.numpy())
    # What has the layout already is not copied; elementwise results keep it.
    assert np.shares_memory(x.contiguous().numpy(), x.numpy())
    assert np.shares_memory(y.contiguous(memory_format=fn.channels_last).numpy(), y.numpy())
    assert fn.relu(y + 1).stride() == y.stride()
    one = fn.zeros(2, 1, 4, 5)  # with one channel both layouts are the same bytes
    assert one.is_contiguous(memory_format=fn.channels_last)
    w = leaf(normal(2, 3, 4, 5))
    assert fn.gradcheck(lambda t: t.contiguous(memory_format=fn.channels_last) * t, w)


# --- DLPack -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_dlpack_shares_memory_with_numpy(name: str) -> None:
    t = fn.tensor(np.arange(6).reshape(2, 3), dtype=name)
    for source in (t, t.T, t[1], t[:, ::2]):
        a = np.from_dlpack(source)
        assert a.dtype == name
        assert np.shares_memory(a, t.numpy())
        np.testing.assert_array_equal(a, source.numpy())
    array = np.arange(6).reshape(2, 3).astype(name)
    for source in (array, array.T, array[::-1], array[1, 1:]):
        t = fn.from_dlpack(source)
        assert t.dtype.name == name
        assert np.shares_memory(t.numpy(), array)
        np.testing.assert_array_equal(t.numpy(), source)


@pytest.mark.parametrize("name", NAMES)
def test_dlpack_shares_memory_with_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
    ours = fn.from_dlpack(theirs.T)
    assert ours.dtype.name == name
    assert ours.data_ptr() == theirs.data_ptr()
    np.testing.assert_array_equal(ours.numpy(), theirs.T.numpy())
    back = torch.from_dlpack(ours[1:])
    assert back.dtype == theirs.dtype
    back.fill_(0)
    assert ours[1:].tolist() == [[0, 0]] * 2
    assert theirs.T[1:].tolist() == [[0, 0]] * 2


def test_dlpack_memory_outlives_its_owner() -> None:
    array = np.full(1000, 3.0)
    kept = weakref.ref(array)
    t = fn.from_dlpack(array)
    del array
    a = np.from_dlpack(t)
    del t
    gc.collect()
    assert (a == 3).all()
    del a
    gc.collect()
    assert kept() is None
    fn.ones(3).__dlpack__()  # a capsule that nobody takes frees itself


# --- indexing -----------------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "int": 1,
    "negative": -1,
    "numpy_int": np.int64(2),
    "slice": slice(1, 3),
    "all": slice(None),
    "step": slice(None, None, 2),
    "beyond": slice(2, 100),
    "from_the_end": slice(-2, None),
    "empty": slice(3, 1),
    "int_int": (1, 2),
    "int_slice": (0, slice(1, None)),
    "slice_int": (slice(None), -1),
    "slice_slice_int": (slice(0, 4, 3), slice(1, 3), 0),
}


@pytest.mark.parametrize("key", KEYS)
def test_getitem_and_setitem_by_ints_and_slices(key: str) -> None:
    k, a = KEYS[key], np.arange(40.0).reshape(4, 5, 2)
    t = fn.from_numpy(a.copy())
    np.testing.assert_array_equal(t[k].numpy(), a[k])
    assert not a[k].size or np.shares_memory(t[k].numpy(), t.numpy())
    t[k] = -1
    a[k] = -1
    np.testing.assert_array_equal(t.numpy(), a)
    values = normal(*a[k].shape)
    t[k] = fn.tensor(values)
    a[k] = values
    np.testing.assert_array_equal(t.numpy(), a)
    t[k] = values * 2  # an array
    np.testing.assert_array_equal(t[k].numpy(), values * 2)


@pytest.mark.parametrize(
    "index", [[0, 3, 1], [-1, -4], [2, 2, 2], [[0, 1], [2, 3]], []], ids=lambda i: str(i)
)
def test_getitem_by_integer_arrays(index: list[Any]) -> None:
    a = normal(4, 3)
    for dtype in (np.int64, np.int32):
        i = np.array(index, dtype)
        np.testing.assert_array_equal(fn.tensor(a)[i].numpy(), a[i])
        np.testing.assert_array_equal(fn.tensor(a)[fn.tensor(i)].numpy(), a[i])
        np.testing.assert_array_equal(fn.tensor(a).T[fn.tensor(i % 3)].numpy(), a.T[i % 3])
        np.testing.assert_array_equal(fn.tensor(a).index_select(0, fn.tensor(i)).numpy(), a[i])


def test_getitem_by_a_list() -> None:
    assert fn.arange(5)[[3, -1]].tolist() == [3, 4]


def test_setitem_reads_its_source_before_it_writes() -> None:
    a = np.arange(6.0)
    t = fn.from_numpy(a.copy())
    t[1:] = t[:-1]
    assert t.tolist() == [0, 0, 1, 2, 3, 4]
    t = fn.from_numpy(a.copy())
    t.copy_(fn.from_numpy(a)[::1])
    assert t.tolist() == a.tolist()
    m = fn.from_numpy(np.arange(9.0).reshape(3, 3))
    m.copy_(m.T)
    np.testing.assert_array_equal(m.numpy(), np.arange(9.0).reshape(3, 3).T)


def test_setitem_broadcasts_and_casts_up_only() -> None:
    t = fn.zeros(2, 3)
    t[:] = fn.tensor([1, 2, 3])
    assert t.tolist() == [[1, 2, 3]] * 2
    t[0] = True
    assert t[0].tolist() == [1, 1, 1]
    big = fn.zeros(1, dtype=fn.int64)
    big[0] = 2**60 + 1
    assert big.item() == 2**60 + 1


def test_length_iteration_and_numbers() -> None:
    t = fn.arange(6).reshape(3, 2)
    assert len(t) == 3
    assert [row.tolist() for row in t] == [[0, 1], [2, 3], [4, 5]]
    assert t.size() == (3, 2)
    assert t.size(-1) == 2
    assert t.dim() == t.ndim == 2
    assert t.numel() == 6
    assert int(t[1, 1]) == 3
    assert float(t[1, 1]) == 3.0
    assert [10, 20, 30][t[0, 1]] == 20
    assert bool(t[0, 1])
    assert not bool(t[0, 0])
    for name in NAMES:
        item = fn.ones((1, 1), dtype=name).item()
        assert type(item) is {"b": bool, "u": int, "i": int, "f": float}[np.dtype(name).kind]
        assert item == 1


def test_repr_says_what_the_tensor_is() -> None:
    assert repr(fn.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert "dtype=fastnn.float64" in repr(fn.zeros(1, dtype=fn.float64))
    assert "requires_grad=True" in repr(fn.zeros(1, requires_grad=True))


# --- in place -----------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/"])
def test_in_place_arithmetic_keeps_the_object_and_its_memory(symbol: str) -> None:
    a, b = normal(2, 3), normal(3, seed=1)
    x = fn.tensor(a)
    same, memory = x, x.numpy()
    scope = {"x": x, "b": fn.tensor(b)}
    exec(f"x {symbol}= b", scope)
    exec(f"x {symbol}= 2", scope)
    assert scope["x"] is same
    expected = eval(f"a {symbol} b {symbol} 2" if symbol in "*/" else f"(a {symbol} b) {symbol} 2")
    np.testing.assert_array_equal(memory, expected)


def test_in_place_on_a_view_changes_the_base() -> None:
    x = fn.zeros(3, 4)
    x[1] += 1
    x[:, 1:3] *= 5
    x.T[0] -= 2
    assert x.tolist() == [[-2, 0, 0, 0], [-1, 5, 5, 1], [-2, 0, 0, 0]]
    x.zero_()
    assert x.tolist() == [[0] * 4] * 3


def test_in_place_with_an_operand_that_overlaps() -> None:
    x = fn.from_numpy(np.arange(5.0))
    x[1:] += x[:-1]
    assert x.tolist() == [0, 1, 3, 5, 7]
    m = fn.from_numpy(np.arange(4.0).reshape(2, 2))
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


# --- reductions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [None, 0, 1, -1, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_sum_and_mean_over_axes(dim: Any, keepdim: bool) -> None:
    a = np.random.default_rng(0).integers(-9, 9, (4, 2, 8)).astype(np.float64)  # sums are exact
    for x in (fn.from_numpy(a), fn.from_numpy(np.asfortranarray(a))):
        total, mean = x.sum(dim, keepdim), x.mean(dim=dim, keepdim=keepdim)
        np.testing.assert_array_equal(total.numpy(), a.sum(dim, keepdims=keepdim))
        np.testing.assert_allclose(mean.numpy(), a.mean(dim, keepdims=keepdim), rtol=1e-15)


def test_sum_of_integers_and_bools_is_int64() -> None:
    assert fn.tensor([True, True]).sum().dtype is fn.int64
    assert fn.tensor([200, 100], dtype=fn.uint8).sum().item() == 300
    assert fn.zeros(0).sum().item() == 0
    assert fn.zeros(0, 3).sum(0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["uint8", "int32", "int64", "float32", "float64"])
def test_extrema_go_to_the_first_of_equals(name: str) -> None:
    a = np.random.default_rng(0).integers(0, 3, (5, 70)).astype(name)
    for x, ref in ((fn.from_numpy(a), a), (fn.from_numpy(np.asfortranarray(a)), a)):
        for ours, best in (("max", np.argmax), ("min", np.argmin)):
            assert getattr(x, "arg" + ours)().item() == best(ref)
            assert getattr(x, ours)().item() == getattr(ref, ours)()
            for dim in (0, 1):
                values, indices = getattr(x, ours)(dim)
                assert indices.dtype is fn.int64
                np.testing.assert_array_equal(indices.numpy(), best(ref, dim))
                np.testing.assert_array_equal(values.numpy(), getattr(ref, ours)(dim))
                kept = getattr(x, ours)(dim=dim, keepdim=True)
                assert (
                    kept.values.shape == kept.indices.shape == best(ref, dim, keepdims=True).shape
                )


@pytest.mark.parametrize("at", [0, 1, 50, 69])
def test_extrema_propagate_the_first_nan(at: int) -> None:
    a = normal(70).astype(np.float32)
    a[at:] = np.nan
    for name in ("max", "min"):
        assert math.isnan(getattr(fn.tensor(a), name)().item())
        assert getattr(fn.tensor(a), "arg" + name)().item() == at


def test_gradient_of_max_goes_to_the_first_of_equals() -> None:
    x = leaf([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]


# --- the tape -----------------------------------------------------------------------------------


def test_gradients_accumulate() -> None:
    x = leaf([1.0, 2.0, 3.0])
    for n in (1, 2, 3):
        y = x.pow(2).sum()
        y.backward()
        np.testing.assert_array_equal(x.grad.numpy(), n * 2 * x.detach().numpy())
    x.grad = None
    x.pow(2).sum().backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_two_backwards_of_a_rebuilt_square_add_up() -> None:
    x = fn.tensor(3.0, requires_grad=True)
    y = x.pow(2)
    y.backward()
    y = x.pow(2)
    y.backward()
    assert x.grad.item() == 12


def test_retained_graph_runs_twice_and_a_used_one_does_not() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()
    assert x.grad.tolist() == [4, 8]


def test_non_scalar_backward_needs_a_gradient_of_its_shape() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    with pytest.raises(RuntimeError, match=r"gradient must be given.*\(2,\)"):
        y.backward()
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        y.backward(fn.ones(3, dtype=fn.float64))
    with pytest.raises(TypeError, match=r"float64.*float32"):
        y.backward(fn.ones(2))
    seed = fn.tensor([1.0, -1.0], dtype=fn.float64)
    y.backward(seed)
    assert x.grad.tolist() == [3, -3]
    assert seed.tolist() == [1, -1]


def test_the_given_gradient_is_not_adopted() -> None:
    x, seed = leaf([1.0, 2.0]), fn.ones(2, dtype=fn.float64)
    for _ in range(2):
        x.reshape(2).backward(seed)
    assert seed.tolist() == [1, 1]
    assert x.grad.tolist() == [2, 2]
    a, b = leaf([1.0]), leaf([2.0])
    (a + b).sum().backward()
    a.grad.fill_(7)
    assert b.grad.tolist() == [1]  # two leaves never share a gradient


def test_a_leaf_used_twice_and_diamonds() -> None:
    x = leaf([2.0, 3.0])
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [5, 7]
    x.grad = None
    a = x * 2
    b, c = a.exp(), a * a
    (b * c + a).sum().backward()
    v = x.detach().numpy()
    expected = 2 * (np.exp(2 * v) * (2 * v) ** 2 + np.exp(2 * v) * 4 * v + 1)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-14)


def test_a_ladder_of_diamonds_takes_linear_time() -> None:
    x = leaf([1.0])
    y = x
    for _ in range(60):  # 2**60 paths
        y = y * 0.5 + y * 0.5
    y.sum().backward()
    assert x.grad.tolist() == [1]


def test_gradients_through_views_and_indices() -> None:
    i = fn.tensor([0, 2, 2, -1])
    x = leaf(normal(3, 4))
    assert fn.gradcheck(lambda t: t.T[1:, ::2].reshape(-1) ** 2, x)
    assert fn.gradcheck(lambda t: t[i] * t[1], x)
    assert fn.gradcheck(lambda t: t.unsqueeze(0).expand(2, 3, 4).permute(2, 0, 1).flatten(1), x)
    assert fn.gradcheck(lambda a, b: a * b / (b * b + 1), [x, leaf(normal(2, 1, 4, seed=1))])


def test_values_that_backward_needs_must_not_change() -> None:
    for change in (
        lambda t: t.add_(1),
        lambda t: t.fill_(0),
        lambda t: t.__setitem__(0, 9.0),
        lambda t: t.detach()[1:].mul_(2),
        lambda t: t.copy_(fn.zeros(3, dtype=fn.float64)),
        lambda t: t.uniform_(),
    ):
        x, c = leaf([1.0, 2.0, 3.0]), fn.tensor([1.0, 2.0, 3.0], dtype=fn.float64)
        y = (x * c).sum()
        change(c)
        with pytest.raises(RuntimeError, match=r"\[mul\].*changed in place"):
            y.backward()
        assert x.grad is None
    x, c = leaf([1.0]), fn.ones(1, dtype=fn.float64)
    y = (x + c).sum()  # a sum reads neither of its terms
    c += 1
    y.backward()
    assert x.grad.tolist() == [1]


def test_in_place_on_what_requires_a_gradient_needs_no_grad() -> None:
    x = leaf([1.0, 2.0])
    for change in (lambda: x.__iadd__(1), lambda: x.__setitem__(0, 0.0), lambda: x.zero_()):
        with pytest.raises(RuntimeError, match=r"no_grad"):
            change()
    assert x.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match=r"no_grad"):
        fn.zeros(2, dtype=fn.float64).add_(x)
    with fn.no_grad():
        x -= 1
    assert x.tolist() == [0, 1]
    assert x.requires_grad
    assert x.is_leaf


def test_no_grad_and_enable_grad_as_context_and_decorator() -> None:
    x = leaf([1.0])

    @fn.no_grad()
    def quiet(t: fn.Tensor) -> fn.Tensor:
        """Doubles."""
        return t * 2

    assert quiet.__doc__ == "Doubles."
    with fn.no_grad():
        assert not fn.is_grad_enabled()
        assert not (x * 2).requires_grad
        with fn.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert not quiet(x).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), fn.no_grad():
        raise KeyError
    assert fn.is_grad_enabled()
    guard = fn.no_grad()
    with guard, guard:
        pass
    assert fn.is_grad_enabled()


def test_no_grad_holds_for_its_own_thread_only() -> None:
    seen = []
    with fn.no_grad():
        other = threading.Thread(target=lambda: seen.append(fn.is_grad_enabled()))
        other.start()
        other.join()
    assert seen == [True]


def test_detach_and_requires_grad() -> None:
    x = leaf([2.0])
    y = x * 3
    d = y.detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert not y.is_leaf
    (d * x).sum().backward()
    assert x.grad.tolist() == [6]
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad = False
    x.requires_grad_(False)
    assert not (x * 2).requires_grad
    assert fn.ones(1).requires_grad_().requires_grad
    with pytest.raises(RuntimeError, match=r"\[backward\].*require"):
        d.backward()


def test_casts_carry_gradients() -> None:
    x = fn.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype is fn.float32
    assert x.grad.tolist() == [3, 3]
    assert not x.long().requires_grad


def test_grad_is_checked_and_replaceable() -> None:
    x = leaf([1.0, 2.0])
    x.grad = fn.ones(2, dtype=fn.float64)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(ValueError, match=r"\[grad\].*\(2,\).*\(3,\)"):
        x.grad = fn.ones(3, dtype=fn.float64)
    with pytest.raises(TypeError, match=r"\[grad\].*float64.*float32"):
        x.grad = fn.ones(2)
    assert x.grad.tolist() == [3, 3]


def test_a_chain_of_100_000_operations() -> None:
    x = fn.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 100_001
    del y  # frees used nodes
    y = x
    for _ in range(100_000):
        y = y * 1.0
    del y  # and unused ones: recursion would overflow the stack
    gc.collect()
    assert x.item() == 1


def test_the_tape_frees_what_it_saved() -> None:
    array = np.ones(10)
    kept = weakref.ref(array)
    x, c = leaf(np.ones(10)), fn.from_numpy(array)
    y = (x * c).sum()
    del array, c
    gc.collect()
    assert kept() is not None
    y.backward()
    gc.collect()
    assert kept() is None  # y is alive, its backward has run


def test_a_leaf_that_is_gone_takes_no_gradient() -> None:
    x, z = leaf([1.0]), leaf([2.0])
    y = (x * 2 + z).sum()
    del x
    y.backward()
    assert z.grad.tolist() == [1]


def test_gradients_match_pytorch_on_a_mixed_expression() -> None:
    torch = pytest.importorskip("torch")
    a, b = normal(3, 4), normal(4, seed=1)

    def f(lib: Any, x: Any, w: Any) -> Any:
        h = lib.tanh(x @ w.reshape(4, 1)) * lib.exp(-x).mean(1, keepdim=True)
        return (h * h.detach() + (x**2).sum((0, 1)) / (w.abs().sum() + 1)).sum()

    ours, theirs = [leaf(a), leaf(b)], [torch.tensor(v, requires_grad=True) for v in (a, b)]
    for _ in range(2):
        f(fn, *ours).backward()
        f(torch, *theirs).backward()
    for o, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(o.grad.numpy(), t.grad.numpy(), rtol=1e-12, atol=1e-12)


# --- gradcheck ----------------------------------------------------------------------------------


def test_gradcheck_passes_right_gradients_and_leaves_inputs_alone() -> None:
    x, w = leaf(normal(3, 2)), leaf(normal(2, seed=1))
    x.grad = fn.ones(3, 2, dtype=fn.float64)
    before = x.detach().numpy().copy()
    assert fn.gradcheck(lambda a, b: (fn.sigmoid(a * b), a.exp()), [x, w])
    assert fn.gradcheck(fn.tanh, x)
    np.testing.assert_array_equal(x.detach().numpy(), before)
    assert (x.grad.numpy() == 1).all()
    assert w.grad is None
    constant = fn.ones(2, dtype=fn.float64)
    assert fn.gradcheck(lambda a, c: a * c, [x, constant])
    assert fn.gradcheck(lambda a: a[:2], x)  # a gradient of zeros is one too


WRONG: dict[str, Callable[[fn.Tensor], fn.Tensor]] = {
    "half": lambda x: x * x.detach(),
    "missing": lambda x: x.detach() ** 2 + 0 * x,
    "sign": lambda x: 2 * x.detach() - x,
    # Columns of the Jacobian sum to the right value: only a random cotangent tells.
    "right_in_the_sum": lambda x: x + (x - x.mean()).detach(),
    "small": lambda x: x + 0.01 * x.detach(),
    "nan": lambda x: x * math.nan,
    "nan_in_one": lambda x: x * fn.tensor([1.0, math.nan, 1.0], dtype=fn.float64),
    "infinite": lambda x: x / 0,
}


@pytest.mark.parametrize("name", WRONG)
def test_gradcheck_fails_wrong_gradients_and_nan(name: str) -> None:
    x = leaf([0.5, -1.5, 2.0])
    with np.errstate(invalid="ignore"):
        with pytest.raises(ValueError, match=r"\[gradcheck\] input 0 at"):
            fn.gradcheck(WRONG[name], x)
        assert fn.gradcheck(WRONG[name], x, raise_exception=False) is False
    assert x.tolist() == [0.5, -1.5, 2.0]


def test_gradcheck_refuses_what_it_cannot_check() -> None:
    with pytest.raises(TypeError, match="input 0 must be float64"):
        fn.gradcheck(fn.exp, fn.ones(2, requires_grad=True))
    with pytest.raises(ValueError, match="at least one input"):
        fn.gradcheck(fn.exp, fn.ones(2, dtype=fn.float64))


# --- random numbers -----------------------------------------------------------------------------


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, ...]:
    """Philox4x32-10 as in Salmon et al., SC 2011."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = b >> 32 ^ c1 ^ k0, b % 2**32, a >> 32 ^ c3 ^ k1, a % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def test_uniform_numbers_are_philox_words() -> None:
    # Known answers of the Random123 library, first of this file's philox, then of fastnn's.
    ones, pi = (2**32 - 1,) * 4, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    zero = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox((0, 0), (0, 0, 0, 0)) == zero
    assert philox(ones[:2], ones) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi_answer = (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)
    assert philox((0xA4093822, 0x299F31D0), pi) == pi_answer
    fn.manual_seed(0)
    assert (fn.rand(4).numpy() * 2**24).tolist() == [w >> 8 for w in zero]
    for seed in (1, 2**32 + 5, 2**64 - 1):
        fn.manual_seed(seed)
        assert fn.initial_seed() == seed
        got = np.concatenate([fn.rand(6).numpy(), fn.rand(5).numpy()]) * 2**24
        blocks = [philox((seed % 2**32, seed >> 32), (i, 0, 0, 0)) for i in range(4)]
        words = [*blocks[0], *blocks[1][:2], *blocks[2], blocks[3][0]]  # a call starts a block
        assert got.tolist() == [w >> 8 for w in words]


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_seed_gives_one_sequence_for_any_number_of_threads(
    dtype: str, threads: Callable[[int], None]
) -> None:
    def draw() -> list[bytes]:
        fn.manual_seed(7)
        made = [fn.rand(3, 10_007, dtype=dtype), fn.randn(5, 10_001, dtype=dtype)]
        made.append(F.dropout(fn.ones(40_003, dtype=dtype), 0.3))
        return [t.numpy().tobytes() for t in made]

    first = draw()
    for n in (1, 2, 3):
        threads(n)
        assert draw() == first
    fn.manual_seed(8)
    assert fn.rand(3, 10_007, dtype=dtype).numpy().tobytes() != first[0]


def test_random_numbers_fill_row_major_whatever_the_layout() -> None:
    fn.manual_seed(1)
    plain = fn.empty(6, 5).uniform_().numpy()
    fn.manual_seed(1)
    np.testing.assert_array_equal(fn.empty(5, 6).T.uniform_().numpy(), plain)


def test_uniform_and_normal_moments() -> None:
    n = 400_000
    fn.manual_seed(3)
    u = fn.empty(n, dtype=fn.float64).uniform_(-2, 6).numpy()
    assert u.min() >= -2
    assert u.max() < 6
    # Five standard errors each.
    assert abs(u.mean() - 2) < 5 * (8 / math.sqrt(12)) / math.sqrt(n)
    assert abs(u.var() / (64 / 12) - 1) < 5 * math.sqrt(0.8 / n)
    cells = np.bincount(((u + 2) * 2).astype(int), minlength=16)
    chi = ((cells - n / 16) ** 2 / (n / 16)).sum()
    assert chi < 15 + 5 * math.sqrt(30)
    g = fn.empty(n, dtype=fn.float64).normal_(1, 3).numpy()
    z = (g - 1) / 3
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert abs((z[::2] * z[1::2]).mean()) < 5 / math.sqrt(n / 2)  # a pair shares its words
    assert abs((z[1:] * z[:-1]).mean()) < 5 / math.sqrt(n)
    same = fn.full((3,), 0.0).uniform_(2, 2).numpy()
    assert (same == 2).all()


# --- threads ------------------------------------------------------------------------------------

X, W = normal(4, 9, 17, 13).astype(np.float32), normal(10, 9, 3, 3, seed=1).astype(np.float32)
A, B = normal(201, 130).astype(np.float32), normal(130, 155, seed=1).astype(np.float32)
S = normal(17 * 17_649).astype(np.float32)


def work() -> list[bytes]:
    """Bits of results and gradients of kernels that use the thread pool."""
    a, b, x, w, s = (fn.tensor(v, requires_grad=True) for v in (A, B, X, W, S))
    bias = fn.ones(10, requires_grad=True)
    results = [a @ b, F.conv2d(x, w, bias, padding=1), s.sum(), s.reshape(17, -1)[:5].sum(0)]
    for y in results:
        y.backward(fn.from_numpy(normal(*y.shape, seed=2).astype(np.float32)))
    tensors = [*(y.detach() for y in results), *(t.grad for t in (a, b, x, w, bias, s))]
    return [t.numpy().tobytes() for t in tensors]


def test_results_are_the_same_bits_for_any_number_of_threads(
    threads: Callable[[int], None],
) -> None:
    threads(1)
    expected = work()
    reference = (A.astype(float) @ B).astype(np.float32)
    np.testing.assert_allclose(np.frombuffer(expected[0], np.float32), reference.ravel(), atol=1e-4)
    for n in (2, 3, 8, 1):
        threads(n)
        assert fn.get_num_threads() == n
        for _ in range(3):
            assert work() == expected, f"{n} threads"


def test_several_python_threads_at_once(threads: Callable[[int], None]) -> None:
    threads(2)
    expected = work()
    failures: list[Any] = []
    gate = threading.Barrier(4)

    def run() -> None:
        try:
            gate.wait(30)
            for _ in range(10):
                if work() != expected:
                    failures.append("wrong bits")
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=run, daemon=True) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join(60)
    assert not any(t.is_alive() for t in workers)
    assert failures == []


def run_in_fork(child: Callable[[], bool], seconds: float = 20) -> None:
    """Runs child in a forked process; fails when it returns False, dies or hangs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the point here
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if child() else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail(f"the forked process did not end within {seconds} s")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kernels_work_in_a_forked_child(threads: Callable[[int], None]) -> None:
    threads(3)
    expected = work()  # the pool's threads exist here, and not in the child
    run_in_fork(lambda: work() == expected)
    assert work() == expected

    def change_threads() -> bool:
        fn.set_num_threads(2)
        return work() == expected

    run_in_fork(change_threads)
    fn.set_num_threads(2)
    assert work() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_another_thread_computes(threads: Callable[[int], None]) -> None:
    threads(2)
    expected = work()
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            work()

    busy = threading.Thread(target=keep_busy, daemon=True)
    busy.start()
    try:
        for _ in range(5):
            run_in_fork(lambda: work() == expected)
    finally:
        stop.set()
        busy.join(30)
    assert not busy.is_alive()


# --- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("name", NAMES)
def test_pickle_keeps_values_type_and_flag(name: str, protocol: int) -> None:
    base = fn.tensor(np.arange(12).reshape(3, 4), dtype=name)
    for t in (base, base.T, base[1:, ::2], base[1, 1], base[:0]):
        back = pickle.loads(pickle.dumps(t, protocol))
        assert back.dtype is t.dtype
        np.testing.assert_array_equal(back.numpy(), t.numpy())
        assert back.shape == t.shape
    back = pickle.loads(pickle.dumps(base[:1], protocol))
    back.fill_(0)  # its own, writable memory
    assert base[0, 1].item() == 1


def test_pickle_and_deepcopy_of_leaves_and_parameters() -> None:
    x = fn.ones(2, requires_grad=True)
    p = nn.Parameter(fn.ones(2))
    for f in (copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))):
        for t in (x, p):
            y = f(t)
            assert type(y) is type(t)
            assert y.requires_grad
            assert y.is_leaf
            assert y.tolist() == [1, 1]
    y = copy.deepcopy(x)
    with fn.no_grad():
        y += 1
    assert x.tolist() == [1, 1]
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]
    with pytest.raises(RuntimeError, match="leaf"):
        copy.deepcopy(x * 2)
