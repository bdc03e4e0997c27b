"""A small classifier, its data, and its trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import nn, optim
from fastnn.train import Trainer

DEVICE = str(fn.get_default_device())
N, CLASSES = 50, 3


def blobs(n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, 6) around one of three points, and which."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % CLASSES
    x = rng.standard_normal((n, 6)) + 2 * np.eye(CLASSES, 6)[y]
    return x.astype(np.float32), y


TRAIN, VAL = blobs(), blobs(20, seed=1)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, CLASSES)
    )


def make(
    callbacks: Sequence[Any] = (),
    *,
    seed: int = 0,
    model: Callable[[], nn.Module] = network,
    optimizer: Callable[..., optim.Optimizer] = optim.Adam,
    lr: float = 0.01,
    scheduler: Callable[[optim.Optimizer], Any] | None = None,
    average: Callable[[nn.Module], Any] | None = None,
    loss: Callable[..., fn.Tensor] | None = None,
    **options: Any,
) -> Trainer:
    fn.manual_seed(seed)
    net = model()
    opt = optimizer(net.to(DEVICE).parameters(), lr=lr)
    return Trainer(
        net,
        loss or nn.CrossEntropyLoss(),
        opt,
        callbacks=callbacks,
        scheduler=None if scheduler is None else scheduler(opt),
        average=None if average is None else average(net),
        seed=seed,
        **options,
    )


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    """Copies of all that the model is made of."""
    return {k: np.array(t.cpu().numpy()) for k, t in model.state_dict().items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether all bits are equal."""
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)
