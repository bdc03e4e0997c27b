"""Making tensors: factories and dtypes, then copies and pickles."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from samples import NAMES

import fastnn as fn
from fastnn import nn

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
        (fn.ones(2, dtype=fn.uint8, device="cpu"), "uint8"),
    ],
)
def test_tensor_keeps_array_types_and_gives_python_numbers_pytorchs(data: Any, dtype: str) -> None:
    t = fn.tensor(data)
    assert t.dtype.name == dtype
    np.testing.assert_array_equal(t.cpu().numpy(), np.asarray(data))


@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_given_as_object_numpy_type_or_name(name: str) -> None:
    for dtype in (getattr(fn, name), np.dtype(name), name):
        assert fn.zeros(2, dtype=dtype).dtype is getattr(fn, name)
        assert fn.tensor([0, 1], dtype=dtype).cpu().numpy().dtype == name
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
    np.testing.assert_array_equal(fn.zeros(2, 2).cpu().numpy(), np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(fn.ones(2, dtype=fn.int32).cpu().numpy(), np.ones(2, np.int32))
    assert fn.full((2,), 7).dtype is fn.int64
    assert fn.full((2,), 7.0).dtype is fn.float32
    assert fn.full((2,), 2**60 + 1).cpu().numpy().tolist() == [2**60 + 1] * 2
    x = fn.rand(3, 2).T
    for like, value in ((fn.zeros_like(x), 0), (fn.ones_like(x), 1)):
        np.testing.assert_array_equal(like.cpu().numpy(), np.full((2, 3), value, np.float32))


@pytest.mark.parametrize(
    "bounds", [(5,), (2, 7), (7, 2, -2), (0, 1, 0.25), (0.5, 3), (0,), (3, 3), (-3, 8, 4)]
)
def test_arange_counts_as_numpy_does(bounds: tuple[float, ...]) -> None:
    y = fn.arange(*bounds)
    np.testing.assert_array_equal(y.cpu().numpy(), np.arange(*bounds))
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


# --- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("name", NAMES)
def test_pickle_keeps_values_type_and_flag(name: str, protocol: int) -> None:
    base = fn.tensor(np.arange(12).reshape(3, 4), dtype=name)
    for t in (base, base.T, base[1:, ::2], base[1, 1], base[:0]):
        back = pickle.loads(pickle.dumps(t, protocol))
        assert back.dtype is t.dtype
        np.testing.assert_array_equal(back.cpu().numpy(), t.cpu().numpy())
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
