"""y[j] = x[index[j]] for rows; backward adds row j of dy to row index[j] of dx."""

import numpy as np

from fastnn.testing import Case, Spec, given, integers


def taken(name, shape, index, grad=True):
    return Case(name, {"x": shape, "index": index}, {"dim": 0}, grad)


SPECS = [
    Spec(
        "index_select",
        lambda x, index, dim: (np.take(x, index, dim), None),
        [
            taken("plain", (5, 4), integers(0, 5, 7)),
            taken("one row again and again", (5, 3), given([2] * 9)),
            taken("from the end", (5, 3), integers(-5, 5, 9)),
            taken("nothing", (5, 3), given(np.zeros(0, np.int64))),
            taken("int32", (5, 3), given(np.array([4, 0, 4], np.int32))),
            taken("numbers", (9,), integers(0, 9, 4)),
            taken("images", (6, 2, 3, 3), integers(0, 6, 4)),
            taken("a table of indices", (6, 2), integers(0, 6, 3, 4)),
            taken("more than is listed at once", (3, 2), integers(0, 3, 5000)),
            taken("wide rows", (4, 1032), integers(-4, 4, 6)),
            taken("wide rows of odd length", (3, 1031), integers(0, 3, 4)),
            taken("many rows", (2500, 3), integers(0, 2500, 1500)),
            taken("rows of no width", (6, 0), integers(0, 6, 3)),
            taken("several threads", (300, 2100), integers(0, 300, 200)),
            taken("bytes", given(np.arange(40, dtype=np.uint8).reshape(8, 5)), given([7]), False),
        ],
        kernels=["gather_rows", "scatter_rows"],
        grad=["x"],
        op=lambda x, index, dim: x.index_select(dim, index),
        bench=[
            taken("64 of 5000 images", (5000, 784), integers(0, 5000, 64)),
            taken("64 MB", (5000, 784), integers(0, 5000, 21400)),
        ],
        bytes=lambda x, index, dim: 2 * len(index) * x[0].nbytes,
        numpy=lambda x, index, dim: x[index],
        torch=lambda x, index, dim: x[index],
    ),
]
