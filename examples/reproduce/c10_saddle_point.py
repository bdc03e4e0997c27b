"""C10: which optimizers leave a saddle point, from a start almost on its ridge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import nn, optim

from .common import figure
from .recipe import Job, recipe

START = (-1.0, 1e-6)
OPTIMIZERS: dict[str, Callable[[list[Any]], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.02),
    "momentum": lambda p: optim.SGD(p, lr=0.02, momentum=0.9),
    "Nesterov": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.02),
    "Adadelta": lambda p: optim.Adadelta(p),
}


@recipe(
    "C10",
    "The surface x^2 - y^2 from (-1, 0.000001), where y hardly has a slope: SGD and momentum with "
    "rate 0.02, Adagrad 0.1, RMSprop 0.02, Adadelta 1",
    reported={
        "SGD": "lingers",
        "momentum": "lingers",
        "Nesterov": "lingers",
        "Adagrad": "leaves",
        "RMSprop": "leaves",
        "Adadelta": "leaves",
    },
    metric="Steps until |y| > 0.5",
    minutes=0.02,
    seeds=1,
    changes="The document shows pictures; surface, start and rates are ours.",
)
def run(job: Job) -> dict[str, float]:
    axes = (fig := figure(6, 5)).subplots()
    x, y = np.meshgrid(np.linspace(-1.1, 1.1, 100), np.linspace(-0.7, 0.7, 100))
    axes.contour(x, y, x**2 - y**2, levels=20, colors="lightgray")
    steps: dict[str, float] = {}
    for name, make in OPTIMIZERS.items():
        path = descend(make)
        steps[name] = len(path) - 1
        axes.plot(*path.T, marker=".", markersize=3, label=f"{name}, {steps[name]} steps")
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    fig.savefig(job.folder / "paths.png")
    return steps


def descend(make: Callable[[list[Any]], optim.Optimizer], most: int = 2000) -> np.ndarray:
    """The points (steps + 1, 2) until |y| > 0.5."""
    point = nn.Parameter(fn.tensor(START))
    opt = make([point])
    path = [START]
    while abs(path[-1][1]) < 0.5 and len(path) <= most:
        opt.zero_grad()
        (point[0] ** 2 - point[1] ** 2).backward()
        opt.step()
        path.append(tuple(point.tolist()))
    return np.array(path)
