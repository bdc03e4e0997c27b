"""Losses of class scores: the mean of -log p of the right class.

cross_entropy takes scores x, with p = softmax(x); nll_loss takes log p itself. Classes are the
second dimension. Targets are class numbers, or (cross_entropy only) a probability for each class.
"""

import numpy as np

from fastnn.testing import Case, Spec, given, integers, specials, uniform


def last(x):
    """Classes as the last dimension."""
    return x if x.ndim == 1 else np.moveaxis(x, 1, -1)


def reduced(terms, scale, reduction, divisor):
    if reduction == "none":
        return terms, scale
    divisor = divisor if reduction == "mean" else 1
    return terms.sum() / divisor, scale.sum() / divisor


def cross_entropy(x, t, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    x = last(x)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else weight
    top = x.max(-1, keepdims=True)
    log_p = x - top - np.log(np.exp(x - top).sum(-1, keepdims=True))
    size = abs(x) + abs(top) + abs(log_p)
    # q: how much each class counts
    if t.dtype.kind == "i":
        counted = t != ignore_index
        t = np.where(counted, t, 0)
        q = (1 - label_smoothing) * np.eye(classes)[t] + label_smoothing / classes
        q = np.where(counted[..., None], q * w, 0)
        divisor = w[t][counted].sum()
    else:
        q = w * ((1 - label_smoothing) * last(t) + label_smoothing / classes)
        divisor = q[..., 0].size
    terms = np.where(q == 0, 0, -q * log_p).sum(-1)
    return reduced(terms, np.where(q == 0, 0, q * size).sum(-1), reduction, divisor)


def nll_loss(log_p, t, weight=None, ignore_index=-100, reduction="mean"):
    log_p = last(log_p)
    w = np.ones(log_p.shape[-1]) if weight is None else weight
    counted = t != ignore_index
    t = np.where(counted, t, 0)
    chosen = np.take_along_axis(log_p, t[..., None], -1)[..., 0]
    terms = np.where(counted, -w[t] * chosen, 0)
    return reduced(terms, abs(terms), reduction, w[t][counted].sum())


def probabilities(*shape):
    """For every class, adding up to 1."""

    def make(rng):
        p = rng.uniform(0, 1, shape)
        return p / p.sum(1, keepdims=True)

    return make


def case(name, x, t, weight=None, grad=True, **attrs):
    return Case(name, {"x": x, "t": t, "weight": weight}, attrs, grad)


WEIGHT = uniform(0.5, 2, 7)
LABELS = [
    case("plain", (5, 7), integers(0, 7, 5)),
    case("one example", (1, 10), integers(0, 10, 1)),
    case("one class", (3, 1), integers(0, 1, 3)),
    case("no batch", (7,), integers(0, 7)),
    case("int32", (3, 7), given(np.array([6, 0, 3], np.int32))),
    case("sum", (5, 7), integers(0, 7, 5), reduction="sum"),
    case("none", (5, 7), integers(0, 7, 5), reduction="none"),
    case("weights", (5, 7), integers(0, 7, 5), WEIGHT),
    case("weights, sum", (5, 7), integers(0, 7, 5), WEIGHT, reduction="sum"),
    case("ignored", (6, 7), given([0, -100, 6, -100, 3, 3])),
    case("ignored, none", (4, 7), given([0, -100, 6, 2]), reduction="none"),
    case("another number ignored", (4, 7), given([2, 1, 2, 5]), WEIGHT, ignore_index=2),
    case("all ignored gives NaN", (2, 7), given([-100, -100]), grad=False),
    case("no examples give NaN", (0, 7), integers(0, 7, 0), grad=False),
    case("no examples, sum", (0, 7), integers(0, 7, 0), reduction="sum"),
    case("a class for every pixel", (2, 7, 3, 4), integers(0, 7, 2, 3, 4)),
    case("every pixel, none", (2, 7, 5), integers(0, 7, 2, 5), WEIGHT, reduction="none"),
    case("several threads", (900, 13), integers(0, 13, 900)),
    case("129 classes", (3, 129), integers(0, 129, 3)),
    case("1000 classes", (3, 1000), integers(0, 1000, 3), uniform(0.5, 2, 1000)),
    case("9000 classes", (2, 9000), integers(0, 9000, 2)),
    case("17000 classes", (1, 17000), integers(0, 17000, 1)),
    case("many rows", (17000, 2), integers(0, 2, 17000)),
]
SOFT = [
    case("smoothed", (5, 7), integers(0, 7, 5), label_smoothing=0.1),
    case("smoothed, weighted", (5, 7), integers(0, 7, 5), WEIGHT, label_smoothing=0.3),
    case("smoothed, ignored", (3, 7), given([1, -100, 2]), WEIGHT, label_smoothing=0.3),
    case("smoothed, 1030 classes", (2, 1030), integers(0, 1030, 2), label_smoothing=0.1),
    case("smoothed entirely", (5, 7), integers(0, 7, 5), label_smoothing=1.0),
    case("probabilities", (5, 7), probabilities(5, 7)),
    case("probabilities, weighted", (5, 7), probabilities(5, 7), WEIGHT, label_smoothing=0.2),
    case("probabilities, none", (5, 7), probabilities(5, 7), reduction="none"),
    case("probabilities of pixels", (2, 7, 3), probabilities(2, 7, 3)),
    case("large scores", uniform(-1000, 1000, 5, 7), integers(0, 7, 5)),
    case("NaN and infinity", specials(9, 7), integers(0, 7, 9), grad=False, reduction="none"),
]

SPECS = [
    Spec(
        "cross_entropy",
        cross_entropy,
        LABELS + SOFT,
        kernels=["cross_entropy", "scale_rows"],
        grad=["x"],
        bench=[
            case("64 x 10", (64, 10), integers(0, 10, 64)),
            case("1024 x 1000", (1024, 1000), integers(0, 1000, 1024)),
            case("64 MB", (1 << 14, 1 << 10), integers(0, 1 << 10, 1 << 14)),
        ],
        bytes=lambda x, *others, **attrs: x.nbytes,
        grad_bytes=lambda x, *others, **attrs: 4 * x.nbytes,
        torch="nn.functional.cross_entropy",
    ),
    Spec(
        "nll_loss",
        nll_loss,
        LABELS,
        kernels=["nll_fwd", "nll_bwd"],
        grad=["x"],
        bench=[
            case("64 x 10", (64, 10), integers(0, 10, 64)),
            case("64 MB", (1 << 14, 1 << 10), integers(0, 1 << 10, 1 << 14)),
        ],
        grad_bytes=lambda x, *others, **attrs: x.nbytes,
        torch="nn.functional.nll_loss",
    ),
]
