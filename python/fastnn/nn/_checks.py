"""Checks that layers share. A failure names the layer, the argument and the value."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from .._C import Tensor, float32, float64


def integer(layer: str, name: str, value: Any, low: int = 1) -> int:
    """`value` as an int that is at least `low`."""
    try:
        n = operator.index(value)
    except TypeError:
        n = None
    if n is None or isinstance(value, bool):
        raise TypeError(f"[{layer}] {name} must be an integer; got {value!r}")
    if n < low:
        raise ValueError(f"[{layer}] {name} must be at least {low}; got {n}")
    return n


def integers(layer: str, name: str, value: Any, count: int, low: int = 1) -> tuple[int, ...]:
    """`count` ints that are at least `low`, from one int or from `count` of them."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != count:
            raise ValueError(f"[{layer}] {name} must have {count} values; got {value!r}")
        return tuple(integer(layer, name, v, low) for v in value)
    return (integer(layer, name, value, low),) * count


def int_or_pair(layer: str, name: str, value: Any, low: int = 1) -> int | tuple[int, int]:
    """An int or a pair of ints, whichever was given (pooling layers keep and print it so)."""
    h, w = integers(layer, name, value, 2, low)
    return (h, w) if isinstance(value, Sequence) else h


def number(layer: str, name: str, value: Any, interval: str) -> Any:
    """`value`, which must be a number in `interval`: "[0, 1)" holds 0 and not 1.

    NumPy's numbers come back as Python's.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"[{layer}] {name} must be a number; got {value!r}")
    low, high = map(float, interval[1:-1].split(","))
    inside = low < float(value) < high  # NaN is not
    at_an_end = (value == low and interval[0] == "[") or (value == high and interval[-1] == "]")
    if not (inside or at_an_end):
        raise ValueError(f"[{layer}] {name} must be in {interval}; got {value}")
    return value.item() if isinstance(value, np.generic) else value


def one_of(layer: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, which must be one of `choices`."""
    if value not in choices:
        raise ValueError(f"[{layer}] {name} must be one of {', '.join(choices)}; got {value!r}")
    return str(value)


def as_tensor(layer: str, x: Any) -> Tensor:
    """`x`; a NumPy array as a tensor, of the same memory where its layout allows that."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.ndarray):
        return Tensor(x)
    raise TypeError(f"[{layer}] expected a Tensor or a NumPy array; got {type(x).__name__}")


def cast_like(layer: str, x: Any, like: Tensor) -> Tensor:
    """Data as the computation wants it: a tensor of the dtype of `like`.

    NumPy arrays, integer tensors (images) and float64 tensors are cast. A tensor that carries a
    gradient is not, nor is a float32 one widened: the operation then reports the mismatch.
    """
    tensor = as_tensor(layer, x)
    if tensor is x and (x.requires_grad or x.dtype == float32):
        return tensor
    return tensor if tensor.dtype == like.dtype else tensor.to(like.dtype)


def cast_state(target: Tensor, value: Any) -> Tensor:
    """A saved value as a tensor of the shape, dtype and device of `target`."""
    source = value if isinstance(value, Tensor) else Tensor(np.asarray(value))
    if tuple(source.shape) != tuple(target.shape):
        raise ValueError(f"expected shape {tuple(target.shape)}; got {tuple(source.shape)}")
    floats = (float32, float64)
    if source.dtype in floats and target.dtype not in floats:
        raise TypeError(f"expected dtype {target.dtype}; got {source.dtype}")
    return source.detach().to(target.dtype).to(target.device)
