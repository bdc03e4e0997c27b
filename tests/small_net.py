"""A small network, and its state as arrays, for the tests of modules and of layers."""

from __future__ import annotations

import numpy as np

import fastnn as fn
from fastnn import nn


def small_net() -> nn.Sequential:
    fn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4, 3)
    )


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {key: value.cpu().numpy().copy() for key, value in model.state_dict().items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
