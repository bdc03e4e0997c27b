"""softmax: y = exp(x) / sum of exp(x) along one dimension; log_softmax: its logarithm."""

import numpy as np

from fastnn.testing import Case, Spec, given, specials, uniform


def log_softmax(x, dim):
    shifted = x - x.max(dim, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))
    return y, abs(x) + abs(x.max(dim, keepdims=True)) + abs(y)


def softmax(x, dim):
    # An error of x becomes a relative error of y.
    y, scale = log_softmax(x, dim)
    return np.exp(y), np.exp(y) * (2 + scale)


def rows(name, shape, dim=-1, grad=True):
    return Case(name, {"x": shape}, {"dim": dim}, grad)


CASES = [
    rows("plain", (4, 10)),
    rows("one class", (3, 1)),
    rows("one row", (10,)),
    rows("another dimension", (3, 5, 4), 1),
    rows("the first dimension", (6, 7), 0),
    *[rows(f"{n} classes", (3, n)) for n in (15, 16, 17, 127, 128, 129)],
    rows("no rows", (0, 5)),
    rows("several threads", (700, 31)),
    rows("one row of many", (1, 9001)),
    rows("many classes", (2, 513)),
    rows("very many classes", (1, 16500)),
    rows("descending", given(np.linspace(9, -9, 2600).reshape(2, 1300))),
    rows("ascending", given(np.linspace(-900, 900, 2600).reshape(2, 1300)), grad=False),
    rows("large numbers", uniform(-2000, 2000, 5, 10), grad=False),
    rows("all equal", given(np.full((2, 7), 3.0))),
    rows("-inf is probability 0", given([[0.0, -np.inf, 1], [2, 3, -np.inf]]), grad=False),
    rows(
        "-inf first", given(np.append(np.full(1400, -np.inf), np.arange(100.0))[None]), grad=False
    ),
    rows("-inf only", given(np.full((1, 1300), -np.inf)), grad=False),
    rows("NaN and infinity", specials(9, 12), grad=False),
    rows("NaN and infinity of many", specials(4, 1100), grad=False),
]
BENCH = [
    rows("64 x 10", (64, 10)),
    rows("1024 x 1000", (1024, 1000)),
    rows("64 MB", (1 << 14, 1 << 10)),
]

SPECS = [
    Spec(
        f.__name__,
        f,
        CASES,
        kernels=["softmax_fwd", "softmax_bwd"],
        grad=["x"],
        bench=BENCH,
        bytes=lambda x, **attrs: 2 * x.nbytes,
        grad_bytes=lambda x, **attrs: 5 * x.nbytes,
        torch=f.__name__,
        jax=f"nn.{f.__name__}",
    )
    for f in (softmax, log_softmax)
]
