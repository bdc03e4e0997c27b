"""fn.set_conv2d_algorithm: what it changes, what it leaves alone, and that it is obeyed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from samples import FLOATS, normal
from steps import examples, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F

pytestmark = pytest.mark.cpu_only("GPUs have one algorithm")


@pytest.fixture(autouse=True)
def direct() -> Iterator[None]:
    assert fn.get_conv2d_algorithm() == "direct"
    yield
    fn.set_conv2d_algorithm("direct")


def tensors(dtype: str = "float32", n: int = 4) -> list[fn.Tensor]:
    arrays = normal(n, 32, 16, 12), normal(48, 32, 3, 3, seed=1), normal(48, seed=2)
    return [fn.tensor(a.astype(dtype), requires_grad=True) for a in arrays]


def bits(*results: fn.Tensor) -> list[bytes]:
    return [t.detach().numpy().tobytes() for t in results]


def forward_and_backward(before_backward: str | None = None) -> list[bytes]:
    x, w, b = tensors()
    y = F.conv2d(x, w, b, padding=1)
    if before_backward:
        fn.set_conv2d_algorithm(before_backward)
    y.backward(fn.tensor(normal(*y.shape, seed=3).astype(np.float32)))
    return bits(y, x.grad, w.grad, b.grad)


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=r"\[set_conv2d_algorithm\].*'direct'.*'winograd'.*'fft'"):
        fn.set_conv2d_algorithm("fft")
    assert fn.get_conv2d_algorithm() == "direct"


def test_it_has_at_most_half_of_the_products():
    """36 a tile of 4 x 4, against 9 a pixel of the output."""
    results = []
    for algorithm in ("direct", "winograd"):
        fn.set_conv2d_algorithm(algorithm)
        x, w = (
            fn.tensor(normal(*shape).astype(np.float32), requires_grad=True)
            for shape in ((4, 16, 6, 6), (16, 16, 3, 3))
        )
        y = F.conv2d(x, w)  # 4 x 4, a tile; its gradient is 6 x 6, four tiles
        y.backward(fn.tensor(normal(*y.shape, seed=3).astype(np.float32)))
        results.append(bits(y, x.grad, w.grad))
    assert [a == b for a, b in zip(*results, strict=True)] == [False, True, False]


def test_backward_is_that_of_the_forward_pass():
    direct = forward_and_backward()
    assert forward_and_backward("winograd") == direct
    winograd = forward_and_backward()
    assert forward_and_backward("direct") == winograd
    # The gradient of the bias is a plain sum; all else is rounded differently.
    assert [a == b for a, b in zip(direct, winograd, strict=True)] == [False, False, False, True]
    assert forward_and_backward() == direct


def test_same_bits_for_every_number_of_threads(threads: Callable[[int], None]):
    fn.set_conv2d_algorithm("winograd")
    threads(1)
    expected = forward_and_backward()
    for n in (2, 3, 8):
        threads(n)
        assert forward_and_backward() == expected, f"{n} threads"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_tiles(odd: float, dtype: str):
    x, w, b = tensors(dtype, 1)
    with fn.no_grad():
        expected = F.conv2d(x, w, b, padding=1).numpy()
        image = x.detach().numpy().copy()
        image[0, 3, 9, 5] = odd  # seen by the outputs of rows 8 to 10 and columns 4 to 6
        fn.set_conv2d_algorithm("winograd")
        y = F.conv2d(fn.from_numpy(image), w, b, padding=1).numpy()
    inside = np.zeros((16, 12), bool)
    inside[8:12, 4:8] = True
    assert not np.isfinite(y[:, :, 8:11, 4:7]).any()
    np.testing.assert_allclose(y[:, :, ~inside], expected[:, :, ~inside], rtol=0, atol=1e-3)


def test_a_compiled_step_records_anew():
    x, w, b = tensors()
    step = fn.compile(lambda x: F.conv2d(x, w.detach(), b.detach(), padding=1))
    plain = x.detach()
    direct = [bits(step(plain)) for _ in range(3)]
    fn.set_conv2d_algorithm("winograd")
    winograd = [bits(step(plain)) for _ in range(3)]
    assert winograd[0] == winograd[1] == winograd[2] == bits(F.conv2d(plain, w, b, padding=1))
    fn.set_conv2d_algorithm("direct")
    assert [bits(step(plain)) for _ in range(3)] == direct
    assert winograd[0] != direct[0]


TAILS: dict[str, Callable[[Any], Any]] = {
    "activation": F.relu,
    "pool": lambda y: F.max_pool2d(y, 2),
    "activation, pool": lambda y: F.max_pool2d(F.tanh(y), 2),
    "nothing": lambda y: y,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(17, 15), (12, 20), (6, 11)])
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_fused_with_what_follows(tail: Callable, shape: tuple[int, int], dtype: str):
    fn.set_conv2d_algorithm("winograd")

    def train(compile):
        first, second = nn.Conv2d(2, 16, 3, padding=1), nn.Conv2d(16, 20, 3, padding=1)
        third = nn.Linear(20, 5)
        layers = nn.ModuleList([first, second, third]).to(dtype=getattr(fn, dtype))
        step = compile(
            training_step(
                lambda x: third(tail(second(F.relu(first(x)))).mean((2, 3))),
                optim.SGD(layers.parameters(), lr=0.01),
            )
        )
        losses = [step(x, y) for x, y in examples(4, 7, 2, *shape, dtype=dtype)]
        return losses, layers.state_dict()

    same_bits(train)
