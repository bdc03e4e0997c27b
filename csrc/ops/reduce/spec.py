"""Sums, means, largest and smallest elements over some of the dimensions."""

import numpy as np

from fastnn.testing import Case, Spec, given, integers, specials, ties


def total(x, dim=None, keepdim=False):
    return np.sum(x, dim, keepdims=keepdim), np.sum(abs(x), dim, keepdims=keepdim)


def mean(x, dim=None, keepdim=False):
    count = x.size if dim is None else np.prod(np.take(x.shape, dim))
    return np.sum(x, dim, keepdims=keepdim) / count, np.sum(abs(x), dim, keepdims=keepdim) / count


def extremum(values, positions):
    """Values, and where they are first met; NaN wins over everything."""

    def reference(x, dim=None, keepdim=False):
        y, at = values(x, dim, keepdims=keepdim), positions(x, dim, keepdims=keepdim)
        return y if dim is None else [y, at], None if dim is None else [None, None]

    return reference


def position(positions):
    return lambda x, dim=None, keepdim=False: (positions(x, dim, keepdims=keepdim), None)


def over(name, shape, dim=None, grad=True, **attrs):
    attrs = {"dim": dim, **attrs} if dim is not None else attrs
    return Case(name, {"x": shape}, attrs, grad)


ONE_DIM = [
    over("plain", (3, 5, 4), 1),
    over("the first", (5, 129), 0),
    over("the last", (5, 127), -1),
    over("everything, in several blocks", (17000,)),
    over("kept", (2, 3, 4), 1, keepdim=True),
    over("everything", (7, 11)),
    over("one element", (1,), 0),
    over("0 dimensions", ()),
    over("a dimension of 1", (4, 1, 3), 1),
    over("no rows to reduce", (0, 3), 1),
    over("longer than a chunk", (2, 40000), 1),
    over("many rows", (20000, 3), 0),
    over("many short rows", (3000, 5), 1),
    over("the middle, cut", (2, 4200, 2), 1),
    over("many small blocks", (300, 3, 5), 1),
    over("NaN and infinity", specials(9, 31), 1, grad=False),
    over("ties", ties(9, 31), 1, grad=False),
    over("integers", integers(-9, 9, 4, 7), 0, grad=False),
    over("bool", given(np.arange(12).reshape(3, 4) % 3 == 0), 1, grad=False),
]
SUMS = [
    over("an empty sum", (3, 0), 1),
    over("of channels, as a bias gradient", (2, 3, 4, 5), (0, 2, 3)),
    over("not next to each other", (3, 4, 5, 6), (0, 2), keepdim=True),
    over("no dimension", (3, 4), ()),
]
BENCH = [over("rows of 1000", (1000, 1000), 1), over("columns of 1000", (1000, 1000), 0)]
BENCH += [over("64 x 10", (64, 10), 1), over("64 x 100 x 160, the middle", (64, 100, 160), 1)]
BENCH += [over("64 MB, rows", (1 << 12, 1 << 12), 1), over("64 MB, columns", (1 << 12, 1 << 12), 0)]
SUM_BENCH = [over("everything", (1 << 20,)), over("64 MB", (1 << 24,))]


def both(f):
    return [case for case in ONE_DIM + SUMS if f(case)]


SPECS = [
    Spec(
        "sum",
        total,
        both(lambda case: True),
        kernels=["reduce_sum"],
        grad=["x"],
        bench=[*BENCH, *SUM_BENCH],
        bytes=lambda x, **attrs: x.nbytes,
        grad_bytes=lambda x, **attrs: 2 * x.nbytes,
        numpy=lambda x, dim=None: np.sum(x, dim),
        torch="sum",
    ),
    Spec(
        "mean",
        mean,
        both(lambda case: case.name not in ("integers", "bool")),
        kernels=["reduce_sum"],
        grad=["x"],
        bench=[over("rows of 1000", (1000, 1000), 1), over("everything", (1 << 20,))],
        bytes=lambda x, **attrs: x.nbytes,
        grad_bytes=lambda x, **attrs: 2 * x.nbytes,
        numpy=lambda x, dim=None: np.mean(x, dim),
        torch="mean",
    ),
    *[
        Spec(
            name,
            extremum(values, positions),
            ONE_DIM,
            kernels=["reduce_max", "reduce_max_bwd"],
            grad=["x"],
            bench=BENCH,
            bytes=lambda x, **attrs: x.nbytes,
            grad_bytes=lambda x, **attrs: 2 * x.nbytes,
            torch=name,
        )
        for name, values, positions in [("max", np.max, np.argmax), ("min", np.min, np.argmin)]
    ],
    Spec("argmax", position(np.argmax), ONE_DIM, kernels=["reduce_max"]),
    Spec("argmin", position(np.argmin), ONE_DIM, kernels=["reduce_max"]),
]
