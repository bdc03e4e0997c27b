"""Accuracy of the functions of csrc/simd/math.h in units in the last place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn as fn

pytestmark = pytest.mark.cpu_only("functions on vectors")

Array = np.ndarray
FUNCTIONS: dict[str, Any] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sin": np.sin,
    "cos": np.cos,
}
# The largest error that may be: the claim in math.h.
ULPS = {"exp": 1.0, "log": 1.0, "tanh": 2.5, "sigmoid": 2.5, "sin": 2.0, "cos": 2.0}
# Where the function is not yet 0, infinite or flat.
LIVELY = {
    ("exp", "float32"): (-104, 89),
    ("exp", "float64"): (-746, 710),
    ("log", "float32"): (0, 4),
    ("log", "float64"): (0, 4),
    ("tanh", "float32"): (-10, 10),
    ("tanh", "float64"): (-20, 20),
    ("sigmoid", "float32"): (-104, 20),
    ("sigmoid", "float64"): (-746, 40),
    ("sin", "float32"): (-2000, 1.1e6),  # beyond a million the C library takes over
    ("sin", "float64"): (-10, 1700),  # and here beyond 1600
    ("cos", "float32"): (-2000, 1.1e6),
    ("cos", "float64"): (-10, 1700),
}
BITS = {"float32": np.uint32, "float64": np.uint64}
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ALL = pytest.mark.parametrize("name", FUNCTIONS)


def compute(name: str, x: Array) -> Array:
    return np.asarray(getattr(fn, name)(fn.from_numpy(x)).numpy())


def exact(name: str, x: Array) -> Array:
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        return np.asarray(FUNCTIONS[name](x.astype(wide)))


def every_exponent(dtype: str, n: int) -> Array:
    """From 0 over the subnormal numbers to the largest, evenly in the bits."""
    largest = np.finfo(dtype).max.view(BITS[dtype])
    return np.linspace(0, int(largest), n).astype(BITS[dtype]).view(dtype)


def ulp(value: Array, dtype: str) -> Array:
    """Distance of the numbers of `dtype` around a value."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(np.maximum(abs(value), float(info.smallest_normal)))
    return np.ldexp(np.ones_like(value), exponent - 1 - info.nmant)


@DTYPES
@ALL
def test_error_in_ulps(name: str, dtype: str) -> None:
    if dtype == "float64" and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("no wider type to compare with")
    magnitudes = every_exponent(dtype, 200_000)
    if name in ("sin", "cos") and dtype == "float64":  # NumPy's own sine of more digits ends early
        magnitudes = magnitudes[magnitudes < 1e15]
    both = magnitudes if name == "log" else np.concatenate([magnitudes, -magnitudes])
    dense = np.linspace(*LIVELY[name, dtype], 400_000).astype(dtype)
    x = np.concatenate([both, dense])
    y, e = compute(name, x), exact(name, x)
    info = np.finfo(dtype)
    infinite = abs(e) > info.max * (1 + info.eps / 4)
    np.testing.assert_array_equal(y[infinite], np.sign(e[infinite]) * np.inf)
    y, e = y[~infinite], e[~infinite]
    error = abs(y - e) / ulp(e, dtype)
    if name == "sigmoid":
        # Where exp(-x) overflows the result is 0 instead of a subnormal number.
        tiny = e < info.smallest_normal
        assert ((y[tiny] == 0) | (error[tiny] <= ULPS[name])).all()
        error = error[~tiny]
    worst = error.max()
    assert worst <= ULPS[name], f"{worst} ulp"
    assert worst > 0.5  # or this measures nothing


INF, NAN = np.inf, np.nan
# (x, f(x)): zeros with their signs
SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (1e4, INF), (-1e4, 0.0)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (INF, INF), (-INF, NAN)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (50.0, 1.0), (-50.0, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (1e4, 1.0), (-1e4, 0.0)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN)],
}


@DTYPES
@ALL
def test_special_values(name: str, dtype: str) -> None:
    x, expected = np.array([*SPECIAL[name], (NAN, NAN)], dtype).T.copy()
    y = compute(name, x)
    np.testing.assert_array_equal(y, expected)
    finite = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y[finite]), np.signbit(expected[finite]))


@DTYPES
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_beside_multiples_of_a_quarter_turn(name: str, dtype: str) -> None:
    quarters = (np.arange(1, 1019) * (np.pi / 2)).astype(dtype)
    zero, infinity = np.array([0, np.inf], dtype)
    x = [np.nextafter(quarters, zero), quarters, np.nextafter(quarters, infinity)]
    x = np.concatenate(x)
    e = exact(name, x)
    assert (abs(compute(name, x) - e) <= ULPS[name] * ulp(e, dtype)).all()


def test_pow_of_float32() -> None:
    rng = np.random.default_rng(0)
    x = np.exp(rng.uniform(-80, 80, 200_000)).astype(np.float32)
    with np.errstate(all="ignore"):
        for exponent in (2.5, -3.0, 0.5, 1 / 3, 17.0):
            y = (fn.from_numpy(x) ** exponent).numpy()
            e = x.astype(np.float64) ** np.float64(np.float32(exponent))
            inside = (e > np.finfo(np.float32).smallest_normal) & (e < np.finfo(np.float32).max)
            assert (abs(y - e)[inside] <= ulp(e, "float32")[inside]).all()
            np.testing.assert_array_equal(y[~inside], e[~inside].astype(np.float32))
        odd = np.array([0.0, -0.0, -2.0, 1.0, INF, -INF, NAN, 1e-42], np.float32)
        for exponent in (0.0, 0.75, 2.5, 3.0, -1.0, INF, NAN):
            y = (fn.from_numpy(odd) ** exponent).numpy()
            np.testing.assert_array_equal(y, np.power(odd, np.float32(exponent)))


@DTYPES
def test_gelu_ends_exactly(dtype: str) -> None:
    x = np.array([-INF, -1e30, -40.0, 0.0, 40.0, 1e30], dtype)
    y = fn.nn.functional.gelu(fn.from_numpy(x)).numpy()
    np.testing.assert_array_equal(y[1:], np.maximum(x[1:], 0))


@DTYPES
def test_tanh_of_tiny_numbers_is_the_number(dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.array([info.smallest_subnormal, info.smallest_normal, 1e-30, -1e-30], dtype)
    np.testing.assert_array_equal(compute("tanh", x), x)


@DTYPES
def test_erf(dtype: str) -> None:
    x = np.concatenate([np.linspace(-7, 7, 200_001), 10.0 ** np.arange(-30, 30)]).astype(dtype)
    expected = np.array([math.erf(v) for v in x])
    tolerance = 2 * ulp(expected, dtype)
    assert (abs(compute("erf", x).astype(np.float64) - expected) <= tolerance).all()
    odd = np.array([0.0, -0.0, INF, -INF, NAN], dtype)
    np.testing.assert_array_equal(compute("erf", odd), np.array([0, -0.0, 1, -1, NAN], dtype))


@DTYPES
def test_functions_never_turn_back(dtype: str) -> None:
    x = np.linspace(-5, 5, 4001).astype(dtype)
    for name in ("erf", "exp", "sigmoid", "tanh"):
        y = compute(name, x)
        slack = 4 * np.finfo(dtype).eps * abs(y[1:])
        assert (y[1:] >= y[:-1] - slack).all(), name


@DTYPES
@ALL
def test_same_result_in_every_lane_and_in_the_tail(name: str, dtype: str) -> None:
    x = np.abs(np.random.default_rng(0).standard_normal(53)).astype(dtype)
    whole = compute(name, x)
    alone = np.concatenate([compute(name, x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_array_equal(whole, alone)
