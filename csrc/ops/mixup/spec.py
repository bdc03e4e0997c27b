"""Each example mixed with the one `shift` further on, and so its target.

Block 0 of the words of ops/random holds the shift and the batch's share, block 1 + i the share of
example i; their upper 24 bits are used here.
"""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec, integers, uniform


def share(alpha, u, v):
    """Beta(alpha, alpha) from Student's t with 2 alpha degrees of freedom (Bailey's method)."""
    u, v = np.longdouble(1 - u), np.longdouble(v)
    q, c = u ** (1 / np.longdouble(alpha)), np.cos(2 * np.arccos(np.longdouble(-1)) * v)
    t2 = (1 - q) * c**2  # t^2 / (2 alpha) times q, so that nothing overflows
    return float(0.5 + 0.5 * np.sign(c) * np.sqrt(t2 / (q + t2)))


def mixup(x, target, seed, alpha, num_classes, per_example=False):
    n = len(x)
    _C.manual_seed(seed)
    blocks = 1 + n if per_example else 1
    drawn = _C.empty(4 * blocks, dtype="float64").uniform_().cpu().numpy().reshape(-1, 4)
    shift = 1 + int((n - 1) * drawn[0, 0]) if n > 1 else 0
    shares = [share(alpha, *row[1:3]) for row in (drawn[1:] if per_example else [drawn[0]] * n)]
    if target.ndim == 1:
        target = np.eye(num_classes)[target]

    def mixed(a):
        s = np.reshape(shares, (-1, *(1,) * (a.ndim - 1)))
        b = np.roll(a, -shift, 0)
        return s * a + (1 - s) * b, abs(a) + abs(b)

    values, scales = zip(mixed(x), mixed(target), strict=True)
    return list(values), list(scales)


def op(x, target, seed, **attrs):
    _C.manual_seed(seed)
    return _C.mixup(x, target, **attrs)


def case(name, shape, target=None, alpha=1.0, classes=5, **attrs):
    target = target or integers(0, classes, shape[0])
    attrs = {"seed": 11, "alpha": alpha, "num_classes": classes, **attrs}
    return Case(name, {"x": shape, "target": target}, attrs, grad=False)


SPECS = [
    Spec(
        "mixup",
        mixup,
        [
            case("plain", (6, 2, 5, 3)),
            case("no examples", (0, 3)),
            case("one example", (1, 4)),
            case("two examples", (2, 4)),
            case("one an example", (9, 7), per_example=True),
            case("small alpha", (9, 7), alpha=0.02, per_example=True),
            case("large alpha", (9, 7), alpha=300.0, per_example=True),
            case("one class", (4, 3), classes=1),
            case("soft targets", (6, 4), target=uniform(0, 1, 6, 5), per_example=True),
            case("several threads", (40, 1000), per_example=True),
        ],
        kernels=["mix_rows", "mix_labels"],
        op=op,
        bench=[case("64 photographs", (64, 3, 32, 32), classes=10)],
        bytes=lambda x, target, **attrs: 3 * x.nbytes,
    )
]
