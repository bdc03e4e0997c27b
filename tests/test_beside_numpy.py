"""Operations on shapes and indices drawn at random, beside NumPy."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
from devices import place, shares_memory
from hypothesis import strategies as st
from samples import Array

import fastnn as fn

small = hypothesis.settings(derandomize=True, deadline=None, max_examples=60)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def filled(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng(seed).integers(-9, 10, shape), np.float32)


@st.composite
def layouts(draw: st.DrawFn, shape: st.SearchStrategy[tuple[int, ...]] = shapes) -> Array:
    """An array of any order of dimensions, some of them reversed or every other element."""
    array = filled(draw(shape))
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    step = st.sampled_from([1, 1, -1, 2, -2])
    return array[(*(slice(None, None, draw(step)) for _ in range(array.ndim)), ...)]


@small
@hypothesis.given(st.data())
def test_reshape_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    factors = [n for n in (1, 2, 3, 4) if array.size % n == 0]
    shape: list[int] = []
    rest = array.size
    while len(shape) < 4 and rest > 1 and data.draw(st.booleans()):
        n = data.draw(st.sampled_from([f for f in factors if rest % f == 0]))
        shape.append(n)
        rest //= n
    last = data.draw(st.sampled_from([-1, rest])) if 0 not in shape else rest
    target = (*shape, last)
    x = place(array)
    y = x.reshape(target)
    np.testing.assert_array_equal(y.cpu().numpy(), array.reshape(target))
    assert shares_memory(y, x) == np.shares_memory(array.reshape(target), array)


@small
@hypothesis.given(st.data())
def test_permute_and_transpose_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    x = place(array)
    order = data.draw(st.permutations(range(array.ndim)))
    y, expected = x.permute(*order), array.transpose(order)
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y.cpu().numpy(), expected)
    np.testing.assert_array_equal(y.contiguous().cpu().numpy(), expected)
    np.testing.assert_array_equal(y.clone().cpu().numpy(), expected)
    if array.ndim:
        axis = st.integers(-array.ndim, array.ndim - 1)
        a, b = data.draw(axis), data.draw(axis)
        np.testing.assert_array_equal(x.transpose(a, b).cpu().numpy(), array.swapaxes(a, b))


@st.composite
def compatible(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two arrays whose shapes broadcast."""
    shape = draw(shapes)
    parts = []
    for seed in (1, 2):
        kept = [n if draw(st.booleans()) else 1 for n in shape[draw(st.integers(0, len(shape))) :]]
        array = filled(tuple(kept), seed)
        parts.append(array.transpose(range(array.ndim)[::-1]).copy().T)  # in Fortran's order
    return parts[0], parts[1]


@small
@hypothesis.given(compatible(), st.sampled_from(["+", "-", "*", "/", "<", "==", ">="]))
def test_broadcast_arithmetic_beside_numpy(pair: tuple[Array, Array], symbol: str) -> None:
    a, b = pair
    ours = eval(f"x {symbol} y", {"x": place(a), "y": place(b)})
    with np.errstate(all="ignore"):
        expected = eval(f"x {symbol} y", {"x": a, "y": b})
    assert ours.shape == expected.shape
    np.testing.assert_array_equal(ours.cpu().numpy(), expected)


@small
@hypothesis.given(compatible())
def test_gradients_of_broadcast_operands_have_their_shape(pair: tuple[Array, Array]) -> None:
    a, b = (fn.tensor(v, requires_grad=True) for v in pair)
    y = a * b
    y.sum().backward()
    spread = np.broadcast_arrays(*pair)
    for t, own, other in ((a, pair[0], spread[1]), (b, pair[1], spread[0])):
        lead = other.ndim - own.ndim
        axes = tuple(
            i for i, n in enumerate(other.shape) if i < lead or (own.shape[i - lead] == 1 != n)
        )
        np.testing.assert_array_equal(t.grad.cpu().numpy(), other.sum(axes).reshape(own.shape))


@small
@hypothesis.given(st.data())
def test_indexing_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    key: list[Any] = []
    for n in array.shape[: data.draw(st.integers(0, array.ndim))]:
        bound = st.none() | st.integers(-6, 6)
        cut = st.builds(slice, bound, bound, st.none() | st.integers(1, 3))
        key.append(data.draw((cut | st.integers(-n, n - 1)) if n else cut))
    index = tuple(key)
    x = fn.tensor(array)
    expected = array.copy()
    np.testing.assert_array_equal(x[index].cpu().numpy(), array[index])
    values = filled(array[index].shape, 3)
    x[index] = place(values)
    expected[index] = values
    np.testing.assert_array_equal(x.cpu().numpy(), expected)
    if array.ndim and array.shape[0]:
        rows = np.array(data.draw(st.lists(st.integers(-array.shape[0], array.shape[0] - 1))), int)
        np.testing.assert_array_equal(place(array)[rows].cpu().numpy(), array[rows])


@small
@hypothesis.given(st.data())
def test_sums_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    axes = data.draw(st.lists(st.integers(0, max(array.ndim - 1, 0)), unique=True))
    axis = tuple(axes) if array.ndim and axes else None
    keep = data.draw(st.booleans())
    y = place(array).sum(axis, keep)  # whole numbers: exact
    np.testing.assert_array_equal(y.cpu().numpy(), array.sum(axis, keepdims=keep))
