"""Convolutions as products on a GPU, float32 or rounded: forward and both gradients, of sizes that
the tensor cores take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU
from samples import normal, rounded
from steps import examples, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F

TENSOR_CORES = fn.cuda.is_available() and fn.cuda.get_device_capability() >= (8, 0)
pytestmark = [NEEDS_GPU, pytest.mark.skipif(not TENSOR_CORES, reason="no tensor cores")]

Array = np.ndarray
EPS = float(np.finfo(np.float32).eps)
# Significant bits that numbers keep, None for all.
BITS = {"highest": None, "high": 11, "medium": 8}


@pytest.fixture(params=BITS)
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    fn.set_float32_matmul_precision(request.param)
    yield request.param
    fn.set_float32_matmul_precision("highest")


def results(x: Array, w: Array, dy: Array, device: str = "cpu", **options: Any) -> list[Array]:
    """y, dx and dw."""
    tensors = [fn.from_numpy(a).to(device).requires_grad_() for a in (x, w)]
    y = F.conv2d(*tensors, **options)
    y.backward(fn.from_numpy(dy).to(device))
    return [t.detach().cpu().numpy() for t in (y, *(t.grad for t in tensors))]


# Input, weight and options.
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "odd": ((2, 35, 7, 9), (37, 35, 3, 3), {"padding": 1}),
    "whole vectors": ((2, 36, 6, 6), (40, 36, 3, 3), {}),
    "one tap": ((3, 32, 5, 7), (32, 32, 1, 1), {}),
    "stride": ((3, 33, 13, 10), (34, 33, 3, 2), {"stride": (2, 1), "padding": 1}),
    "dilation": ((2, 32, 9, 9), (33, 32, 2, 3), {"dilation": (2, 3)}),
    "groups": ((2, 66, 6, 7), (70, 33, 2, 2), {"groups": 2}),
    "sums in chunks": ((1, 235, 4, 9), (33, 235, 3, 3), {"padding": 1}),
    "many pixels": ((2, 33, 35, 31), (35, 33, 1, 1), {}),
    "large tiles": ((2, 33, 91, 91), (66, 33, 1, 1), {}),
}


def arrays(case: str, draw: Any) -> tuple[list[Array], dict[str, Any]]:
    """x, w and dy of drawn numbers, and the options."""
    x, w, options = CASES[case]
    y = F.conv2d(fn.zeros(*x, device="cpu"), fn.zeros(*w, device="cpu"), **options)
    sizes = (x, w, tuple(y.shape))
    return [draw(*size, seed=i).astype(np.float32) for i, size in enumerate(sizes)], options


def small_integers(*shape: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(-3, 4, shape)


@pytest.mark.parametrize("case", CASES)
def test_small_integers_are_exact(case: str, precision: str) -> None:
    (x, w, dy), options = arrays(case, small_integers)
    exact = results(*(a.astype(np.float64) for a in (x, w, dy)), **options)
    for expected, got in zip(exact, results(x, w, dy, "cuda", **options), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("case", CASES)
def test_numbers_are_rounded(case: str, precision: str) -> None:
    (x, w, dy), options = arrays(case, normal)
    got = results(x, w, dy, "cuda", **options)
    bits = BITS[precision]
    wide = [a.astype(np.float64) for a in (x, w, dy)]
    full = results(*wide, **options)
    expected = results(*(rounded(a, bits) for a in wide), **options) if bits else full
    sizes = results(*(abs(a) for a in wide), **options)
    depths = w[0].size, w[:, 0].size // options.get("groups", 1), dy[:, 0].size
    for y, z, exact, size, k in zip(got, expected, full, sizes, depths, strict=True):
        assert (abs(y - z) <= 4 * k * EPS * size).all()
        off = abs(y - exact)
        assert (off <= ((2 * 2.0**-bits + 4.0**-bits if bits else 0) + 4 * k * EPS) * size).all()
        # or nothing was rounded
        assert (off.max() > 2.0**-19 * size.max()) == bool(bits)


FEW: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "few inputs": ((2, 4, 9, 9), (40, 4, 3, 3), {}),
    "a channel a group": ((2, 40, 9, 9), (40, 1, 3, 3), {"groups": 40}),
    "few outputs": ((2, 40, 9, 9), (8, 40, 3, 3), {}),
    "less than 32 of each": ((2, 20, 9, 9), (24, 20, 1, 1), {}),
}


@pytest.mark.parametrize("case", FEW)
def test_few_channels_are_not_rounded(case: str, precision: str) -> None:
    x, w, options = FEW[case]
    a, b = (normal(*size, seed=i).astype(np.float32) for i, size in enumerate((x, w)))
    y = F.conv2d(fn.from_numpy(a).cuda(), fn.from_numpy(b).cuda(), **options)
    fn.set_float32_matmul_precision("highest")
    z = F.conv2d(fn.from_numpy(a).cuda(), fn.from_numpy(b).cuda(), **options)
    assert y.cpu().numpy().tobytes() == z.cpu().numpy().tobytes()


@pytest.mark.parametrize("integers", [False, True], ids=["normal", "many equal cells"])
@pytest.mark.parametrize("size", [(9, 10), (3, 4)])
def test_a_fused_tail_has_the_bits_of_one_apart(
    size: tuple[int, int], integers: bool, precision: str
) -> None:
    def train(compile):
        model = nn.Sequential(
            nn.Conv2d(33, 34, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(34, 36, (1, 2))
        ).cuda()
        if integers:
            with fn.no_grad():
                for p in model.parameters():
                    p.copy_(
                        fn.from_numpy(small_integers(*p.shape, seed=1).astype(np.float32)).cuda()
                    )
        step = compile(
            training_step(lambda x: model(x).mean((2, 3)), optim.SGD(model.parameters(), lr=0.1))
        )
        draw = [(np.rint(x) if integers else x, y) for x, y in examples(3, 3, 33, *size)]
        losses = [step(fn.from_numpy(x).cuda(), fn.from_numpy(y).cuda()) for x, y in draw]
        return [z.cpu() for z in losses], {k: v.cpu() for k, v in model.state_dict().items()}

    same_bits(train)


def test_a_compiled_step_follows_the_precision() -> None:
    x, w = (
        fn.from_numpy(normal(*s).astype(np.float32)).cuda() for s in ((1, 40, 8, 8), (40, 40, 2, 2))
    )
    step = fn.compile(lambda x, w: F.conv2d(x, w))
    bits = {}
    for precision in (*BITS, *BITS):
        fn.set_float32_matmul_precision(precision)
        found = {step(x, w).cpu().numpy().tobytes() for _ in range(2)}
        assert bits.setdefault(precision, found) == found
    fn.set_float32_matmul_precision("highest")
    assert len(set.union(*bits.values())) == 3


@NEEDS_EMULATION
def test_the_same_bits_in_every_order_of_threads(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    (x, w, dy), options = arrays("sums in chunks", normal)
    found = set()
    for order in ("forward", "reverse", "3"):
        monkeypatch.setenv("FASTNN_CUDA_ORDER", order)
        found.add(b"".join(a.tobytes() for a in results(x, w, dy, "cuda", **options)))
    assert len(found) == 1
