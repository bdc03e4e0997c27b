"""Products on a GPU that the cases of every operation are too small for: each size of tile, sums in
chunks, and the same bits whatever the order of threads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU, run
from samples import normal
from steps import training_step

import fastnn as fn
from fastnn import nn, optim
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


# From 128 tiles of 128 x 256 and k = 256 on Hopper rounds to TF32 or bfloat16 first.
HOPPER = {
    "whole tiles": (64, 256, 256, 256),
    "tiles not filled": (32, 129, 259, 300),
    "tiles not filled, in whole vectors": (32, 196, 264, 388),
    "one product": (1, 2000, 300, 1990),
}


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_CUDA_CAPABILITY", "90")  # where the GPU is emulated


@pytest.mark.parametrize(
    ("size", "order"),
    [
        ("whole tiles", "NT"),
        *(("tiles not filled", order) for order in ("NN", "NT", "TN", "TT")),
        ("tiles not filled, in whole vectors", "NN"),
        ("tiles not filled, in whole vectors", "TT"),
        ("one product", "NN"),
    ],
)
@pytest.mark.parametrize("precision", ["high", "medium"], indirect=True)
@pytest.mark.usefixtures("hopper")
def test_hopper(size: str, order: str, precision: str) -> None:
    test_tiles(HOPPER[size], order, precision)


@pytest.mark.parametrize("precision", ["high", "medium"], indirect=True)
@pytest.mark.usefixtures("hopper")
def test_hopper_rounds_to_nearest(precision: str) -> None:
    x, one = single(64, 256, 256), np.broadcast_to(np.eye(256, dtype=np.float32), (64, 256, 256))
    bits = x.view(np.uint32)
    bits[::2] &= 0xFFFFF000  # halfway between two numbers of TF32,
    bits[::4] &= 0xFFFF8000  # or of bfloat16
    if precision == "high":
        rounded = bits + 0x1000 & 0xFFFFE000
    else:
        rounded = bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000
    expected = rounded.view(np.float32)[:, :129]
    x_on_gpu, one_on_gpu = (fn.from_numpy(np.ascontiguousarray(z)).cuda() for z in (x, one))
    for y in (x_on_gpu[:, :129] @ one_on_gpu, one_on_gpu[:, :129] @ x_on_gpu):
        np.testing.assert_array_equal(y.cpu().numpy(), expected)


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("precision", ["high"], indirect=True)
@pytest.mark.usefixtures("hopper", "precision")
def test_hopper_with_bias_and_activation(activation: str) -> None:
    arrays = single(16300, 256), single(129, 256, seed=1), single(129, seed=2)
    x, w, b = (fn.from_numpy(z).cuda() for z in arrays)
    z = (x @ w.transpose(0, 1)).cpu().numpy()
    expected = getattr(F, activation)(fn.from_numpy(z + arrays[2]).cpu()).numpy()
    y = F.linear(x, w, b, activation).cpu().numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@NEEDS_EMULATION
@pytest.mark.parametrize("precision", ["medium"], indirect=True)
@pytest.mark.usefixtures("hopper", "precision")
def test_hopper_in_every_order_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (fn.from_numpy(single(*z)).cuda() for z in ((32, 130, 260), (32, 260, 270)))
    results = set()
    for order in ("forward", "reverse", "2", "3"):
        monkeypatch.setenv("FASTNN_CUDA_ORDER", order)
        results.add((a @ b).cpu().numpy().tobytes())
    assert len(results) == 1


def trained(compiled: bool, rows: int, sizes: list[int]) -> list[bytes]:
    """Losses and parameters after two steps."""
    fn.manual_seed(0)
    layers = [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o), nn.SiLU())]
    model = nn.Sequential(*layers[:-1]).cuda()
    step = training_step(model, optim.Adam(model.parameters()))
    if compiled:
        step = fn.compile(step)
    x, y = (fn.from_numpy(z).cuda() for z in (single(rows, sizes[0]), np.arange(rows) % sizes[-1]))
    results = [step(x, y), step(x, y), *model.parameters()]
    return [z.detach().cpu().numpy().tobytes() for z in results]


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        (256, [129, 16300]),  # dw and its update
        (16300, [8, 129, 256]),  # dx of the second layer, times the first one's slope
    ],
)
@pytest.mark.parametrize("precision", ["high"], indirect=True)
@pytest.mark.usefixtures("hopper", "precision")
def test_hopper_in_compiled_steps(rows: int, sizes: list[int]) -> None:
    assert trained(True, rows, sizes) == trained(False, rows, sizes)


@NEEDS_EMULATION
@pytest.mark.parametrize(
    ("capability", "k", "precision", "rounded"),
    [
        (90, 256, "high", 4),
        (90, 256, "medium", 2),
        (90, 256, "highest", 0),
        (90, 255, "high", 0),
        (89, 256, "high", 0),
        (100, 256, "high", 0),
    ],
)
def test_only_hopper_rounds_first(capability: int, k: int, precision: str, rounded: int) -> None:
    """Seen by the memory that a product takes from CUDA beside its result."""
    program = f"""
        a, b = (fn.zeros(64, *shape, device="cuda") for shape in ((256, {k}), ({k}, 256)))
        fn.set_float32_matmul_precision("{precision}")
        before = fn.cuda.memory_reserved()
        y = a @ b
        print(fn.cuda.memory_reserved() - before - 4 * y.numel())
    """
    extra = int(run(program, FASTNN_CUDA_CAPABILITY=capability))
    numbers = 2 * 64 * 256 * k
    assert numbers * rounded <= extra <= numbers * rounded + 6e6  # memory is taken in large pieces


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


@NEEDS_EMULATION
@pytest.mark.parametrize(("code", "rounds"), [(75, False), (80, True), (90, True)])
def test_code_that_a_driver_made_for_an_older_gpu_uses_no_tensor_cores(
    code: int, rounds: bool
) -> None:
    program = """
        x = fn.full((64, 64), 1 + 2.0**-14, device="cuda")
        fn.set_float32_matmul_precision("high")
        print((x @ x)[0, 0].item() == 64)
    """
    found = run(program, FASTNN_CUDA_CAPABILITY=90, FASTNN_CUDA_CODE=code)
    assert found == str(rounds)
