"""C = A B for matrices (..., m, k) and (..., k, n); leading dimensions repeat as in NumPy."""

import numpy as np

from fastnn.testing import Case, Spec, specials


def matmul(a, b):
    return np.matmul(a, b), np.matmul(abs(a), abs(b))


def product(name, a, b, grad=True):
    return Case(name, {"a": a, "b": b}, grad=grad)


def square(n):
    return product(f"{n} x {n} x {n}", (n, n), (n, n))


SPECS = [
    Spec(
        "matmul",
        matmul,
        [
            product("plain", (5, 7), (7, 6)),
            product("one element", (1, 1), (1, 1)),
            product("primes", (13, 31), (31, 37)),
            product("no rows", (0, 5), (5, 4)),
            product("no columns", (3, 5), (5, 0)),
            product("nothing to add up is 0", (3, 0), (0, 4)),
            *[square(n) for n in (127, 128, 129)],
            *[product(f"{m} rows left over", (m, 9), (9, 33)) for m in range(2, 16)],
            *[product(f"{n} columns", (3, 5), (5, n)) for n in (2, 8, 15, 16, 17, 31, 47, 64, 65)],
            product("long sums, in several passes", (7, 1500), (1500, 19)),
            product("long sums, in chunks", (3, 2100), (2100, 4)),
            product("a large right side", (70, 520), (520, 270)),
            product("more columns than are packed at once", (66, 70), (70, 2100)),
            product("rows a power of two apart", (80, 512), (512, 512)),
            product("outer product", (33, 1), (1, 65)),
            product("vector times vector", (17,), (17,)),
            product("vector times matrix", (17,), (17, 5)),
            product("matrix times vector", (5, 17), (17,)),
            product("a batch", (4, 5, 6), (4, 6, 3)),
            product("a batch times one matrix", (4, 5, 6), (6, 3)),
            product("batches repeat", (2, 1, 3, 4), (3, 4, 2)),
            product("matrices repeat on the left", (5, 6), (4, 6, 3)),
            product("batches repeat on both sides", (2, 1, 3, 1, 3, 4), (1, 5, 1, 2, 4, 2)),
            product("a batch of vectors times one matrix", (3, 4, 1, 6), (6, 3)),
            product("a batch times one vector", (3, 4, 5, 6), (6,)),
            product("nothing to add up in a batch", (2, 3, 0), (0, 4)),
            product("no columns in a batch", (2, 3, 5), (5, 0)),
            product("an empty batch", (0, 3, 4), (0, 4, 2)),
            product("many small products", (64, 9, 17), (64, 17, 9)),
            product("NaN and infinity", specials(9, 17), (17, 21), grad=False),
        ],
        kernels=["matmul"],
        grad=["a", "b"],
        bench=[square(n) for n in (32, 64, 128, 256, 512, 1024, 2048)],
        flops=lambda a, b: 2 * np.size(a) * b.shape[-1],
        numpy="matmul",
        torch="matmul",
        jax="numpy.matmul",
    ),
]
