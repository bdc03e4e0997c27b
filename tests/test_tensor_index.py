"""Indexing and assignment; the length, the numbers and the text of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from devices import handed, place, shares_memory
from samples import NAMES, normal

import fastnn as fn

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
    t = place(a.copy())
    np.testing.assert_array_equal(t[k].cpu().numpy(), a[k])
    assert not a[k].size or shares_memory(t[k], t)
    t[k] = -1
    a[k] = -1
    np.testing.assert_array_equal(t.cpu().numpy(), a)
    values = normal(*a[k].shape)
    t[k] = fn.tensor(values)
    a[k] = values
    np.testing.assert_array_equal(t.cpu().numpy(), a)
    t[k] = handed(values * 2)
    np.testing.assert_array_equal(t[k].cpu().numpy(), values * 2)


@pytest.mark.parametrize(
    "index", [[0, 3, 1], [-1, -4], [2, 2, 2], [[0, 1], [2, 3]], []], ids=lambda i: str(i)
)
def test_getitem_by_integer_arrays(index: list[Any]) -> None:
    a = normal(4, 3)
    for dtype in (np.int64, np.int32):
        i = np.array(index, dtype)
        np.testing.assert_array_equal(fn.tensor(a)[i].cpu().numpy(), a[i])
        np.testing.assert_array_equal(fn.tensor(a)[fn.tensor(i)].cpu().numpy(), a[i])
        np.testing.assert_array_equal(fn.tensor(a).T[fn.tensor(i % 3)].cpu().numpy(), a.T[i % 3])
        np.testing.assert_array_equal(
            fn.tensor(a).index_select(0, fn.tensor(i)).cpu().numpy(), a[i]
        )


def test_getitem_by_a_list() -> None:
    assert fn.arange(5)[[3, -1]].tolist() == [3, 4]


def test_setitem_reads_its_source_before_it_writes() -> None:
    a = np.arange(6.0)
    t = place(a.copy())
    t[1:] = t[:-1]
    assert t.tolist() == [0, 0, 1, 2, 3, 4]
    t = place(a.copy())
    t.copy_(place(a)[::1])
    assert t.tolist() == a.tolist()
    m = place(np.arange(9.0).reshape(3, 3))
    m.copy_(m.T)
    np.testing.assert_array_equal(m.cpu().numpy(), np.arange(9.0).reshape(3, 3).T)


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
    assert repr(fn.tensor([1.0, 2.5], device="cpu")) == "tensor([1. , 2.5])"
    assert "dtype=fastnn.float64" in repr(fn.zeros(1, dtype=fn.float64))
    assert "requires_grad=True" in repr(fn.zeros(1, requires_grad=True))
