"""fn.set_float32_matmul_precision: products in TF32 and bfloat16 where the device has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from devices import on_gpu, place
from samples import normal, rounded
from steps import examples, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F

Array = np.ndarray
TENSOR_CORES = on_gpu() and fn.cuda.get_device_capability() >= (8, 0)
BF16 = TENSOR_CORES if on_gpu() else fn._C.config()["bf16"]
# Significant bits that numbers keep, None for all.
BITS = {"high": 11 if TENSOR_CORES else None, "medium": 8 if BF16 else None}
needs_bf16 = pytest.mark.skipif(not BF16, reason="these kernels have no products in bfloat16")
EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(autouse=True)
def medium() -> Iterator[None]:
    assert fn.get_float32_matmul_precision() == "highest"
    fn.set_float32_matmul_precision("medium")
    yield
    fn.set_float32_matmul_precision("highest")


@pytest.fixture(params=["high", "medium"])
def precision(request: Any) -> str:
    fn.set_float32_matmul_precision(request.param)
    return request.param


def single(*shape: int, seed: int = 0) -> Array:
    return normal(*shape, seed=seed).astype(np.float32)


def check_product(y: fn.Tensor, a: Array, b: Array, precision: str = "medium") -> None:
    """Against the product of the rounded numbers, and against that of the numbers themselves."""
    result = y.cpu().numpy()
    bits = BITS[precision]
    terms = abs(a).astype(np.float64) @ abs(b)
    if bits:
        error = abs(result - rounded(a, bits) @ rounded(b, bits))
        assert (error <= 4 * a.shape[-1] * EPS * terms).all()
    full = abs(result - a.astype(np.float64) @ b)
    # Each number is off by 2^-bits of its size at most where it is rounded to the nearest.
    bound = 2.0 * 2.0**-bits + 4.0**-bits if bits else 0
    assert (full <= (bound + 4 * a.shape[-1] * EPS) * terms).all()
    # or nothing was rounded
    assert (full.max() > 2.0**-19 * terms.max()) == bool(bits)


def test_names() -> None:
    for name in ("highest", "high", "medium"):
        fn.set_float32_matmul_precision(name)
        assert fn.get_float32_matmul_precision() == name
    with pytest.raises(ValueError, match=r"\[set_float32_matmul_precision\] .* got 'low'"):
        fn.set_float32_matmul_precision("low")
    assert fn.get_float32_matmul_precision() == "medium"


def test_the_configuration_says_whether_it_makes_a_difference(capsys: Any) -> None:
    fn.show_config()
    available = "matrix products available" in capsys.readouterr().out
    assert available == fn._C.config()["bf16"]  # of the CPU


SIZES = {
    "plain": (64, 64, 64),
    "smallest": (32, 32, 32),
    "odd k": (33, 35, 37),
    "primes": (71, 61, 97),
    "one column over": (43, 50, 65),
    "one vector and a half": (57, 80, 56),
    "long sums, in several passes": (35, 1701, 39),
    "two whole passes": (32, 1536, 32),
    "rows a power of two apart": (80, 512, 512),
    "more columns than are packed at once": (40, 770, 900),
}


@pytest.mark.parametrize("order", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_products(size: tuple[int, int, int], order: str, precision: str) -> None:
    m, k, n = size
    a, b = single(m, k), single(k, n, seed=1)
    a, b = (np.asfortranarray(x) if o == "T" else x for x, o in zip((a, b), order, strict=True))
    check_product(place(a) @ place(b), a, b, precision)


def test_batches(precision: str) -> None:
    a, b = single(3, 40, 33), single(3, 33, 50, seed=1)
    for x, y, z in zip(place(a) @ place(b), a, b, strict=True):
        check_product(x, y, z, precision)


@pytest.mark.parametrize("shape", [(31, 64, 64), (64, 31, 64), (64, 64, 31), (1, 900, 900)])
@pytest.mark.usefixtures("precision")
def test_small_products_are_not_rounded(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    a, b = place(single(m, k)), place(single(k, n, seed=1))
    y = (a @ b).cpu().numpy().tobytes()
    fn.set_float32_matmul_precision("highest")
    assert y == (a @ b).cpu().numpy().tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_rounded(precision: str, dtype: str) -> None:
    if dtype == "float32" and BITS[precision]:
        pytest.skip("it is")
    a, b = (place(normal(64, 64, seed=i).astype(dtype)) for i in (0, 1))
    y = (a @ b).cpu().numpy().tobytes()
    fn.set_float32_matmul_precision("highest")
    assert y == (a @ b).cpu().numpy().tobytes()


@pytest.mark.usefixtures("precision")
def test_convolutions_of_a_cpu_are_not_rounded() -> None:
    arrays = [fn.from_numpy(single(*s)) for s in ((2, 40, 9, 9), (40, 40, 3, 3))]
    y = F.conv2d(*arrays).numpy().tobytes()
    fn.set_float32_matmul_precision("highest")
    assert y == F.conv2d(*arrays).numpy().tobytes()


def test_rounding_to_even_and_special_numbers() -> None:
    one = 1 + 2.0**-8  # halfway between 1 and the next number, and so on
    values = [one, 1 + 3 * 2.0**-8, one + 2.0**-20, -one, 3.4e38, np.inf, -np.inf, np.nan, 0.0]
    a = np.zeros((32, 32), np.float32)
    a[np.arange(len(values)), np.arange(len(values))] = values
    b = np.eye(32, dtype=np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        # A product with 0 is NaN for infinity and NaN: their rows are, but for the diagonal.
        y = (place(a) @ place(b)).cpu().numpy()
    expected = [1, 1 + 2.0**-6, 1 + 2.0**-7, -1, np.inf, np.inf, -np.inf, np.nan, 0.0]
    diagonal = y.diagonal()[: len(values)]
    np.testing.assert_array_equal(diagonal, np.float32(expected if BF16 else values))
    assert np.isnan(y[5, [0, 31]]).all()
    assert np.isnan(y[7]).all()
    assert not y[8:].any()


@pytest.mark.parametrize("payload", [0x7F800001, 0xFFFFFFFF, 0x7FC00000])
@pytest.mark.usefixtures("precision")
def test_every_nan_is_kept(payload: int) -> None:
    a = np.ones((33, 32), np.float32)
    a.view(np.uint32)[4, 31] = payload
    y = (place(a) @ fn.ones(32, 40)).cpu().numpy()
    assert np.isnan(y[4]).all()
    assert (np.delete(y, 4, 0) == 32).all()


@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
def test_dense_layers(activation: str, precision: str) -> None:
    arrays = single(50, 37), single(45, 37, seed=1), single(45, seed=2)
    x, w, b = (fn.tensor(v, requires_grad=True) for v in arrays)
    dy = single(50, 45, seed=3)
    if activation == "none":
        y = F.linear(x, w)
        check_product(y.detach(), arrays[0], arrays[1].T, precision)
        y.backward(place(dy))
        check_product(x.grad, dy, arrays[1], precision)
        check_product(w.grad, dy.T, arrays[0], precision)
        return
    z = place(arrays[0]) @ place(arrays[1]).T
    expected = getattr(F, activation)(place(z.cpu().numpy() + arrays[2]))
    y = F.linear(x, w, b, activation)
    np.testing.assert_allclose(
        y.detach().cpu().numpy(), expected.cpu().numpy(), rtol=1e-5, atol=1e-5
    )
    y.backward(place(dy))
    assert x.grad is not None
    assert np.isfinite(x.grad.cpu().numpy()).all()


def test_same_bits_for_every_number_of_threads(threads: Callable[[int], None]) -> None:
    a, b = place(single(300, 801)), place(single(801, 350, seed=1))
    results = set()
    for n in (1, 2, 3, 7):
        threads(n)
        results.add((a @ b).cpu().numpy().tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_compiled_steps(kind: type, activation: type, threads: Callable[[int], None]) -> None:
    threads(3)

    def train(compile):
        model = nn.Sequential(nn.Linear(37, 90), activation(), nn.Linear(90, 33))
        step = compile(training_step(model, kind(model.parameters(), lr=0.1)))
        losses = [step(x, y) for x, y in examples(4, 40, 37)]
        fn.set_float32_matmul_precision("highest")
        losses += [step(x, y) for x, y in examples(3, 40, 37)]
        fn.set_float32_matmul_precision("medium")
        return losses, model.state_dict()

    same_bits(train)


@needs_bf16
def test_a_compiled_step_follows_the_precision() -> None:
    a, b = place(single(64, 64)), place(single(64, 64, seed=1))
    step = fn.compile(lambda a, b: a @ b)
    results = []
    for precision in ("medium", "highest", "medium"):
        fn.set_float32_matmul_precision(precision)
        results.append([step(a, b).cpu().numpy().tobytes() for _ in range(2)])
    assert results[0] == results[2]
    assert results[0][0] == results[0][1] != results[1][0] == results[1][1]
