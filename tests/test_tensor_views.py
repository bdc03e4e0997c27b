"""Views of a tensor, what makes a copy, and memory formats."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from devices import place, shares_memory
from samples import leaf, normal

import fastnn as fn


def test_views_share_memory_and_reshape_copies_only_where_it_must() -> None:
    x = place(np.arange(24.0).reshape(2, 3, 4))
    views = [
        x.reshape(6, 4),
        x.view(2, -1),
        x.view_as(fn.empty(4, 6)),
        x.flatten(1),
        x.transpose(0, 2),
        x.permute(1, 2, 0),
        x.unsqueeze(0),
        x.unsqueeze(-1).squeeze(-1),
        x[1],
        x[:, 1:, ::2],
        x.transpose(0, 1).reshape(3, 2, 2, 2),
        x.expand(5, -1, 3, 4),
        x.detach(),
        x.data,
    ]
    for i, view in enumerate(views):
        assert shares_memory(view, x), i
    views[0][0, 0] = -1
    assert x[0, 0, 0].item() == -1
    assert not shares_memory(x.transpose(0, 2).reshape(24), x)
    assert not shares_memory(x.clone(), x)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_view_of_permuted_memory_is_a_view_or_refused(order: tuple[int, ...]) -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    p, x = a.transpose(order), place(a)
    t = x.permute(order)
    for shape in ((24,), (6, 4), (2, 12), (4, 3, 2), (2, 3, 4), (1, 2, 1, 12), (2, 2, 3, 2)):
        np.testing.assert_array_equal(t.reshape(shape).cpu().numpy(), p.reshape(shape))
        try:
            view = t.view(shape)
        except ValueError:
            assert not np.shares_memory(p.reshape(shape), a)  # NumPy had to copy as well
        else:
            assert shares_memory(view, x)
            np.testing.assert_array_equal(view.cpu().numpy(), p.reshape(shape))


def test_channels_last() -> None:
    x = place(normal(2, 3, 4, 5))
    y = x.contiguous(memory_format=fn.channels_last)
    assert y.stride() == (60, 1, 15, 3)
    assert x.is_contiguous()
    assert not x.is_contiguous(memory_format=fn.channels_last)
    assert y.is_contiguous(memory_format=fn.channels_last)
    assert not y.is_contiguous()
    np.testing.assert_array_equal(y.cpu().numpy(), x.cpu().numpy())
    z = y.contiguous(memory_format=fn.contiguous_format)
    assert z.stride() == (60, 20, 5, 1)
    np.testing.assert_array_equal(z.cpu().numpy(), x.cpu().numpy())
    # What has the layout already is not copied; elementwise results keep it.
    assert shares_memory(x.contiguous(), x)
    assert shares_memory(y.contiguous(memory_format=fn.channels_last), y)
    assert fn.relu(y + 1).stride() == y.stride()
    one = fn.zeros(2, 1, 4, 5)  # with one channel both layouts are the same bytes
    assert one.is_contiguous(memory_format=fn.channels_last)
    w = leaf(normal(2, 3, 4, 5))
    assert fn.gradcheck(lambda t: t.contiguous(memory_format=fn.channels_last) * t, w)
