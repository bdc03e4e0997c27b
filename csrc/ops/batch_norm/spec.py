"""y = (x - mean) / sqrt(var + eps) * w + b for each channel, the second dimension.

While training mean and var are those of the batch, and the running ones move towards them, with
the variance divided by n - 1; else the running ones are used.
"""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec, uniform


def batch_norm(
    x, running_mean, running_var, w=None, b=None, training=False, momentum=0.1, eps=1e-5
):
    axes = tuple(i for i in range(x.ndim) if i != 1)

    def channels(v):
        return np.reshape(v, (-1, *[1] * (x.ndim - 2)))

    mean, var = (x.mean(axes), x.var(axes)) if training else (running_mean, running_var)
    factor = (1 if w is None else w) / np.sqrt(var + eps)
    y = (x - channels(mean)) * channels(factor) + (0 if b is None else channels(b))
    typical = abs(x).sum(axes) / max(x.size // x.shape[1], 1)
    size = (abs(x) + channels(typical) + channels(abs(mean))) * channels(abs(factor))
    values, scales = [y], [2 * size + (0 if b is None else channels(abs(b)))]
    if running_mean is not None:
        if training:
            count = x.size // x.shape[1]
            running_mean = (1 - momentum) * running_mean + momentum * mean
            running_var = (1 - momentum) * running_var + momentum * var * count / (count - 1)
        values += [running_mean, running_var]
        scales += [abs(running_mean) + typical, 2 * running_var]
    return values, scales


def op(x, running_mean, running_var, *others, **attrs):
    y = _C.batch_norm(x, running_mean, running_var, *others, **attrs)
    return [y] if running_mean is None else [y, running_mean, running_var]


def case(name, shape, running=True, affine=True, **attrs):
    c = (shape[1],)
    return Case(
        name,
        {
            "x": shape,
            "running_mean": c if running else None,
            "running_var": uniform(0.5, 2, *c) if running else None,
            "w": uniform(0.5, 2, *c) if affine else None,
            "b": c if affine else None,
        },
        attrs,
    )


SPECS = [
    Spec(
        "batch_norm",
        batch_norm,
        [
            case("plain", (3, 4, 5, 2), running=False, training=True),
            case("running statistics", (3, 4, 5, 2), training=True),
            case("evaluating", (3, 4, 5, 2)),
            case("vectors", (9, 7), training=True),
            case("vectors, evaluating", (9, 7)),
            case("sequences", (3, 5, 6), training=True),
            case("sequences, evaluating", (3, 5, 6)),
            case("no weight and bias", (4, 3, 2, 2), affine=False, training=True),
            case("evaluating without weight", (4, 3), affine=False),
            case("two values a channel", (2, 5), training=True, eps=0.5),
            case("one channel", (5, 1, 4, 4), training=True),
            case("lanes and one more", (5, 33), training=True),
            case("momentum 1 forgets", (6, 3), training=True, momentum=1.0),
            case("momentum 0 keeps", (6, 3), training=True, momentum=0.0),
            case("a large eps", (6, 3), training=True, eps=0.5),
            case("one example, evaluating", (1, 3)),
            case("no examples, evaluating", (0, 3)),
            case("several chunks of rows", (600, 5), training=True),
            case("several threads", (10, 20, 12, 12), training=True),
            case("several blocks of a GPU", (8300, 2), training=True),
            Case(
                "a large mean",
                {
                    "x": lambda rng: 1000 + rng.standard_normal((8300, 2)),
                    "running_mean": (2,),
                    "running_var": uniform(0.5, 2, 2),
                },
                {"training": True},
                grad=False,
            ),
        ],
        kernels=["batch_norm_fwd", "batch_norm_bwd"],
        grad=["x", "w", "b"],
        op=op,
        in_place=True,
        k=8,
        grad_k=64,
        bench=[
            case("256 x 100", (256, 100), training=True),
            case("64 x 20 x 24 x 24", (64, 20, 24, 24), training=True),
            case("64 x 20 x 24 x 24, evaluating", (64, 20, 24, 24)),
            case("64 MB", (64, 64, 64, 64), training=True),
            case("64 MB, evaluating", (64, 64, 64, 64)),
        ],
        bytes=lambda x, *others, training=False: (4 if training else 2) * x.nbytes,
        grad_bytes=lambda x, *others, training=False: (9 if training else 7) * x.nbytes,
        torch="nn.functional.batch_norm",
    )
]
