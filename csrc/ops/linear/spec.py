"""y = activation(x w^T + b), with x (..., in), w (out, in) and b (out)."""

import math

import numpy as np

from fastnn.testing import Case, Spec

ACTIVATIONS = {
    "none": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "gelu": lambda z: z * (1 + np.vectorize(math.erf, otypes=[float])(z / np.sqrt(2))) / 2,
    "silu": lambda z: z / (1 + np.exp(-z)),
}


def linear(x, w, b=None, activation="none"):
    bias = np.zeros(len(w)) if b is None else b
    y = ACTIVATIONS[activation](x @ w.T + bias)
    # No activation is steeper than 1.13, so an error of the sum is not made larger.
    return y, abs(x) @ abs(w).T + abs(bias) + abs(y)


def layer(name, n, size_in, size_out, bias=True, **attrs):
    n = n if isinstance(n, tuple) else (n,)
    inputs = {"x": (*n, size_in), "w": (size_out, size_in), "b": (size_out,) if bias else None}
    return Case(name, inputs, attrs)


SPECS = [
    Spec(
        "linear",
        linear,
        [
            layer("plain", 6, 5, 7),
            layer("one element", 1, 1, 1),
            layer("without bias", 3, 17, 5, bias=False),
            *[layer(name, 5, 9, 35, activation=name) for name in ACTIVATIONS],
            layer("activation without bias", 5, 9, 35, bias=False, activation="sigmoid"),
            layer("one example", 1, 129, 127),
            layer("one output", 67, 33, 1),
            layer("no examples", 0, 5, 3),
            layer("no examples, activated", 0, 5, 3, activation="relu"),
            layer("no inputs leave the bias", 3, 0, 5),
            layer("no outputs", 3, 5, 0),
            layer("no outputs of many inputs", 3, 300, 0),
            layer("a vector", (), 11, 5),
            layer("a batch of sequences", (2, 3), 11, 5, activation="tanh"),
            *[layer(f"{n} examples", n, 31, 33) for n in (13, 14, 15, 29, 64)],
            layer("127, 128, 129", 127, 128, 129, activation="relu"),
            layer("hidden layer of an MNIST net", 32, 784, 100, activation="relu"),
            layer("long sums, in several passes", 5, 1500, 19, activation="relu"),
            layer("many examples, summed in chunks", 2100, 5, 7, activation="tanh"),
            layer("a large weight", 70, 520, 270, activation="relu"),
            *[layer(f"a large weight, {n} examples", n, 300, 130) for n in (3, 10, 33)],
            layer("rows a power of two apart", 80, 512, 512),
        ],
        kernels=["linear_fwd", "linear_bwd"],
        grad=["x", "w", "b"],
        bench=[
            layer("32 x 784 to 100", 32, 784, 100),
            layer("64 x 784 to 128", 64, 784, 128),
            layer("64 x 640 to 100", 64, 640, 100),
            layer("10 x 1000 to 1000", 10, 1000, 1000),
            layer("256 x 1024 to 1024", 256, 1024, 1024),
        ],
        flops=lambda x, w, b=None, activation="none": 2 * np.size(x) * len(w),
        numpy=lambda x, w, b=None: x @ w.T + b,
        torch="nn.functional.linear",
    ),
]
