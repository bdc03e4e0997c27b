"""Copies between layouts, conversions between element types, and fills."""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec, exact, given, integers, specials, uniform


def filled(x, value):
    x.fill_(value)
    return x


def overwritten(x, src):
    x.copy_(src)
    return x


FLOATS = ("float32", "float64")
INTEGERS = ("int64", "int32", "uint8")
WHOLE = np.arange(-5, 130)
REST = ("float32", *INTEGERS)
REAL = uniform(0, 200, 3, 43)

SPECS = [
    Spec(
        "contiguous",
        lambda x, memory_format=None: (x, None),
        [
            Case("plain", {"x": (2, 3, 4, 5)}),
            Case("to channels last", {"x": (2, 3, 4, 5)}, {"memory_format": _C.channels_last}),
            Case("one channel", {"x": (2, 1, 4, 5)}, {"memory_format": _C.channels_last}),
            Case("empty", {"x": (0, 3, 4, 5)}, {"memory_format": _C.channels_last}),
            Case("large", {"x": (4, 20, 24, 24)}, {"memory_format": _C.channels_last}),
            Case("integers", {"x": integers(-9, 9, 3, 5)}, grad=False),
            Case("bytes", {"x": given(np.arange(35, dtype=np.uint8).reshape(5, 7))}, grad=False),
        ],
        kernels=["strided_copy"],
        grad=["x"],
        op=lambda x, **format: x.contiguous(**format),
    ),
    Spec(
        "transposed",
        lambda x: (np.swapaxes(x, -1, -2), None),
        [
            Case("plain", {"x": (3, 5)}),
            Case("one row", {"x": (1, 5)}),
            Case("a matrix each", {"x": (2, 20, 33)}),
            *[Case(f"{n} x {n}", {"x": (n, n)}) for n in (7, 8, 9, 31, 32, 33, 65)],
            Case("tall", {"x": (300, 3)}),
            Case("wide", {"x": (3, 300)}),
            Case("several threads", {"x": (513, 130)}),
            Case("int64", {"x": integers(-9, 9, 17, 35)}, grad=False),
            Case("bytes", {"x": given(np.arange(140, dtype=np.uint8).reshape(7, 20))}, grad=False),
        ],
        kernels=["strided_copy"],
        grad=["x"],
        op=lambda x: x.transpose(-1, -2).contiguous(),
        bench=[
            Case("64 x 10", {"x": (64, 10)}),
            Case("64 x 20 x 576", {"x": (64, 20, 576)}),  # to channels last
            Case("64 x 576 x 20", {"x": (64, 576, 20)}),  # and back
            Case("1000 x 1000", {"x": (1000, 1000)}),
            Case("64 MB", {"x": (1 << 12, 1 << 12)}),
        ],
        bytes=lambda x: 2 * x.nbytes,
        grad_bytes=lambda x: 4 * x.nbytes,
        numpy=lambda x: np.ascontiguousarray(np.swapaxes(x, -1, -2)),
        torch=lambda x: x.transpose(-1, -2).contiguous(),
    ),
    Spec(
        "clone",
        lambda x: (x, None),
        [
            Case("plain", {"x": (3, 4, 5)}),
            Case("0 dimensions", {"x": ()}),
            Case("empty", {"x": (3, 0)}),
            Case("NaN", {"x": specials(31)}, grad=False),
        ],
        kernels=["strided_copy"],
        grad=["x"],
        op=lambda x: x.clone(),
        bench=[Case("1 million", {"x": (1 << 20,)}), Case("64 MB", {"x": (1 << 24,)})],
        bytes=lambda x: 2 * x.nbytes,
        grad_bytes=lambda x: 4 * x.nbytes,
        numpy=lambda x: x.copy(),
        torch=lambda x: x.clone(),
    ),
    Spec(
        "to",
        exact(lambda x, dtype: x.astype(dtype)),
        [Case("real to float64", {"x": REAL}, {"dtype": "float64"})]
        + [Case(f"real to {t}", {"x": REAL}, {"dtype": t}, grad=False) for t in REST]
        + [Case("NaN is true", {"x": specials(35)}, {"dtype": "bool"}, grad=False)]
        + [Case("NaN stays", {"x": specials(35)}, {"dtype": "float32"}, grad=False)]
        + [
            # What the other type cannot hold is refused, not wrapped (tests/test_errors_value.py).
            Case(
                f"{a} to {b}",
                {"x": given((abs(WHOLE) % 256 if b == "uint8" else WHOLE).astype(a))},
                {"dtype": b},
                grad=False,
            )
            for a in (*INTEGERS, "bool")
            for b in (*FLOATS, *INTEGERS, "bool")
        ],
        kernels=["cast"],
        grad=["x"],
        op=lambda x, dtype: x.to(dtype=dtype),
    ),
    Spec(
        "fill_",
        lambda x, value: (np.full(x.shape, value), None),
        [
            Case("plain", {"x": (3, 5)}, {"value": 2.5}, grad=False),
            Case("integers", {"x": integers(0, 9, 3, 5)}, {"value": -7}, grad=False),
            Case("large", {"x": (5, 8209)}, {"value": -1.0}, grad=False),
        ],
        kernels=["fill"],
        bench=[Case("64 MB", {"x": (1 << 24,)}, {"value": 1.0})],
        bytes=lambda x, value: x.nbytes,
        numpy=lambda x, value: x.fill(value),
        torch=lambda x, value: x.fill_(value),
        op=filled,
        in_place=True,
    ),
    Spec(
        "full",
        lambda size, value: (np.full(size, value), None),
        [
            Case("plain", {}, {"size": (3, 5), "value": 2.5}, grad=False),
            Case("integers", {}, {"size": (129,), "value": -3}, grad=False),
            Case("large", {}, {"size": (5, 8209), "value": 0.5}, grad=False),
            Case("empty", {}, {"size": (0,), "value": 0.5}, grad=False),
        ],
        kernels=["fill", "strided_copy"],
        op=lambda size, value: _C.full(size, value),
    ),
    Spec(
        "copy_",
        lambda x, src: (np.broadcast_to(src, x.shape), None),
        [
            Case("plain", {"x": (3, 5), "src": (3, 5)}, grad=False),
            Case("a row repeats", {"x": (3, 5), "src": (5,)}, grad=False),
            Case("integers become real", {"x": (3, 5), "src": integers(0, 9, 3, 1)}, grad=False),
        ],
        kernels=["strided_copy", "cast"],
        op=overwritten,
        in_place=True,
    ),
]
