"""Random numbers from Philox4x32-10, word i of the generator for element i.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import numpy as np

from fastnn import _C
from fastnn.testing import Case, Spec


def philox(seed, count):
    """`count` words of 32 bits: four for each value of a counter from 0."""
    counter = np.arange((count + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [counter & low, counter >> np.uint64(32), np.zeros_like(counter), np.zeros_like(counter)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [
            q >> np.uint64(32) ^ c[1] ^ np.uint64(k[0]),
            q & low,
            p >> np.uint64(32) ^ c[3] ^ np.uint64(k[1]),
            p & low,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, axis=1).reshape(-1)[:count]


def unit(words):
    """The upper 24 bits, as a number in [0, 1)."""
    return (words >> np.uint64(8)).astype(float) / 2**24


def uniform(x, seed, low=0.0, high=1.0):
    u = unit(philox(seed, x.size)).reshape(x.shape)
    return low + (high - low) * u, np.full(x.shape, abs(low) + abs(high))


def normal(x, seed, mean=0.0, std=1.0):
    """Box and Muller: two words give a radius and an angle, and those two numbers."""
    u = unit(philox(seed, x.size + x.size % 2)).reshape(-1, 2)
    pi = np.arccos(np.longdouble(-1))  # float64's own would move the angle by more than is allowed
    radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * pi * u[:, 1]
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(float)
    z = z.reshape(-1)[: x.size].reshape(x.shape)
    return mean + std * z, abs(mean) + std * (1 + abs(z))


def seeded(method):
    def op(x, seed, **attrs):
        _C.manual_seed(seed)
        return getattr(x, method)(**attrs)

    return op


def cases(**attrs):
    seed = {"seed": 0x123456789ABCDEF}
    return [
        Case("plain", {"x": (5, 7)}, seed, grad=False),
        Case("empty", {"x": (0,)}, seed, grad=False),
        Case("one element", {"x": (1,)}, seed, grad=False),
        Case("part of a block", {"x": (131,)}, seed, grad=False),
        Case("seed 0", {"x": (8,)}, {"seed": 0}, grad=False),
        Case("another range", {"x": (33,)}, {**seed, **attrs}, grad=False),
        Case("several threads", {"x": (3, 8209)}, seed, grad=False),
    ]


BENCH = [Case("1 million", {"x": (1 << 20,)}, {"seed": 1})]

SPECS = [
    Spec(
        "uniform_",
        uniform,
        cases(low=-2.0, high=3.0),
        kernels=["random_uniform"],
        op=seeded("uniform_"),
        in_place=True,
        bench=BENCH,
        bytes=lambda x, **attrs: x.nbytes,
        numpy=lambda x, seed: np.random.default_rng(seed).random(x.shape, np.float32),
        torch=lambda x, seed: x.uniform_(),
    ),
    Spec(
        "normal_",
        normal,
        cases(mean=1.5, std=0.25),
        kernels=["random_normal"],
        op=seeded("normal_"),
        in_place=True,
        bench=BENCH,
        bytes=lambda x, **attrs: x.nbytes,
        numpy=lambda x, seed: np.random.default_rng(seed).standard_normal(x.shape, np.float32),
        torch=lambda x, seed: x.normal_(),
    ),
]
