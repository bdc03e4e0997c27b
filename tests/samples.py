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


def rounded(x: Array, bits: int) -> Array:
    """To the nearest number with so many significant bits; between two, to the even one for
    bfloat16 and away from 0 for TF32."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    scaled = np.ldexp(mantissa, bits)
    whole = np.rint(scaled) if bits == 8 else np.trunc(scaled + np.copysign(0.5, scaled))
    return np.ldexp(whole, exponent - bits)


def leaf(values: Any) -> fn.Tensor:
    return fn.tensor(values, dtype=fn.float64, requires_grad=True)
