"""Products on a GPU that the cases of every operation are too small for: each size of tile, sums in
chunks, and the same bits whatever the order of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU
from samples import normal

import fastnn as fn
from fastnn.nn import functional as F

pytestmark = NEEDS_GPU

Array = np.ndarray
EPS = float(np.finfo(np.float32).eps)
# What a number is off by at most, of its size.
ROUNDING = {"highest": 0.0, "high": 2.0**-11, "medium": 2.0**-8}


@pytest.fixture(params=ROUNDING)
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    fn.set_float32_matmul_precision(request.param)
    yield request.param
    fn.set_float32_matmul_precision("highest")


def single(*shape: int, seed: int = 0) -> Array:
    return normal(*shape, seed=seed).astype(np.float32)


def check(y: fn.Tensor, a: Array, b: Array, rounding: float = 0.0) -> None:
    terms = np.matmul(abs(a).astype(np.float64), abs(b))
    error = abs(y.cpu().numpy() - np.matmul(a.astype(np.float64), b))
    assert (error <= (2 * rounding + rounding**2 + 4 * a.shape[-1] * EPS) * terms).all()


# Batches fill a GPU with tiles of 128 or 64 rows; a single product would be cut up smaller.
SIZES = {
    "large tiles, not filled": (128, 66, 33, 70),
    "large tiles, several": (32, 129, 36, 132),
    "middle tiles": (32, 65, 35, 67),
    "middle tiles, in whole vectors": (32, 68, 36, 72),
    "small tiles": (3, 37, 41, 35),
    "sums in chunks": (1, 40, 5003, 36),
    "sums in chunks, in whole vectors": (1, 36, 5000, 40),
    "sums in chunks, of a batch": (3, 33, 2100, 65),
}


@pytest.mark.parametrize("order", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_tiles(size: tuple[int, int, int, int], order: str, precision: str) -> None:
    batch, m, k, n = size
    a, b = single(batch, m, k), single(batch, k, n, seed=1)
    x, y = (
        fn.from_numpy(np.ascontiguousarray(z.swapaxes(1, 2))).cuda().transpose(1, 2)
        if o == "T"
        else fn.from_numpy(z).cuda()
        for z, o in zip((a, b), order, strict=True)
    )
    check(x @ y, a, b, ROUNDING[precision])


def test_more_columns_of_tiles_than_a_strip_has() -> None:
    a, b = single(130, 3), single(3, 8300, seed=1)
    check(fn.from_numpy(a).cuda() @ fn.from_numpy(b).cuda(), a, b)


@pytest.mark.parametrize("shape", [(30, 5000, 10), (70, 2048, 70)])
def test_a_sum_in_chunks_has_the_error_of_one(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    a, b = normal(m, k), normal(k, n, seed=1)
    y = (fn.from_numpy(a).cuda() @ fn.from_numpy(b).cuda()).cpu().numpy()
    assert (abs(y - a @ b) <= 4 * k * np.finfo(np.float64).eps * (abs(a) @ abs(b))).all()


@pytest.mark.parametrize("activation", ["none", "relu", "silu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_many_examples(activation: str, dtype: str) -> None:
    arrays = [x.astype(dtype) for x in (normal(2500, 7), normal(6, 7, seed=1), normal(6, seed=2))]
    dy = normal(2500, 6, seed=3).astype(dtype)
    grads = {}
    for device, to in (("cpu", "float64"), ("cuda", dtype)):
        ts = [fn.tensor(x.astype(to), device=device, requires_grad=True) for x in arrays]
        F.linear(*ts, activation).backward(fn.from_numpy(dy.astype(to)).to(device))
        grads[device] = [t.grad.cpu().numpy() for t in ts]
    eps = float(np.finfo(dtype).eps)
    for expected, got in zip(grads["cpu"], grads["cuda"], strict=True):
        assert (abs(expected - got) <= 2500 * eps * abs(expected).max()).all()


@NEEDS_EMULATION
def test_the_same_bits_in_every_order_of_threads(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    x, w, b = (fn.from_numpy(z).cuda() for z in (single(2100, 33), single(40, 33), single(40)))
    dy = fn.from_numpy(single(2100, 40, seed=1)).cuda()
    results = set()
    for order in ("forward", "reverse", "3"):
        monkeypatch.setenv("FASTNN_CUDA_ORDER", order)
        ts = [t.detach().requires_grad_() for t in (x, w, b)]
        y = F.linear(*ts, "gelu")
        y.backward(dy)
        results.add(
            b"".join(t.detach().cpu().numpy().tobytes() for t in (y, *(t.grad for t in ts)))
        )
    assert len(results) == 1
