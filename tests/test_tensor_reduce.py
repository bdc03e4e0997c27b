"""Sums, means and extrema of a tensor."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from devices import place
from samples import leaf, normal

import fastnn as fn


@pytest.mark.parametrize("dim", [None, 0, 1, -1, (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_sum_and_mean_over_axes(dim: Any, keepdim: bool) -> None:
    a = np.random.default_rng(0).integers(-9, 9, (4, 2, 8)).astype(np.float64)  # sums are exact
    for x in (place(a), place(np.asfortranarray(a))):
        total, mean = x.sum(dim, keepdim), x.mean(dim=dim, keepdim=keepdim)
        np.testing.assert_array_equal(total.cpu().numpy(), a.sum(dim, keepdims=keepdim))
        np.testing.assert_allclose(mean.cpu().numpy(), a.mean(dim, keepdims=keepdim), rtol=1e-15)


def test_sums_over_any_axes_of_any_layout() -> None:
    axes = [c for n in range(1, 5) for c in itertools.combinations(range(4), n)]
    for shape in itertools.product((1, 2), repeat=4):
        a = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
        for x in (place(a), place(np.asfortranarray(a)), place(a.transpose(0, 2, 3, 1))):
            whole = x.cpu().numpy()
            for dim in axes:
                np.testing.assert_array_equal(x.sum(dim).cpu().numpy(), whole.sum(dim), f"{dim}")


def test_sum_of_integers_and_bools_is_int64() -> None:
    assert fn.tensor([True, True]).sum().dtype is fn.int64
    assert fn.tensor([200, 100], dtype=fn.uint8).sum().item() == 300
    assert fn.zeros(0).sum().item() == 0
    assert fn.zeros(0, 3).sum(0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["uint8", "int32", "int64", "float32", "float64"])
def test_extrema_go_to_the_first_of_equals(name: str) -> None:
    a = np.random.default_rng(0).integers(0, 3, (5, 70)).astype(name)
    for x, ref in ((place(a), a), (place(np.asfortranarray(a)), a)):
        for ours, best in (("max", np.argmax), ("min", np.argmin)):
            assert getattr(x, "arg" + ours)().item() == best(ref)
            assert getattr(x, ours)().item() == getattr(ref, ours)()
            for dim in (0, 1):
                values, indices = getattr(x, ours)(dim)
                assert indices.dtype is fn.int64
                np.testing.assert_array_equal(indices.cpu().numpy(), best(ref, dim))
                np.testing.assert_array_equal(values.cpu().numpy(), getattr(ref, ours)(dim))
                kept = getattr(x, ours)(dim=dim, keepdim=True)
                assert (
                    kept.values.shape == kept.indices.shape == best(ref, dim, keepdims=True).shape
                )


@pytest.mark.parametrize("at", [0, 1, 50, 69])
def test_extrema_propagate_the_first_nan(at: int) -> None:
    a = normal(70).astype(np.float32)
    a[at:] = np.nan
    for name in ("max", "min"):
        assert math.isnan(getattr(fn.tensor(a), name)().item())
        assert getattr(fn.tensor(a), "arg" + name)().item() == at


def test_gradient_of_max_goes_to_the_first_of_equals() -> None:
    x = leaf([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]
