"""New shapes over the same elements. No kernels: a view is a shape and strides."""

import numpy as np

from fastnn.testing import Case, Spec, integers


def put(x, value, key):
    y = x.clone()
    y[key] = value
    return y


def put_numpy(x, value, key):
    y = x.copy()
    y[key] = value
    return y, None


def view(name, numpy, op, *cases):
    """A spec from (case, shape, attributes)."""
    return Spec(
        name,
        lambda x, **attrs: (numpy(x, **attrs), None),
        [Case(case, {"x": shape}, attrs) for case, shape, attrs in cases],
        grad=["x"],
        op=op,
    )


SPECS = [
    view(
        "reshape",
        lambda x, shape: x.reshape(shape),
        lambda x, shape: x.reshape(shape),
        ("plain", (3, 4, 5), {"shape": (6, 10)}),
        ("one size is unknown", (3, 4, 5), {"shape": (2, -1, 3)}),
        ("to one dimension", (3, 4), {"shape": (-1,)}),
        ("to none", (1, 1), {"shape": ()}),
        ("sizes of 1", (3, 4), {"shape": (1, 3, 1, 4, 1)}),
        ("empty", (0, 3), {"shape": (3, 0, 2)}),
    ),
    view(
        "flatten",
        lambda x, start=0, end=-1: x.reshape(
            *x.shape[:start], -1, *(x.shape[end + 1 :] if end != -1 else ())
        ),
        lambda x, start=0, end=-1: x.flatten(start, end),
        ("plain", (3, 4, 5), {}),
        ("images to rows", (2, 3, 4, 5), {"start": 1}),
        ("in the middle", (2, 3, 4, 5), {"start": 1, "end": 2}),
    ),
    view(
        "transpose",
        lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
        None,
        ("plain", (3, 4), {"dim0": 0, "dim1": 1}),
        ("from the end", (2, 3, 4), {"dim0": 0, "dim1": -1}),
        ("the same twice", (2, 3), {"dim0": 1, "dim1": 1}),
    ),
    view(
        "permute",
        lambda x, order: np.transpose(x, order),
        lambda x, order: x.permute(*order),
        ("plain", (2, 3, 4, 5), {"order": (0, 2, 3, 1)}),
        ("counted from the end", (2, 3, 4), {"order": (-1, 0, 1)}),
    ),
    view(
        "expand",
        lambda x, shape: np.broadcast_to(x, shape),
        lambda x, shape: x.expand(*shape),
        ("plain", (3, 1), {"shape": (3, 4)}),
        ("a new dimension", (3,), {"shape": (2, 3)}),
        ("from 0 dimensions", (), {"shape": (2, 3)}),
    ),
    view(
        "unsqueeze",
        lambda x, dim: np.expand_dims(x, dim),
        None,
        ("plain", (3, 4), {"dim": 1}),
        ("at the end", (3, 4), {"dim": -1}),
    ),
    view(
        "squeeze",
        lambda x, dim=None: np.squeeze(x) if dim is None or x.shape[dim] != 1 else x.squeeze(dim),
        None,
        ("plain", (3, 1, 4, 1), {}),
        ("one of two", (3, 1, 4, 1), {"dim": 1}),
    ),
    view(
        "getitem",
        lambda x, key: x[key],
        lambda x, key: x[key],
        ("plain", (5, 4), {"key": 2}),
        ("from the end", (5, 4), {"key": -1}),
        ("a slice", (9, 4), {"key": slice(2, 7)}),
        ("every third", (9, 4), {"key": slice(None, None, 3)}),
        ("nothing", (9, 4), {"key": slice(5, 2)}),
        ("beyond the end", (9, 4), {"key": slice(-100, 100)}),
        ("two dimensions", (9, 4), {"key": (slice(1, 8, 2), -2)}),
        ("to a number", (3, 4), {"key": (1, 2)}),
    ),
    Spec(
        "setitem",
        put_numpy,
        [
            Case("plain", {"x": (5, 4), "value": (4,)}, {"key": 2}, grad=False),
            Case("a slice", {"x": (9, 4), "value": (3, 4)}, {"key": slice(0, 9, 3)}, grad=False),
            Case("a column", {"x": (5, 4), "value": ()}, {"key": (slice(None), 1)}, grad=False),
            Case(
                "integers become real",
                {"x": (5, 4), "value": integers(0, 9, 4)},
                {"key": 0},
                grad=False,
            ),
        ],
        op=put,
    ),
]
