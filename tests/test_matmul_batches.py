"""Batched products of matrices in every kind of memory layout, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from devices import place
from numpy.lib.stride_tricks import as_strided
from samples import normal
from steps import same_bits

import fastnn as fn

Array = np.ndarray


def strided(x: Array, strides: tuple[int, ...]) -> Array:
    return as_strided(x, (3, 4, 5, 7), [x.itemsize * s for s in strides])


# A view of shape (3, 4, 5, 7) of other memory.
VIEWS: dict[str, Callable[[], Array]] = {
    "contiguous": lambda: normal(3, 4, 5, 7),
    "transposed": lambda: normal(3, 4, 7, 5).swapaxes(2, 3),
    "rows apart": lambda: normal(3, 4, 10, 7)[:, :, ::2],
    "columns apart": lambda: normal(3, 4, 5, 14)[..., ::2],
    "part of the columns": lambda: normal(3, 4, 5, 9)[..., 1:8],
    "batch reversed": lambda: normal(3, 4, 5, 7)[::-1, ::-1],
    "rows reversed": lambda: normal(3, 4, 5, 7)[:, :, ::-1],
    "batch swapped": lambda: normal(4, 3, 5, 7).swapaxes(0, 1),
    "batch innermost": lambda: normal(5, 7, 3, 4).transpose(2, 3, 0, 1),
    "heads": lambda: normal(3, 5, 4, 7).swapaxes(1, 2),
    "heads, transposed": lambda: normal(3, 7, 4, 5).transpose(0, 2, 3, 1),
    "one matrix repeated": lambda: strided(normal(5, 7), (0, 0, 7, 1)),
    "one row repeated": lambda: strided(normal(3, 4, 7), (28, 7, 0, 1)),
    "windows that overlap": lambda: strided(normal(3, 4, 11), (44, 11, 1, 1)),
}
EVERY_VIEW = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)


def check(left: Array, right: Array) -> None:
    """Value and both gradients against NumPy."""
    a, b = place(left).requires_grad_(), place(right).requires_grad_()
    y = a @ b
    np.testing.assert_allclose(y.detach().cpu().numpy(), left @ right, rtol=1e-12, atol=1e-12)
    dy = normal(*y.shape, seed=9)
    y.backward(place(dy))
    for x, d in ((a, dy @ right.swapaxes(-1, -2)), (b, left.swapaxes(-1, -2) @ dy)):
        d = d.sum(tuple(range(d.ndim - x.ndim)))
        repeated = tuple(i for i in range(d.ndim) if x.shape[i] != d.shape[i])
        d = d.sum(repeated, keepdims=True)
        np.testing.assert_allclose(x.grad.cpu().numpy(), d, rtol=1e-11, atol=1e-11)


@EVERY_VIEW
def test_on_the_left(view: Callable[[], Array]) -> None:
    check(view(), normal(3, 4, 7, 6, seed=1))
    check(view(), normal(4, 7, 6, seed=1))
    check(view(), normal(3, 1, 7, 6, seed=1))


@EVERY_VIEW
def test_times_one_matrix(view: Callable[[], Array]) -> None:
    check(view(), normal(7, 6, seed=1))
    check(view(), normal(6, 7, seed=1).T)


@EVERY_VIEW
def test_on_the_right(view: Callable[[], Array]) -> None:
    check(normal(3, 4, 2, 5, seed=1), view())
    check(normal(2, 5, seed=1), view())
    check(normal(4, 5, 2, seed=1).swapaxes(1, 2), view())


@EVERY_VIEW
def test_gradient_in_another_layout(view: Callable[[], Array]) -> None:
    a, b = (fn.tensor(normal(*s), requires_grad=True) for s in ((3, 4, 5, 6), (6, 7)))
    dy = view()
    (a @ b).backward(place(dy))
    left, right = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    np.testing.assert_allclose(a.grad.cpu().numpy(), dy @ right.T, rtol=1e-12, atol=1e-12)
    expected = np.tensordot(left, dy, ((0, 1, 2), (0, 1, 2)))
    np.testing.assert_allclose(b.grad.cpu().numpy(), expected, rtol=1e-11, atol=1e-11)


def test_expanded_tensors_are_not_copied_to_the_wrong_place() -> None:
    a = normal(4, 1, 5, 7)
    x = place(a).expand(4, 3, 5, 7)
    b = normal(3, 7, 2, seed=1)
    np.testing.assert_allclose((x @ place(b)).cpu().numpy(), a @ b, rtol=1e-12)


@EVERY_VIEW
def test_compiled(view: Callable[[], Array], threads: Callable[[int], None]) -> None:
    threads(3)

    def train(compile):
        w = fn.tensor(normal(7, 6, seed=1), requires_grad=True)

        @compile
        def step(x, v):
            w.grad = None
            y = (x @ w).transpose(2, 3) @ x @ v
            y.sum().backward()
            return y.detach(), w.grad

        x = place(view())
        return [step(x, place(normal(4, 7, 2, seed=i))) for i in range(3)]

    same_bits(train)
