"""Losses that compare each element with its target, and their sum or mean."""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec, given, specials, ties, uniform


def reduced(f):
    """f gives (terms, scale); the operation reduces them."""

    def reference(x, t, *others, reduction="mean", **attrs):
        terms, scale = f(x, t, *others, **attrs)
        if reduction == "none":
            return terms, scale
        divisor = {"sum": 1, "mean": terms.size, "batchmean": len(np.atleast_1d(x))}[reduction]
        return np.sum(terms) / divisor, np.sum(scale) / divisor

    return reference


def same(terms):
    return terms, abs(terms)


def smooth_l1(x, t, beta=1.0):
    d = abs(x - t)
    return np.where(d < beta, d**2 / (2 * beta or 1), d - beta / 2), abs(x) + abs(t) + beta


def huber(x, t, delta=1.0):
    d = abs(x - t)
    scale = (abs(x) + abs(t) + delta) * max(delta, 1)
    return np.where(d <= delta, d**2 / 2, delta * (d - delta / 2)), scale


def bce(x, t, weight=None):
    """Logarithms are kept above -100, so that a wrong answer that is certain costs no infinity."""
    w = 1 if weight is None else weight
    yes, no = np.maximum(np.log(x), -100), np.maximum(np.log(1 - x), -100)
    return -w * (t * yes + (1 - t) * no), w * (t * (1 + abs(yes)) + (1 - t) * (1 + abs(no)))


def bce_with_logits(x, t, weight=None, pos_weight=None):
    w, v = 1 if weight is None else weight, 1 if pos_weight is None else pos_weight
    yes, no = np.logaddexp(0, -x), np.logaddexp(0, x)  # -log of sigmoid(x) and of 1 - sigmoid(x)
    return w * (v * t * yes + (1 - t) * no), w * (1 + v) * (abs(x) + 1)


def gaussian_nll(x, t, var, full=False, eps=1e-6):
    if var.ndim < x.ndim:
        var = var[..., None]
    v = np.maximum(var, eps)
    terms = (np.log(v) + (x - t) ** 2 / v) / 2 + (np.log(2 * np.pi) / 2 if full else 0)
    return terms, (abs(np.log(v)) + 1 + (abs(x) + abs(t)) ** 2 / v)


def kl_div(x, t, log_target=False):
    """x is a logarithm; so is t with log_target. 0 log 0 is 0."""
    if log_target:
        return np.exp(t) * (t - x), np.exp(t) * (abs(t) + abs(x))
    log_t = np.log(np.where(t == 0, 1, t))
    return t * (log_t - x), t * (abs(log_t) + abs(x) + 1)


def cases(x, t, *others, **attrs):
    """Functions from a shape to a maker, one an input, give the shared cases."""
    shapes = {
        "plain": (4, 5),
        "0 dimensions": (),
        "one element": (1,),
        "tail lanes": (131,),
        "images": (2, 3, 4, 5),
        "several threads": (3, 8209),
    }
    inputs = {n: f for n, f in zip("xtuv", (x, t, *others), strict=False) if f}

    def case(name, shape, **more):
        return Case(name, {n: f(*shape) for n, f in inputs.items()}, {**attrs, **more})

    return [
        *[case(name, shape) for name, shape in shapes.items()],
        case("sum", (3, 7), reduction="sum"),
        case("none", (3, 7), reduction="none"),
        case("none, several threads", (3, 8209), reduction="none"),
        case("nothing, summed", (0, 3), reduction="sum"),
        case("nothing, each", (0, 3), reduction="none"),
    ]


def normal(*shape):
    return lambda rng: rng.standard_normal(shape)


def between(low, high):
    return lambda *shape: uniform(low, high, *shape)


def one(name, inputs, grad=True, **attrs):
    return Case(name, dict(zip("xtuv", inputs, strict=False)), attrs, grad)


def spec(name, reference, cases, grad="xt", bench=None, **options):
    x, t = bench or (normal, normal)
    return Spec(
        name,
        reduced(reference),
        cases,
        kernels=["pointwise_loss_fwd", "pointwise_loss_bwd"],
        grad=list(grad),
        bench=[
            Case(size, {"x": x(*shape), "t": t(*shape)})
            for size, shape in (
                ("64 x 10", (64, 10)),
                ("1 million", (1 << 20,)),
                ("64 MB", (1 << 24,)),
            )
            if size != "64 MB" or name == "mse_loss"
        ],
        bytes=lambda x, t, **attrs: x.nbytes + t.nbytes,
        grad_bytes=lambda x, t, **attrs: 3 * (x.nbytes + t.nbytes),
        torch=f"nn.functional.{name}",
        **options,
    )


NAN = one("NaN and infinity", (specials(7, 9), (7, 9)), grad=False, reduction="none")
ONE_MEAN = one("nothing has no mean", ((0,), (0,)), grad=False)
PROBABLE = uniform(0.1, 0.9, 5, 7), uniform(0, 1, 5, 7)
LOGITS = given([np.nan, np.inf, 1e30, -1e30])
EDGES = given([0.0, 1.0, 0.0, 1.0, 0.5, 1e-7]), given([0.0, 1.0, 1.0, 0.0, 0.0, 1.0])

SPECS = [
    spec(
        "mse_loss",
        lambda x, t: ((x - t) ** 2, (abs(x) + abs(t)) ** 2),
        [*cases(normal, normal), NAN, ONE_MEAN, one("several blocks", ((16500,), (16500,)))],
    ),
    spec("l1_loss", lambda x, t: same(abs(x - t)), [*cases(normal, normal), NAN]),
    spec(
        "smooth_l1_loss",
        smooth_l1,
        [
            *cases(normal, normal),
            NAN,
            one("another beta", ((5, 7), (5, 7)), beta=0.25),
            one("beta 0 is l1", ((5, 7), (5, 7)), beta=0.0),
            one("on the corner", (ties(64), ties(64)), grad=False, reduction="none"),
        ],
    ),
    spec(
        "huber_loss",
        huber,
        [
            *cases(normal, normal),
            NAN,
            one("another delta", ((5, 7), (5, 7)), delta=2.5),
            one("on the corner", (ties(64), ties(64)), grad=False, reduction="none"),
        ],
    ),
    spec(
        "binary_cross_entropy",
        bce,
        [
            *cases(between(0.05, 0.95), between(0, 1)),
            one("certain", EDGES, grad=False, reduction="none"),
            one("weights", (*PROBABLE, uniform(0, 2, 5, 7))),
            one("a weight a column", (*PROBABLE, uniform(0, 2, 7))),
        ],
        bench=(between(0.1, 0.9), between(0, 1)),
        k=8,
    ),
    spec(
        "binary_cross_entropy_with_logits",
        bce_with_logits,
        [
            *cases(normal, between(0, 1)),
            one("large", (uniform(-500, 500, 40), uniform(0, 1, 40)), reduction="none"),
            one("weights", ((5, 7), uniform(0, 1, 5, 7), uniform(0, 2, 5, 7))),
            one("pos_weight", ((5, 7), uniform(0, 1, 5, 7), None, uniform(0.5, 2, 7))),
            one("both", ((5, 7), uniform(0, 1, 5, 7), uniform(0, 2, 7), uniform(0.5, 2, 7))),
            one("NaN and infinity", (LOGITS, uniform(0.2, 0.8, 4)), grad=False, reduction="none"),
        ],
        bench=(normal, between(0, 1)),
        op=lambda x, t, weight=None, pos_weight=None, **attrs: _C.binary_cross_entropy_with_logits(
            x, t, weight, pos_weight=pos_weight, **attrs
        ),
        k=6,
    ),
    Spec(
        "gaussian_nll_loss",
        reduced(gaussian_nll),
        [
            *cases(normal, normal, between(0.2, 2)),
            one("full", ((5, 7), (5, 7), uniform(0.2, 2, 5, 7)), full=True),
            one("a variance a row", ((5, 7), (5, 7), uniform(0.2, 2, 5, 1))),
            one("a variance a row, flat", ((5, 7), (5, 7), uniform(0.2, 2, 5))),
            one(
                "variance below eps",
                ((5,), (5,), given([0.0, 1e-9, 0.5, 0.0, 2.0])),
                grad=False,
                eps=1e-3,
            ),
        ],
        kernels=["pointwise_loss_fwd", "pointwise_loss_bwd"],
        grad=list("xtu"),
    ),
    spec(
        "kl_div",
        kl_div,
        [
            *cases(between(-3, 0), between(0.1, 1)),
            one("batchmean", (uniform(-3, 0, 5, 7), uniform(0.1, 1, 5, 7)), reduction="batchmean"),
            one("log_target", (uniform(-3, 0, 5, 7), uniform(-3, 0, 5, 7)), log_target=True),
            one("0 log 0", ((4,), given([0.0, 1.0, 0.0, 0.5])), False, reduction="none"),
        ],
        bench=(between(-3, 0), between(0.1, 1)),
    ),
]
