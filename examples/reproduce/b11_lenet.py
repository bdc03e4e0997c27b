"""B11: LeNet-5, with max-pooling and with L2-pooling."""

from __future__ import annotations

from collections.abc import Callable

from fastnn import nn

from .common import accuracy, mnist
from .convnets import trained
from .recipe import Job, recipe

POOLS: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "L2": lambda: nn.LPPool2d(2, 2),
}


def lenet5(pool: Callable[[], nn.Module]) -> nn.Sequential:
    """6 and 16 maps of 5 x 5, dense layers of 120 and 84 (LeCun et al. 1998), with ReLU."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), pool()),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), pool()),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()),
        nn.Linear(84, 10),
    )


@recipe(
    "B11",
    "LeNet-5, 6 and 16 maps of 5x5, max- or L2-pooling; 20 epochs, mini-batch 10, eta 0.03",
    reported={"max": "", "L2": ""},
    metric="test accuracy at the best validation accuracy, %",
    minutes=3,
    changes="The document names no training; ours is B4's without weight decay, for 20 epochs.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    return {
        name: accuracy(
            trained(job, lenet5(pool), parts.train, parts, epochs=20, name=name), parts.test
        )
        for name, pool in POOLS.items()
    }
