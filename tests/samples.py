"""Names of dtypes, random arrays and leaves, for the tests of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn as fn

Array = np.ndarray
NAMES = ("bool", "uint8", "int32", "int64", "float32", "float64")
FLOATS = ("float32", "float64")


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(values: Any) -> fn.Tensor:
    return fn.tensor(values, dtype=fn.float64, requires_grad=True)
