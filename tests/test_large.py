"""Results far larger than the caches, which kernels write past them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn

pytestmark = pytest.mark.cpu_only("results larger than its caches")

N = (32 << 20) // 4 + 37  # float32: beyond the limit, and not whole vectors


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(N + 1024, np.float32)


OPERATIONS: dict[str, tuple[Any, Any]] = {
    "relu": (lambda x: x.relu(), lambda x: np.maximum(x, 0)),
    "add": (lambda x: x + x, lambda x: x + x),
    "less": (lambda x: x < 0.5, lambda x: x < 0.5),
    "clone": (lambda x: x.clone(), lambda x: x),
    "fill": (lambda x: fn.full(x.shape, 0.5), lambda x: np.full(x.shape, np.float32(0.5))),
}


@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "off by one"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_large_result(name: str, offset: int, numbers: np.ndarray) -> None:
    ours, theirs = OPERATIONS[name]
    x = numbers[offset : offset + N]
    np.testing.assert_array_equal(ours(fn.from_numpy(x)).numpy(), theirs(x))


def test_large_results_in_place_off_alignment(numbers: np.ndarray) -> None:
    y = fn.zeros(N + 1024)
    y[1:].copy_(fn.from_numpy(numbers[1:]))
    np.testing.assert_array_equal(y.numpy()[1:], numbers[1:])
    y[1:].add_(1.0)
    np.testing.assert_array_equal(y.numpy()[1:], numbers[1:] + np.float32(1))


@pytest.mark.parametrize("channels", [20, 257])
def test_large_batch_norm(channels: int, numbers: np.ndarray) -> None:
    rows = (32 << 20) // 4 // channels + 3
    x = numbers[: rows * channels].reshape(rows, channels)
    t = fn.from_numpy(x)
    t.requires_grad = True
    zeros, ones = fn.zeros(channels), fn.ones(channels)
    y = fn.nn.functional.batch_norm(t, zeros, ones, eps=0.25)
    y.backward(fn.from_numpy(x))
    factor = np.float32(1) / np.sqrt(np.float32(1.25))
    np.testing.assert_array_equal(y.detach().numpy(), x * factor)
    np.testing.assert_array_equal(t.grad.numpy(), x * factor)
