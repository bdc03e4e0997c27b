"""Arrays on the device that the tests run on (pytest --device), in whatever layout they have."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn.testing import Case, Spec

# What an emulated GPU computes in a second or so.
MOST_OUTPUTS, MOST_PRODUCTS = 20_000, 2e6


def on_gpu() -> bool:
    return fn.get_default_device().type == "cuda"


def emulated() -> bool:
    return on_gpu() and "emulated" in fn.cuda.get_device_name()


class _View:
    """Part of a tensor of a GPU, laid out as an array lies in the memory that it is a view of."""

    def __init__(self, whole: fn.Tensor, array: np.ndarray, offset: int) -> None:
        self.whole = whole
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (whole.data_ptr() + offset, not array.flags.writeable),
            "strides": array.strides,
            "version": 3,
        }


def place(array: np.ndarray) -> fn.Tensor:
    """A tensor on the device of the tests, with the array's strides, and read-only where it is."""
    tensor = fn.from_numpy(array)
    root = base = array
    while (base := getattr(base, "base", None)) is not None:
        root = base if isinstance(base, np.ndarray) else root
    if not on_gpu() or array.size == 0 or (root is array and array.flags.writeable):
        return tensor.to(fn.get_default_device())
    whole = fn.from_numpy(root).cuda()
    return fn.cuda.as_tensor(_View(whole, array, array.ctypes.data - root.ctypes.data))


def handed(value: Any) -> Any:
    """An array as a test passes it where tensors and arrays are taken: on a GPU tensors alone are,
    as NumPy's memory is the CPU's."""
    return place(value) if on_gpu() and isinstance(value, np.ndarray) else value


class _Memory:
    """Where a tensor of a GPU lies, as an array of NumPy that must not be looked at."""

    def __init__(self, tensor: fn.Tensor) -> None:
        self.__array_interface__ = tensor.__cuda_array_interface__


def shares_memory(a: fn.Tensor, b: fn.Tensor) -> bool:
    """Whether two tensors of the device of the tests have an element in common."""
    return np.shares_memory(*(np.asarray(_Memory(t)) if on_gpu() else t.numpy() for t in (a, b)))


def _flops(spec: Spec, case: Case) -> float:
    if spec.flops is None:
        return 0
    taken = inspect.signature(spec.flops).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        attrs = {k: v for k, v in case.attrs.items() if k in taken}
    else:
        attrs = dict(case.attrs)
    with np.errstate(all="ignore"):
        return float(spec.flops(*case.arrays(np.float32).values(), **attrs))


def skip_if_emulated(what: str) -> None:
    """For what takes an emulated GPU too long, whatever the size of its tensors."""
    if emulated():
        pytest.skip(f"too long for an emulated GPU: {what}")


def skip_if_slow(spec: Spec, case: Case) -> None:
    """Large cases are not for an emulated GPU."""
    if not emulated():
        return
    arrays = [x for x in case.arrays(np.float32).values() if x is not None]
    largest = max((x.size for x in arrays), default=0)
    outputs = sum(np.size(value) for value, _ in spec.expected(case, np.float32))
    if max(largest, outputs) > MOST_OUTPUTS or _flops(spec, case) / 2 > MOST_PRODUCTS:
        pytest.skip("too large for an emulated GPU")
