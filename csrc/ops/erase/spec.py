"""y is x with a random rectangle of each image set to a value.

The words of an image are those of ops/random, of which the upper 24 bits are used here.
"""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec

TRIES = 10


def words(seed, images, blocks):
    """The upper 24 bits of each image's words over 2^24, (images, blocks, 4)."""
    _C.manual_seed(seed)
    x = _C.empty(images * blocks * 4, dtype="float64").uniform_()
    return x.cpu().numpy().reshape(images, blocks, 4)


def rectangle(h, w, drawn, p, scale, ratio, size):
    """(rows, columns) as slices; empty ones where nothing is erased."""
    if size:
        top, left = int(h * drawn[0, 1]) - size[0] // 2, int(w * drawn[0, 2]) - size[1] // 2
        return slice(max(top, 0), top + size[0]), slice(max(left, 0), left + size[1])
    low, high = np.log(ratio)
    for u in drawn[1:] if drawn[0, 0] < p else ():
        area = h * w * (scale[0] + (scale[1] - scale[0]) * u[0])
        aspect = np.exp(low + (high - low) * u[1])
        rows, columns = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if rows < h and columns < w:
            top, left = int((h - rows + 1) * u[2]), int((w - columns + 1) * u[3])
            return slice(top, top + rows), slice(left, left + columns)
    return slice(0), slice(0)


def erase(x, seed, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), size=None, value=0.0):
    y = x.copy()
    drawn = words(seed, len(x), 1 if size else 1 + TRIES)
    for image, u in zip(y, drawn, strict=True):
        rows, columns = rectangle(*x.shape[2:], u, p, scale, ratio, size)
        image[:, rows, columns] = value
    return y, np.zeros(y.shape)


def op(x, seed, **attrs):
    _C.manual_seed(seed)
    return _C.erase(x, **attrs)


def case(name, shape, **attrs):
    return Case(name, {"x": shape}, {"seed": 3, **attrs}, grad=False)


SPECS = [
    Spec(
        "erase",
        erase,
        [
            case("plain", (9, 2, 12, 10), p=1.0),
            case("no images", (0, 1, 5, 5)),
            case("half of the images", (12, 1, 8, 8)),
            case("never", (3, 1, 8, 8), p=0.0),
            case("too large to fit", (6, 1, 8, 8), p=1.0, scale=(0.7, 1.0), ratio=(0.1, 10.0)),
            case("a value", (6, 3, 9, 7), p=1.0, value=0.5),
            case("of a size", (9, 2, 12, 10), size=(4, 3)),
            case("as large as the image", (9, 1, 6, 5), size=(9, 9)),
            case("one pixel", (3, 1, 1, 1), size=(1, 1)),
            case("several threads", (65, 3, 32, 32), p=0.8),
        ],
        kernels=["erase"],
        op=op,
        bench=[case("64 photographs", (64, 3, 32, 32))],
        bytes=lambda x, **attrs: 2 * x.nbytes,
    )
]
