"""Large float32 products on GPUs whose tensor cores make them of parts of TF32: as exact as
float32, for all numbers."""

from __future__ import annotations

import numpy as np
import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU, run
from samples import normal, rounded

import fastnn as fn

PARTS = fn.cuda.is_available() and fn.cuda.get_device_capability() in ((8, 0), (9, 0))
pytestmark = [NEEDS_GPU, pytest.mark.skipif(not PARTS, reason="float32 is faster on this GPU")]

Array = np.ndarray
EPS = float(np.finfo(np.float32).eps)
BATCH, M, K, N = 128, 66, 40, 70  # a tile of 128 x 128 a product, enough of them to fill a GPU


def product(a: Array, b: Array) -> Array:
    return (fn.from_numpy(a).cuda() @ fn.from_numpy(b).cuda()).cpu().numpy()


def single(*shape: int, seed: int = 0) -> Array:
    return normal(*shape, seed=seed).astype(np.float32)


def operands() -> tuple[Array, Array]:
    return single(BATCH, M, K), single(BATCH, K, N, seed=1)


def check(y: Array, a: Array, b: Array) -> None:
    """What is left out of products, what tensor cores cut off, and the roundings of sums of 8."""
    terms = np.matmul(abs(a).astype(np.float64), abs(b))
    error = abs(y - np.matmul(a.astype(np.float64), b))
    assert (error <= (4 + 6 + a.shape[-1] / 16) * EPS * terms).all()


def test_the_worst_mantissas() -> None:
    """Numbers (almost) halfway between two of TF32, all off in one direction: rounded to it, their
    errors add up."""
    a, b = np.ones((BATCH, M, K), np.float32), np.ones((BATCH, K, N), np.float32)
    offs = [2.0**-11 - 2.0**-23, 2.0**-11, 2.0**-11 + 2.0**-23, 2.0**-12 + 2.0**-22 + 2.0**-23]
    for i in range(BATCH):
        a[i] += offs[i % 4]
        b[i] += offs[i // 4 % 4]
    a[64:] *= np.where(np.arange(K) % 2, -1, 1)
    exact = np.matmul(a.astype(np.float64), b)
    terms = np.matmul(abs(a).astype(np.float64), abs(b))
    rough = np.matmul(rounded(a, 11), rounded(b, 11))
    assert (abs(rough - exact) > 4 * K * EPS * terms).any()  # what float32 is held to
    check(product(a, b), a, b)


def test_numbers_of_all_sizes() -> None:
    a, b = operands()
    a *= np.exp2(np.random.default_rng(2).integers(-50, 50, a.shape)).astype(np.float32)
    b *= np.exp2(np.random.default_rng(3).integers(-50, 50, b.shape)).astype(np.float32)
    check(product(a, b), a, b)


def test_integers_are_exact() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-500, 500, s).astype(np.float32) for s in ((BATCH, M, K), (BATCH, K, N)))
    np.testing.assert_array_equal(product(a, b), np.matmul(a.astype(np.float64), b))


def test_special_numbers_are_those_of_float32() -> None:
    """What is infinite, NaN or too large for parts, in either factor; beside it the bits stay."""
    a, b = operands()
    plain = product(a, b)
    largest = float(np.finfo(np.float32).max)
    specials = [np.inf, -np.inf, np.nan, largest, -largest, 2.0**61 * (1 + EPS), 2.0**127]
    others = [1.0, 1 + EPS, -(1 - EPS / 2), 2.0**-140, 0.0, np.inf, -np.inf, 2.0**64, largest]
    pairs = [(s, o) for s in specials for o in others]
    for i, (s, o) in enumerate(pairs):
        a[i, 5], b[i, :, 6] = 0, 0
        a[i, 5, 13], b[i, 13, 6] = s, o
    for i, (s, o) in enumerate(pairs, len(pairs)):
        a[i, 65], b[i, :, 69] = 0, 0
        a[i, 65, 39], b[i, 39, 69] = o, s
    y = product(a, b)
    with np.errstate(all="ignore"):
        singles = [np.float32(s) * np.float32(o) for s, o in pairs]
    np.testing.assert_array_equal(y[: len(pairs), 5, 6], np.array(singles))
    np.testing.assert_array_equal(y[len(pairs) : 2 * len(pairs), 65, 69], np.array(singles))
    # Rows and columns without any of them.
    np.testing.assert_array_equal(y[:, :5, :6], plain[:, :5, :6])
    np.testing.assert_array_equal(y[:, 6:65, 7:69], plain[:, 6:65, 7:69])


def test_infinities_between_other_numbers() -> None:
    a, b = operands()
    a[:64, 3, 7], a[:64, 3, 21], b[:64, 30, 2] = np.inf, 2.0**100, -np.inf
    a[64:, 8, 12], a[64:, 9, 39], b[64:, 11, 4] = np.nan, -np.inf, 2.0**-149
    with np.errstate(all="ignore"):
        expected = np.matmul(a.astype(np.float64), b)
    y = product(a, b)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(y[~finite], expected[~finite])
    with np.errstate(all="ignore"):
        terms = np.matmul(abs(a).astype(np.float64), abs(b))
        assert (abs(y - expected) <= 4 * K * EPS * terms)[finite].all()


def test_small_numbers() -> None:
    """Tensor cores may take subnormal numbers for 0."""
    a, b = operands()
    a *= np.exp2(-np.float32(100 + np.arange(BATCH) % 49)).reshape(-1, 1, 1).astype(np.float32)
    error = abs(product(a, b) - np.matmul(a.astype(np.float64), b))
    wide = abs(a).astype(np.float64), abs(b).astype(np.float64)
    lost = 2.0**-126 * (wide[0].sum(-1, keepdims=True) + wide[1].sum(-2, keepdims=True) + K)
    assert (error <= 4 * K * EPS * np.matmul(*wide) + lost).all()


PROGRAM = """
import numpy as np
rng = np.random.default_rng(0)
a, b = (fn.from_numpy(rng.standard_normal(s).astype(np.float32)).cuda()
        for s in ((128, 65, 32), (128, 32, 65)))
print(hash((a @ b).cpu().numpy().tobytes()))
"""


@NEEDS_EMULATION
def test_the_kind_of_gpu_decides() -> None:
    bits = {
        capability: run(PROGRAM, FASTNN_CUDA_CAPABILITY=capability, PYTHONHASHSEED=0)
        for capability in (75, 80, 86, 90)
    }
    assert bits[75] == bits[86] != bits[80] == bits[90]
