"""y[i] = x[i] / (1 - p) where the i-th random number is at least p, else 0.

Elements are counted in the order of memory; the numbers are those of ops/random.
"""

import importlib

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec


def dropout(x, seed, p=0.5, training=True):
    if not training or p == 0:
        return x, None
    kept = uniform(seed, x.size).reshape(x.shape) >= p
    y = np.where(kept, x / (1 - p), 0) if p < 1 else np.zeros_like(x)
    return y, abs(y)


def uniform(seed, count):
    """The generator's numbers, checked in ops/random."""
    _C.manual_seed(seed)
    x = _C.empty(count, dtype="float64")
    return x.uniform_().cpu().numpy()


def op(x, seed, **attrs):
    _C.manual_seed(seed)
    return _C.dropout(x, **attrs)


def torch_dropout(x, seed):
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    return torch.nn.functional.dropout(x)


def case(name, shape, **attrs):
    return Case(name, {"x": shape}, {"seed": 5, **attrs})


SPECS = [
    Spec(
        "dropout",
        dropout,
        [
            case("plain", (6, 7)),
            case("0 dimensions", ()),
            case("empty", (0, 3)),
            case("rarely", (9, 15), p=0.1),
            case("mostly", (9, 15), p=0.9),
            case("everything", (9,), p=1.0),
            case("nothing", (9,), p=0.0),
            case("evaluating", (9,), training=False),
            case("several threads", (3, 8209), p=0.3),
        ],
        kernels=["dropout"],
        grad=["x"],
        op=op,
        layouts=False,
        bench=[
            case("64 x 100", (64, 100)),
            case("1 million", (1 << 20,)),
            case("64 MB", (1 << 24,)),
        ],
        bytes=lambda x, **attrs: 2 * x.nbytes,
        grad_bytes=lambda x, **attrs: 4 * x.nbytes,
        torch=torch_dropout,
    )
]
