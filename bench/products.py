"""Matrix products beside those of csrc/ops/matmul/spec.py: odd sizes, transposes, thin matrices.

Sizes are m x n x k: (m, k) times (k, n). NT reads its right side transposed, as a linear layer
does, and TN its left side, as the gradient of the layer's weight does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn.testing import Case, Spec

Sizes = list[tuple[int, int, int]]


def _nn(a: Any, b: Any) -> Any:
    return a @ b


def _nt(a: Any, b: Any) -> Any:
    return a @ b.T


def _tn(a: Any, b: Any) -> Any:
    return a.T @ b


def _spec(name: str, product: Callable[[Any, Any], Any], sizes: Sizes) -> Spec:
    cases = [
        Case(
            f"{m} x {n} x {k}",
            {
                "a": (k, m) if product is _tn else (m, k),
                "b": (n, k) if product is _nt else (k, n),
            },
        )
        for m, n, k in sizes
    ]
    return Spec(
        name,
        reference=lambda a, b: (product(a, b), None),
        cases=cases,
        bench=cases,
        flops=lambda a, b: 2.0 * a.size * b.size / a.shape[0 if product is _tn else 1],
        op=product,
        numpy=product,
        torch=product,
        jax=product,
    )


def _squares(*sides: int) -> Sizes:
    return [(n, n, n) for n in sides]


SPECS = [
    _spec("matmul", _nn, _squares(127, 129, 384, 1000, 1023)),
    _spec("matmul NT", _nt, _squares(127, 512, 1000, 1024)),
    _spec("matmul TN", _tn, [(784, 30, 10), (784, 128, 64), *_squares(127, 512, 1000, 1024)]),
    _spec(
        "matmul thin",  # layers for MNIST, then sizes of DeepBench
        _nn,
        [
            *[(10, 30, 784), (64, 100, 640), (64, 128, 784)],
            *[(16, 1760, 1760), (64, 1760, 1760)],
            *[(1760, n, 1760) for n in (16, 32, 64, 128)],
            *[(2048, 64, 2048), (2560, 64, 2560), (5124, 16, 2048)],
        ],
    ),
]
