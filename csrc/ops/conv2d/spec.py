"""y[n, o, i, j] = b[o] + sum over c, p, q of x[n, c, i sh + p dh, j sw + q dw] w[o, c, p, q]

with x padded by zeros. With several groups an output channel sees the inputs of its group only.
"""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec, specials


def pair(value):
    return (value, value) if isinstance(value, int) else value


def padded(x, padding, reach):
    """The input with its border of zeros; 'same' puts the odd one behind."""
    if padding == "same":
        border = [(r // 2, r - r // 2) for r in reach]
    else:
        border = [(p, p) for p in pair(0 if padding == "valid" else padding)]
    return np.pad(x, [(0, 0), (0, 0), *border])


def correlate(x, w, b, stride, padding, dilation, groups):
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    outputs, kh, kw = len(w), *w.shape[2:]
    reach = dh * (kh - 1), dw * (kw - 1)
    x = padded(x, padding, reach)
    oh, ow = (x.shape[2] - reach[0] - 1) // sh + 1, (x.shape[3] - reach[1] - 1) // sw + 1
    y = np.zeros((len(x), outputs, oh, ow))
    for o in range(outputs):
        group = o // (outputs // groups)
        channels = x[:, group * w.shape[1] : (group + 1) * w.shape[1]]
        for p in range(kh):
            for q in range(kw):
                seen = channels[:, :, p * dh :: sh, q * dw :: sw][:, :, :oh, :ow]
                y[:, o] += np.einsum("ncij,c->nij", seen, w[o, :, p, q])
    return y if b is None else y + b[:, None, None]


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    options = (stride, padding, dilation, groups)
    sizes = [None if a is None else abs(a) for a in (x, w, b)]
    return correlate(x, w, b, *options), correlate(*sizes, *options)


def conv1d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """A convolution of images of one row."""
    padding = padding if isinstance(padding, str) else (0, padding)
    y, scale = conv2d(x[:, :, None], w[:, :, None], b, (1, stride), padding, (1, dilation), groups)
    return y[:, :, 0], scale[:, :, 0]


def image(x, w, b=None, **options):
    """One image instead of a batch."""
    y, scale = conv2d(x[None], w, b, **options)
    return y[0], scale[0]


def winograd(*arrays, **options):
    """The operation with the switch set."""
    before = _C.get_conv2d_algorithm()
    _C.set_conv2d_algorithm("winograd")
    try:
        return _C.conv2d(*arrays, **options)
    finally:
        _C.set_conv2d_algorithm(before)


def in_tiles(x, w, b=None, **options):
    """An error of one output is one of all 4 x 4 in its tile."""
    y, scale = conv2d(x, w, b, **options)
    largest = np.zeros_like(scale)
    for i in range(0, scale.shape[2], 4):
        for j in range(0, scale.shape[3], 4):
            tile = np.s_[:, :, i : i + 4, j : j + 4]
            largest[tile] = scale[tile].max((2, 3), keepdims=True)
    return y, largest


def case(name, x, w, bias=True, grad=True, **attrs):
    return Case(name, {"x": x, "w": w, "b": (w[0],) if bias else None}, attrs, grad)


def flops(x, w, b=None, **options):
    one_map = conv2d(np.zeros_like(x[:1, :1]), w[:1, :1], **{**options, "groups": 1})[0]
    return 2 * len(x) * one_map.size * np.size(w)


SPECS = [
    Spec(
        "conv2d",
        conv2d,
        [
            case("plain", (2, 3, 7, 6), (4, 3, 3, 3), padding=1),
            case("one element", (1, 1, 1, 1), (1, 1, 1, 1)),
            case("without bias", (2, 2, 5, 5), (3, 2, 2, 2), bias=False),
            case("kernel as large as the input", (2, 3, 4, 5), (2, 3, 4, 5)),
            case("1 x 1 kernel", (2, 17, 5, 3), (33, 17, 1, 1)),
            case("one channel", (2, 1, 12, 12), (20, 1, 5, 5)),
            case("one output", (2, 5, 6, 6), (1, 5, 3, 3)),
            case("lanes and one more", (1, 33, 5, 5), (17, 33, 3, 3)),
            case("many channels", (1, 64, 6, 7), (65, 64, 3, 3), padding=1),
            case("128 channels", (1, 128, 4, 4), (128, 128, 2, 2)),
            case("wide rows", (1, 2, 3, 70), (3, 2, 2, 3)),
            case("stride 2", (2, 3, 8, 9), (4, 3, 3, 3), stride=2),
            case("stride that leaves pixels out", (1, 2, 9, 10), (2, 2, 2, 2), stride=3),
            case("stride larger than the kernel", (2, 2, 11, 8), (3, 2, 2, 1), stride=(4, 3)),
            case("strides that differ", (1, 2, 9, 9), (2, 2, 3, 3), stride=(1, 2)),
            case("padding that differs", (1, 2, 5, 6), (3, 2, 3, 2), padding=(2, 1)),
            case("padding larger than the input", (1, 1, 2, 2), (2, 1, 3, 3), padding=3),
            case("stride and padding", (2, 3, 8, 8), (4, 3, 3, 3), stride=2, padding=1),
            case("kernel larger than the input", (1, 2, 2, 3), (2, 2, 5, 5), padding=2),
            case("valid", (1, 2, 5, 5), (2, 2, 3, 2), padding="valid"),
            case("same", (2, 2, 5, 6), (3, 2, 3, 5), padding="same"),
            case("same with an even kernel", (1, 2, 5, 6), (3, 2, 2, 4), padding="same"),
            case("same, dilated", (1, 2, 7, 6), (2, 2, 3, 2), padding="same", dilation=(2, 3)),
            case("dilation", (2, 2, 9, 8), (3, 2, 3, 2), dilation=(2, 3)),
            case("stride and dilation", (1, 2, 11, 12), (2, 2, 3, 3), stride=2, dilation=3),
            case("stride 4, dilation 2", (1, 2, 12, 13), (2, 2, 3, 3), stride=4, dilation=2),
            case(
                "stride, padding and dilation",
                (2, 3, 9, 11),
                (5, 3, 3, 3),
                stride=(2, 1),
                padding=(1, 2),
                dilation=(1, 2),
            ),
            case("two groups", (2, 4, 5, 5), (6, 2, 3, 3), groups=2, padding=1),
            case("a channel a group", (2, 6, 5, 5), (6, 1, 3, 3), groups=6, padding=1),
            case("two outputs a channel", (1, 3, 6, 6), (6, 1, 2, 2), groups=3, stride=2),
            case("groups and dilation", (1, 4, 7, 7), (4, 2, 3, 3), groups=2, dilation=2),
            case(
                "channels, lanes and one more", (2, 33, 5, 6), (33, 1, 3, 3), groups=33, padding=1
            ),
            case(
                "a channel a group, stride 2",
                (2, 17, 9, 8),
                (17, 1, 3, 3),
                groups=17,
                padding=1,
                stride=2,
            ),
            case(
                "a channel a group, long rows",
                (1, 9, 4, 37),
                (9, 1, 2, 5),
                groups=9,
                padding=(0, 2),
            ),
            case(
                "a channel a group, many rows", (1, 24, 90, 40), (24, 1, 3, 3), groups=24, padding=1
            ),
            case(
                "many rows, stride and dilation",
                (2, 18, 97, 41),
                (36, 1, 3, 4),
                groups=18,
                padding=(3, 2),
                stride=(2, 3),
                dilation=(2, 1),
            ),
            case(
                "a channel a group, stride 4", (2, 8, 11, 10), (8, 1, 3, 2), groups=8, stride=(4, 3)
            ),
            case(
                "three outputs a channel",
                (2, 19, 7, 6),
                (57, 1, 3, 3),
                groups=19,
                padding=1,
                stride=(2, 1),
            ),
            case("two channels a group", (2, 34, 6, 7), (34, 2, 3, 3), groups=17, padding=1),
            case(
                "one output of three channels",
                (2, 51, 6, 7),
                (17, 3, 3, 3),
                groups=17,
                padding=1,
                dilation=2,
            ),
            case("five channels to three", (1, 165, 4, 4), (99, 5, 2, 3), groups=33, stride=(1, 2)),
            case(
                "eight channels a group",
                (2, 72, 5, 5),
                (72, 8, 3, 3),
                groups=9,
                padding=1,
                stride=2,
            ),
            case(
                "a channel a group, same, even",
                (1, 10, 5, 6),
                (10, 1, 2, 4),
                groups=10,
                padding="same",
            ),
            case(
                "groups of many outputs",
                (2, 6, 6, 7),
                (40, 3, 3, 3),
                groups=2,
                padding=1,
                stride=(2, 1),
            ),
            case(
                "more pixels than are summed at once",
                (3, 5, 29, 31),
                (7, 5, 3, 2),
            ),
            case(
                "taps that no pixel meets, many channels",
                (1, 20, 9, 8),
                (24, 20, 3, 3),
                stride=(2, 3),
                dilation=(2, 1),
                padding=1,
            ),
            case(
                "stride larger than the kernel, many channels",
                (2, 18, 9, 7),
                (16, 18, 1, 2),
                stride=3,
            ),
            case("no images", (0, 3, 5, 5), (4, 3, 3, 3)),
            case("many images", (19, 2, 6, 6), (3, 2, 3, 3)),
            case("first layer for MNIST", (5, 1, 28, 28), (20, 1, 5, 5)),
            case("second layer for MNIST", (5, 20, 12, 12), (40, 20, 5, 5)),
            case("few outputs", (3, 1, 28, 28), (6, 1, 5, 5)),
            case("one output, wide rows", (1, 1, 6, 70), (1, 1, 3, 3)),
            case("few outputs of some channels", (2, 3, 9, 17), (2, 3, 3, 3), padding=1),
            case(
                "few outputs, dilated rows",
                (1, 2, 7, 33),
                (2, 2, 3, 4),
                padding=(1, 2),
                dilation=(1, 2),
            ),
            case(
                "few outputs, dilated", (1, 1, 12, 40), (2, 1, 3, 3), stride=(2, 1), dilation=(2, 3)
            ),
            case("few channels, many outputs", (2, 4, 9, 10), (37, 4, 3, 3), padding=1),
            case("few channels, stride 2", (2, 5, 11, 20), (32, 5, 5, 5), stride=2, padding=2),
            case("few channels, dilated", (1, 2, 9, 17), (19, 2, 3, 3), dilation=2),
            case("a channel a group, many outputs", (2, 3, 8, 19), (60, 1, 3, 3), groups=3),
            case("NaN and infinity", specials(1, 2, 6, 6), (3, 2, 3, 3), grad=False),
            case("NaN and infinity, one output", specials(1, 1, 6, 20), (1, 1, 3, 3), grad=False),
        ],
        kernels=["conv2d_fwd", "conv2d_bwd"],
        grad=["x", "w", "b"],
        grad_k=64,
        bench=[
            case("64 x 1 x 28 x 28 to 20, 5 x 5", (64, 1, 28, 28), (20, 1, 5, 5)),
            case("64 x 20 x 12 x 12 to 40, 5 x 5", (64, 20, 12, 12), (40, 20, 5, 5)),
            case("128 x 3 x 32 x 32 to 64, 3 x 3", (128, 3, 32, 32), (64, 3, 3, 3), padding=1),
            case("128 x 64 x 16 x 16 to 128, 3 x 3", (128, 64, 16, 16), (128, 64, 3, 3), padding=1),
        ],
        flops=flops,
        torch="nn.functional.conv2d",
    ),
    Spec(
        "conv2d_image",
        image,
        [case("plain", (3, 6, 5), (4, 3, 3, 3), padding=1)],
        grad=["x", "w", "b"],
        op=_C.conv2d,
    ),
    Spec(
        "conv2d_winograd",
        in_tiles,
        [
            case("plain", (8, 32, 8, 8), (32, 32, 3, 3), padding=1),
            case("odd sizes", (3, 33, 15, 13), (41, 33, 3, 3), padding=1),
            case("no padding, no bias", (4, 40, 13, 14), (32, 40, 3, 3), bias=False),
            case("padding 2", (2, 32, 14, 14), (32, 32, 3, 3), padding=2),
            case("padding 3, a direct gradient", (2, 32, 14, 14), (32, 32, 3, 3), padding=3),
            case("padding that differs", (3, 32, 14, 13), (33, 32, 3, 3), padding=(0, 2)),
            case("same", (2, 32, 16, 15), (64, 32, 3, 3), padding="same"),
            case("long rows", (1, 32, 4, 230), (32, 32, 3, 3), padding=1),
            case("one image", (1, 49, 24, 23), (32, 49, 3, 3), padding=1),
            case("many images", (131, 16, 3, 4), (18, 16, 3, 3), padding=1),
            case("few tiles", (1, 32, 8, 8), (32, 32, 3, 3), padding=1),
            case("more images than are summed at once", (35, 17, 8, 7), (16, 17, 3, 3), padding=1),
            case("many channels", (2, 130, 16, 16), (97, 130, 3, 3), padding=1),
            case("direct: few channels", (8, 15, 8, 8), (32, 15, 3, 3), padding=1),
            case("direct: few tiles", (3, 32, 4, 4), (32, 32, 3, 3), padding=1),
            case("direct: tiles too large", (8, 32, 5, 5), (32, 32, 3, 3), padding=1),
            case("direct: stride", (8, 32, 15, 15), (32, 32, 3, 3), padding=1, stride=(1, 2)),
            case("direct: dilation", (8, 32, 9, 9), (32, 32, 3, 3), padding=1, dilation=(2, 1)),
            case("direct: groups", (8, 64, 8, 8), (64, 32, 3, 3), padding=1, groups=2),
            case("direct: 5 x 5", (8, 32, 8, 8), (32, 32, 5, 5), padding=2),
        ],
        kernels=["conv2d_fwd", "conv2d_bwd"],
        grad=["x", "w", "b"],
        op=winograd,
        k=16,
        grad_k=64,
        bench=[
            case("64 x 64 x 16 x 16 to 64", (64, 64, 16, 16), (64, 64, 3, 3), padding=1),
            case("64 x 128 x 8 x 8 to 128", (64, 128, 8, 8), (128, 128, 3, 3), padding=1),
            case("128 x 64 x 16 x 16 to 128", (128, 64, 16, 16), (128, 64, 3, 3), padding=1),
        ],
        flops=flops,
        torch="nn.functional.conv2d",
    ),
    Spec(
        "conv1d",
        conv1d,
        [
            case("plain", (2, 3, 11), (4, 3, 3)),
            case("one element", (1, 1, 1), (1, 1, 1)),
            case("all options", (2, 3, 17), (4, 3, 3), stride=2, padding=3, dilation=2),
            case("same", (1, 2, 9), (3, 2, 4), padding="same"),
            case("groups", (2, 4, 9), (6, 2, 3), groups=2),
            case("no examples", (0, 3, 9), (2, 3, 3)),
            case("long", (2, 3, 301), (5, 3, 7)),
        ],
        kernels=["conv2d_fwd", "conv2d_bwd"],
        grad=["x", "w", "b"],
        torch="nn.functional.conv1d",
    ),
]
