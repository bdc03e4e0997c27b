"""Memory shared with NumPy and, through DLPack, with PyTorch."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from samples import NAMES, Array

import fastnn as fn

pytestmark = pytest.mark.cpu_only("NumPy's memory")

# --- NumPy --------------------------------------------------------------------------------------

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
