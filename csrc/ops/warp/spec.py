"""Random affine maps and smooth fields, applied to images in one bilinear resampling.

The words of an image are those of ops/random, of which the upper 24 bits are used here: 8 for each
stage, then one for each pixel where there is a field.
"""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec


def words(seed, images, blocks):
    """The upper 24 bits of each image's words, (images, 4 blocks)."""
    _C.manual_seed(seed)
    x = _C.empty(images * blocks * 4, dtype="float64").uniform_()
    return (x.cpu().numpy() * 2**24).reshape(images, -1)


def stage(degrees=0, x=0, y=0, scale=1, shear_x=0, shear_y=0, flip_x=0, flip_y=0, centre=(0, 0)):
    """The 16 numbers of a stage; a range is a pair, a number stands for itself twice."""
    ranges = (degrees, x, y, scale, shear_x, shear_y)
    pairs = [r if isinstance(r, tuple) else (r, r) for r in ranges]
    return [float(v) for v in (*sum(pairs, ()), flip_x, flip_y, *centre)]


def inverse(numbers, drawn):
    """The 3 x 3 matrix from the result's (x, y, 1) to the image's."""
    low, high = np.reshape(numbers[:12], (6, 2)).T
    u = drawn / 2**24
    degrees, x, y, scale, shear_x, shear_y = low + (high - low) * u[:6]
    x, y = np.floor([x + 0.5, y + 0.5])
    cx, cy = numbers[14:]
    t, sx, sy = np.radians([degrees, shear_x, shear_y])

    def matrix(a, b, c, d, e=0.0, f=0.0):
        return np.array([[a, b, e], [c, d, f], [0, 0, 1]])

    forward = (
        matrix(1, 0, 0, 1, cx + x, cy + y)
        @ matrix(np.cos(t), -np.sin(t), np.sin(t), np.cos(t))
        @ matrix(1, 0, -np.tan(sy), 1)
        @ matrix(1, -np.tan(sx), 0, 1)
        @ matrix(scale, 0, 0, scale)
        @ matrix(-1 if u[6] < numbers[12] else 1, 0, 0, -1 if u[7] < numbers[13] else 1)
        @ matrix(1, 0, 0, 1, -cx, -cy)
    )
    return np.linalg.inv(forward)


def smoothing(size, sigma):
    """The matrix (size, size) of a Gaussian on a circle."""
    k = np.arange(-round(4 * sigma), round(4 * sigma) + 1)
    g = np.exp(-(k**2) / (2 * sigma**2))
    matrix = np.zeros((size, size))
    for at in range(size):
        np.add.at(matrix[at], (at + k) % size, g / g.sum())
    return matrix


def warp(x, seed, stages, size, alpha=0.0, sigma=1.0, fill=0.0, edge=False):
    n, c, h, w = x.shape
    oh, ow = size
    blocks = 2 * len(stages) + (-(-oh * ow // 4) if alpha else 0)
    y = np.empty((n, c, oh, ow))
    if y.size == 0:
        return y, y
    down, along = smoothing(oh, sigma), smoothing(ow, sigma)
    border = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 2)), "edge" if edge else "constant")
    if not edge:
        border[:, :, [0, -2, -1]] = border[:, :, :, [0, -2, -1]] = fill
    for i, drawn in enumerate(words(seed, n, blocks)):
        map = np.eye(3)
        for k in reversed(range(len(stages))):
            map = inverse(stages[k], drawn[8 * k : 8 * k + 8]) @ map
        v, u = np.mgrid[:oh, :ow]
        u, v, _ = np.tensordot(map, np.stack([u, v, np.ones_like(u)]), 1)
        if alpha:
            field = drawn[8 * len(stages) :][: oh * ow].reshape(oh, ow)
            for place, bits in ((u, field // 4096), (v, field % 4096)):
                place += alpha * down @ ((2 * bits + 1) / 4096 - 1) @ along.T
        u, v = (
            u.clip(0, w - 1) if edge else u.clip(-1, w),
            v.clip(0, h - 1) if edge else v.clip(-1, h),
        )
        iu, iv = np.floor(u).astype(int), np.floor(v).astype(int)
        fu, fv = u - iu, v - iv
        corners = [border[i, :, iv + 1 + dy, iu + 1 + dx] for dy in (0, 1) for dx in (0, 1)]
        a, b, d, e = np.moveaxis(corners, -1, 1)
        y[i] = (1 - fv) * ((1 - fu) * a + fu * b) + fv * ((1 - fu) * d + fu * e)
    # A place is known to the rounding of the coordinates, and a value as well as its slope allows.
    return y, np.full(y.shape, (2 * abs(border).max() + abs(fill)) * (h + w + oh + ow + abs(alpha)))


def op(x, seed, **attrs):
    _C.manual_seed(seed)
    return _C.warp(x, **attrs)


def turn(h, w, **ranges):
    return stage(centre=((w - 1) / 2, (h - 1) / 2), **ranges)


ANY = {"degrees": (-30, 30), "scale": (0.8, 1.2), "shear_x": (-10, 20), "shear_y": (-5, 5)}


def case(name, shape, stages, size=None, **attrs):
    size = size or shape[2:]
    return Case(
        name, {"x": shape}, {"seed": 7, "stages": stages, "size": size, **attrs}, grad=False
    )


SPECS = [
    Spec(
        "warp",
        warp,
        [
            case("plain", (2, 3, 7, 9), [turn(7, 9, **ANY)]),
            case("nothing to do", (2, 1, 5, 6), []),
            case("no images", (0, 1, 5, 6), [turn(5, 6, **ANY)]),
            case("one pixel", (2, 1, 1, 1), [turn(1, 1, **ANY)], alpha=2.0),
            case("whole shifts", (5, 1, 6, 4), [stage(x=(-2.5, 2.5), y=(-1.5, 1.5))]),
            case("fill", (5, 1, 6, 4), [stage(x=(-2.5, 2.5), y=(-1.5, 1.5))], fill=0.75),
            case("edge", (5, 2, 6, 4), [turn(6, 4, **ANY), stage(x=(-3, 3))], edge=True),
            case("quarters of a turn", (3, 1, 6, 6), [turn(6, 6, degrees=90)]),
            case("many turns", (3, 1, 6, 6), [turn(6, 6, degrees=(-4000, 4000))]),
            case("flips", (8, 1, 5, 4), [turn(5, 4, flip_x=0.5, flip_y=0.5)]),
            case("crop", (4, 2, 9, 11), [stage(x=(-6.5, 2.5), y=(-4.5, 2.5))], (7, 6)),
            case("larger than it was", (2, 1, 5, 4), [stage(x=3.0, y=2.0)], (9, 11)),
            case(
                "three stages",
                (3, 1, 8, 8),
                [turn(8, 8, **ANY), stage(x=(-2, 2)), turn(8, 8, **ANY)],
            ),
            case("field alone", (3, 2, 9, 10), [], alpha=6.0, sigma=1.0),
            case("field and map", (3, 1, 12, 9), [turn(12, 9, **ANY)], alpha=8.0, sigma=1.5),
            case("field wider than the image", (2, 1, 6, 5), [], alpha=9.0, sigma=4.0),
            case("field in a narrow image", (2, 1, 40, 2), [], alpha=4.0, sigma=2.0, edge=True),
            case("rough field", (2, 1, 6, 5), [], alpha=0.7, sigma=0.01),
            case("far away", (2, 1, 5, 5), [stage(x=(-900, 900))], fill=2.0),
            case("digits", (7, 1, 28, 28), [turn(28, 28, **ANY)], alpha=34.0, sigma=4.0),
            case(
                "colours on several threads",
                (9, 3, 32, 32),
                [turn(32, 32, **ANY)],
                alpha=20.0,
                sigma=3.0,
            ),
        ],
        kernels=["warp"],
        op=op,
        k=8,
        bench=[
            case("64 digits", (64, 1, 28, 28), [turn(28, 28, **ANY)]),
            case(
                "64 digits, elastic", (64, 1, 28, 28), [turn(28, 28, **ANY)], alpha=34.0, sigma=4.0
            ),
            case(
                "64 photographs", (64, 3, 32, 32), [turn(32, 32, flip_x=0.5), stage(x=(-4.5, 4.5))]
            ),
        ],
        bytes=lambda x, **attrs: 2 * x.nbytes,
    )
]
