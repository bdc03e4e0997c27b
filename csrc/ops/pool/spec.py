"""One number for each window of each channel: its largest, its mean, or its p-norm."""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec, specials, ties, uniform


def pair(value):
    return (value, value) if isinstance(value, int) else value


def windows(size, kernel, stride, padding=0, dilation=1, ceil_mode=False):
    """For each output, the input positions it sees, and how many there are with the padding.

    With ceil_mode a last window may reach beyond the padding, but not begin in it.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    for start in range(-padding, count * stride - padding, stride):
        seen = [start + dilation * t for t in range(kernel)]
        inside = [p for p in seen if 0 <= p < size]
        yield inside, min(start + kernel, size + padding) - start


def pool(x, f, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """f(cells (..., k), their numbers in the image, their count with padding) for each window."""
    options = zip(
        x.shape[-2:],
        pair(kernel_size),
        pair(kernel_size if stride is None else stride),
        pair(padding),
        pair(dilation),
        strict=True,
    )
    rows, columns = [list(windows(*o, ceil_mode)) for o in options]
    y = [
        f(
            x[..., i, :][..., j].reshape(*x.shape[:-2], len(i) * len(j)),
            np.add.outer(np.array(i) * x.shape[-1], j).ravel(),
            ni * nj,
        )
        for i, ni in rows
        for j, nj in columns
    ]
    return np.stack(y, -1).reshape(*x.shape[:-2], len(rows), len(columns))


def max_pool2d(x, *args, return_indices=False, **options):
    """A window that dilation leads past the whole image has -inf, at -1."""

    def first(cells, at, n):  # NaN, if there is one
        return at[cells.argmax(-1)] if len(at) else np.full(cells.shape[:-1], -1)

    largest = pool(x, lambda cells, at, n: cells.max(-1, initial=-np.inf), *args, **options)
    place = pool(x, first, *args, **options)
    return ([largest, place], [None, None]) if return_indices else (largest, None)


def avg_pool2d(x, *args, count_include_pad=True, divisor_override=None, **options):
    def mean(cells, at, n):
        return cells.sum(-1) / (divisor_override or (n if count_include_pad else len(at)))

    return pool(x, mean, *args, **options), pool(abs(x), mean, *args, **options)


def lp_pool2d(x, norm_type, *args, **options):
    """As in PyTorch the norm for p = 1 is the plain sum, with its sign."""

    def norm(cells, at, n):
        return (abs(cells) ** norm_type).sum(-1) ** (1 / norm_type)

    size = pool(x, norm, *args, **options)
    if norm_type == 1:
        return pool(x, lambda cells, at, n: cells.sum(-1), *args, **options), size
    return size, size


def adaptive_avg_pool2d(x, output_size):
    """Window i of n goes from floor(i size / n) to ceil((i + 1) size / n)."""
    oh, ow = pair(output_size)
    height, width = x.shape[-2:]
    y, scale = np.empty((2, *x.shape[:-2], oh, ow))
    for i in range(oh):
        for j in range(ow):
            cells = x[
                ...,
                i * height // oh : -(-(i + 1) * height // oh),
                j * width // ow : -(-(j + 1) * width // ow),
            ]
            y[..., i, j] = cells.mean((-2, -1))
            scale[..., i, j] = abs(cells).mean((-2, -1))
    return y, scale


def case(name, x, kernel, grad=True, **attrs):
    return Case(name, {"x": x}, {"kernel_size": kernel, **attrs}, grad)


SLIDING = [
    case("plain", (2, 3, 6, 8), 2),
    case("one element", (1, 1, 1, 1), 1),
    case("whole image", (2, 5, 4, 3), (4, 3)),
    case("one image", (3, 6, 4), 2),
    case("rows left over", (1, 2, 7, 9), 2),
    case("windows overlap", (2, 3, 7, 6), 3, stride=1),
    case("stride larger than the kernel", (1, 3, 9, 8), 2, stride=3),
    case("the longest stride", (2, 4, 5, 6), (3, 2), stride=2**31 - 1),
    case("a pair", (1, 2, 6, 9), (2, 3), stride=(1, 2)),
    case("lanes and one more", (1, 33, 4, 4), 2),
    case("17 channels", (1, 17, 5, 5), 2, stride=1),
    case("no images", (0, 3, 4, 4), 2),
    case("for MNIST", (4, 20, 24, 24), 2),
    case("one channel", (3, 1, 8, 8), 2),
    case("ceil_mode", (1, 2, 7, 8), 3, stride=2, ceil_mode=True),
    case("ceil_mode beyond the end", (1, 2, 5, 5), 2, stride=3, ceil_mode=True),
    case("NaN and infinity", specials(2, 3, 6, 6), 2, grad=False),
]
PADDED = [
    case("padding", (2, 3, 5, 6), 3, padding=1),
    case("channels in packs", (2, 8, 7, 6), 3, stride=2, padding=1),
    case("padding and stride", (1, 2, 7, 8), (4, 3), stride=2, padding=(2, 1)),
    case("padding and the longest stride", (1, 3, 5, 6), 3, stride=(1, 2**31 - 1), padding=1),
    case("padding and ceil_mode", (1, 2, 6, 7), 3, stride=2, padding=1, ceil_mode=True),
]
BENCH = [
    case("64 x 20 x 24 x 24", (64, 20, 24, 24), 2),
    case("64 x 40 x 8 x 8", (64, 40, 8, 8), 2),
    case("64 x 1 x 28 x 28", (64, 1, 28, 28), 2),
    case("64 x 6 x 24 x 24", (64, 6, 24, 24), 2),
    case("3 x 3, stride 2, 32 x 64 x 32 x 32", (32, 64, 32, 32), 3, stride=2, padding=1),
    case("64 MB", (64, 64, 64, 64), 2),
]

SPECS = [
    Spec(
        "max_pool2d",
        max_pool2d,
        [
            *SLIDING,
            *PADDED,
            case("dilation", (1, 3, 9, 8), (3, 2), stride=1, dilation=(2, 3)),
            case("dilation and padding", (1, 3, 7, 7), 3, stride=2, padding=1, dilation=2),
            case(
                "windows of padding alone",
                (2, 8, 1, 4),
                (2, 3),
                grad=False,
                padding=1,
                dilation=(2, 1),
                return_indices=True,
            ),
            case("places", (2, 3, 6, 8), 2, return_indices=True),
            case("places in one image", (3, 6, 8), (2, 3), return_indices=True),
            case("ties go to the first", ties(2, 17, 6, 6), 2, grad=False, return_indices=True),
            case(
                "ties and padding",
                ties(1, 5, 7, 7),
                3,
                grad=False,
                stride=2,
                padding=1,
                return_indices=True,
            ),
            case("place of NaN", specials(2, 17, 6, 6), 3, grad=False, return_indices=True),
        ],
        kernels=["max_pool_fwd", "max_pool_bwd"],
        grad=["x"],
        bench=BENCH,
        bytes=lambda x, **attrs: 1.5 * x.nbytes,  # x, and of a quarter of its size: y, places
        grad_bytes=lambda x, **attrs: 3 * x.nbytes,
        torch="nn.functional.max_pool2d",
    ),
    Spec(
        "avg_pool2d",
        avg_pool2d,
        [
            *SLIDING,
            *PADDED,
            case("padding is not counted", (1, 2, 5, 6), 3, padding=1, count_include_pad=False),
            case("another divisor", (1, 2, 5, 6), 2, divisor_override=3),
            case("large windows", (2, 36, 14, 13), (14, 12), stride=1),
            case("large windows of few channels", (1, 3, 30, 31), 13, padding=6, stride=8),
        ],
        kernels=["avg_pool_fwd", "avg_pool_bwd"],
        grad=["x"],
        bench=BENCH,
        bytes=lambda x, **attrs: 1.25 * x.nbytes,  # x, and y of a quarter of its size
        grad_bytes=lambda x, **attrs: 2.5 * x.nbytes,
        torch="nn.functional.avg_pool2d",
    ),
    *[
        Spec(
            f"lp_pool2d_{p}",
            lp_pool2d,
            [
                Case(c.name, {"x": uniform(0.1, 2, *c.inputs["x"])}, {"norm_type": p, **c.attrs})
                for c in SLIDING[:-1]
            ]
            + [
                Case("of zeros", {"x": lambda rng: np.zeros((1, 2, 4, 4))}, at, grad=False),
                Case("of negatives", {"x": (2, 3, 4, 4)}, at),
            ],
            kernels=["lp_pool_fwd", "lp_pool_bwd"],
            grad=["x"],
            op=lambda x, norm_type, kernel_size, **attrs: _C.lp_pool2d(
                x, norm_type, kernel_size, **attrs
            ),
            k=8,
        )
        for p in (1, 2, 3)
        for at in [{"norm_type": p, "kernel_size": 2}]
    ],
    Spec(
        "adaptive_avg_pool2d",
        adaptive_avg_pool2d,
        [
            Case("plain", {"x": (2, 3, 6, 8)}, {"output_size": (3, 4)}),
            Case("whole image", {"x": (2, 17, 5, 7)}, {"output_size": 1}),
            Case("channels in blocks", {"x": (2, 251, 3, 2)}, {"output_size": 1}),
            Case("windows overlap", {"x": (1, 3, 7, 10)}, {"output_size": (3, 4)}),
            Case("as the input", {"x": (1, 2, 5, 4)}, {"output_size": (5, 4)}),
            Case("larger than the input", {"x": (1, 2, 3, 2)}, {"output_size": (5, 4)}),
            Case("one image", {"x": (3, 6, 4)}, {"output_size": 2}),
            Case("large windows", {"x": (1, 6, 37, 40)}, {"output_size": 2}),
            Case("no images", {"x": (0, 3, 4, 4)}, {"output_size": 2}),
            Case("NaN", {"x": specials(1, 3, 6, 6)}, {"output_size": 4}, grad=False),
        ],
        kernels=["avg_pool_fwd", "avg_pool_bwd"],
        grad=["x"],
        bench=[
            Case("64 x 64 x 8 x 8 to 1", {"x": (64, 64, 8, 8)}, {"output_size": 1}),
            Case("64 MB to 1", {"x": (64, 64, 64, 64)}, {"output_size": 1}),
        ],
        bytes=lambda x, **attrs: x.nbytes,
        grad_bytes=lambda x, **attrs: 2 * x.nbytes,
        torch="nn.functional.adaptive_avg_pool2d",
    ),
]
