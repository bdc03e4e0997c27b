"""y[i] = f(x[i]) and dx[i] = dy[i] f'(x[i]), element by element."""

import math

import numpy as np

from fastnn.testing import Case, Spec, exact, given, specials, ties, uniform

erf = np.vectorize(math.erf, otypes=[float])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x, approximate="none"):
    """x times the normal distribution function."""
    if approximate == "none":
        inner = erf(x / np.sqrt(2))
    else:
        inner = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return x * (1 + inner) / 2, abs(x)  # 1 + inner cancels where x is negative


def clip(x, min=None, max=None):
    y = x if min is None else np.where(x < min, min, x)
    return y if max is None else np.where(y > max, max, y)


def leaky_relu(x, negative_slope=0.01):
    return np.where(x > 0, x, negative_slope * x)


def relu(x):
    return np.where(x < 0, 0, x)  # NaN stays


# What the function gives at the ends of the number line is part of the contract.
ODD = given([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-30, -1e-30, 1e30, -1e30, 88.0, -88.0, 800.0])


def cases(low, high, attrs=None):
    shapes = {
        "plain": (3, 5, 4),
        "0 dimensions": (),
        "one element": (1,),
        "empty": (0, 3),
        "below whole vectors": (127,),
        "whole vectors": (128,),
        "one beyond": (129,),
        "several threads": (3, 8209),
    }
    real = [Case(name, {"x": uniform(low, high, *s)}, attrs or {}) for name, s in shapes.items()]
    odd = [Case("odd values", {"x": ODD}, attrs or {}, grad=False)]
    return real + odd + [Case("NaN in every lane", {"x": specials(67)}, attrs or {}, grad=False)]


def spec(name, reference, low=-3.0, high=3.0, attrs=None, **options):
    options.setdefault("torch", name)
    sizes = {"1 million": (1 << 20,)}
    if options.pop(
        "layer", False
    ):  # an activation: also as networks have it, and beyond the caches
        sizes |= {"4 x 4": (4, 4), "64 x 20 x 24 x 24": (64, 20, 24, 24), "64 MB": (1 << 24,)}
    bench = [Case(size, {"x": uniform(low, high, *s)}, attrs or {}) for size, s in sizes.items()]
    return Spec(
        name,
        reference,
        [*cases(low, high, attrs), *options.pop("more", [])],
        kernels=["unary_fwd", "unary_bwd"],
        grad=["x"],
        bench=bench,
        bytes=lambda x, **attrs: 2 * x.nbytes,
        grad_bytes=lambda x, **attrs: 5 * x.nbytes,
        **options,
    )


CORNERS = [Case("at the corner", {"x": ties(64)}, grad=False)]

SPECS = [
    spec("neg", exact(np.negative), numpy="negative"),
    spec("abs", exact(np.abs), numpy="abs", more=CORNERS),
    spec("exp", exact(np.exp), numpy="exp", jax="numpy.exp"),
    spec("log", exact(np.log), 0.1, 4, numpy="log", jax="numpy.log"),
    spec("sqrt", exact(np.sqrt), 0.1, 4, numpy="sqrt"),
    spec("sin", exact(np.sin), numpy="sin"),
    spec("cos", exact(np.cos), numpy="cos"),
    spec("erf", exact(np.vectorize(math.erf, otypes=[float])), torch="erf"),
    spec("relu", exact(relu), torch="relu", jax="nn.relu", layer=True, more=CORNERS),
    spec("sigmoid", exact(sigmoid), k=6, torch="sigmoid", jax="nn.sigmoid", layer=True),
    spec("tanh", exact(np.tanh), k=6, numpy="tanh", jax="numpy.tanh", layer=True),
    spec(
        "silu",
        exact(lambda x: x * sigmoid(x)),
        k=8,
        torch="nn.functional.silu",
        jax="nn.silu",
        layer=True,
    ),
    spec(
        "leaky_relu",
        exact(leaky_relu),
        layer=True,
        torch="nn.functional.leaky_relu",
        jax="nn.leaky_relu",
        more=[*CORNERS, Case("another slope", {"x": (9,)}, {"negative_slope": 0.25})],
    ),
    spec(
        "gelu",
        gelu,
        layer=True,
        k=6,
        torch="nn.functional.gelu",
        more=[Case("tanh formula", {"x": (37,)}, {"approximate": "tanh"})],
    ),
    spec(
        "clip",
        exact(clip),
        attrs={"min": -1.5, "max": 1.0},
        numpy="clip",
        more=[
            Case("only above", {"x": (9,)}, {"max": 0.5}),
            Case("only below", {"x": (9,)}, {"min": 0.5}),
            Case("on the bounds", {"x": ties(64)}, {"min": -1.0, "max": 1.0}, grad=False),
        ],
    ),
    # A number as exponent; pow of two tensors is in ops/binary.
    Spec(
        "pow_number",
        exact(lambda x, exponent: x**exponent),
        [
            Case("plain", {"x": uniform(0.2, 3, 3, 7)}, {"exponent": 2.5}),
            Case("square", {"x": (5, 3)}, {"exponent": 2}),
            Case("cube of negatives", {"x": (33,)}, {"exponent": 3}),
            Case("reciprocal", {"x": uniform(0.2, 3, 17)}, {"exponent": -1}),
            Case("0 is 1 everywhere", {"x": specials(17)}, {"exponent": 0}, grad=False),
            Case("0 has no slope", {"x": (17,)}, {"exponent": 0.0}),
            Case("1", {"x": (17,)}, {"exponent": 1}),
            Case("odd values", {"x": ODD}, {"exponent": 2}, grad=False),
            Case("NaN from negatives", {"x": ties(9)}, {"exponent": 0.5}, grad=False),
        ],
        kernels=["unary_fwd", "unary_bwd"],
        grad=["x"],
        op=lambda x, exponent: x**exponent,
        bench=[Case("1 million", {"x": uniform(0.2, 3, 1 << 20)}, {"exponent": 2.5})],
        bytes=lambda x, **attrs: 2 * x.nbytes,
        grad_bytes=lambda x, **attrs: 5 * x.nbytes,
        numpy=lambda x, exponent: x**exponent,
        torch=lambda x, exponent: x**exponent,
    ),
]
