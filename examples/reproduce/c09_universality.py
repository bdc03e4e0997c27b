"""C9: hidden neurons as steps: any function of one input from pairs, a tower over two inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import fastnn as fn

from .common import figure
from .recipe import Job, recipe

STEEP = 1000.0  # the hidden weight: sigmoid(STEEP (x - s)) is a step at s


@recipe(
    "C9",
    "The function 0.2 + 0.4 x^2 + 0.3 x sin 15x + 0.05 cos 50x from pairs of step neurons whose "
    "heights are set, not learned; and a tower over the square 0.4 < x, y < 0.6, output bias "
    "-3h/2, h = 10",
    reported={
        "mean deviation, 5 pairs": "<= 0.40",
        "mean deviation, 50 pairs": "",
        "tower, inside": "",
        "tower, in line with one side": "",
        "tower, outside": "",
    },
    metric="Deviation of the hidden layer's sum from the logit of f; outputs",
    minutes=0.01,
    seeds=1,
)
def run(job: Job) -> dict[str, float]:
    x = np.linspace(0, 1, 10_000, dtype=np.float32)
    f = 0.2 + 0.4 * x**2 + 0.3 * x * np.sin(15 * x) + 0.05 * np.cos(50 * x)
    wanted = np.log(f / (1 - f))  # so that the output neuron's sigmoid makes it f
    values = {}
    axes = (fig := figure()).subplots()
    axes.plot(x, wanted, label="logit of f")
    for pairs in (5, 50):
        made = bumps(x, wanted, pairs)
        axes.plot(x, made, label=f"{pairs} pairs")
        values[f"mean deviation, {pairs} pairs"] = float(np.abs(made - wanted).mean())
    axes.set(xlabel="x", ylabel="before the output's sigmoid")
    axes.legend()
    fig.savefig(job.folder / "bumps.png")

    for where, point in (
        ("inside", (0.5, 0.5)),
        ("in line with one side", (0.5, 0.1)),
        ("outside", (0.1, 0.1)),
    ):
        values[f"tower, {where}"] = tower(fn.tensor(point))
    return values


def step(x: fn.Tensor, at: fn.Tensor) -> fn.Tensor:
    """Hidden neurons of weight STEEP and bias -STEEP at."""
    return fn.sigmoid(STEEP * x - STEEP * at)


def bumps(x: NDArray[np.float32], wanted: NDArray[np.float32], pairs: int) -> NDArray[np.float32]:
    """Steps up by h and down again, one pair for each of `pairs` intervals.

    h is the median of what is wanted there, which has the least mean deviation.
    """
    edges = np.linspace(0, 1, pairs + 1, dtype=np.float32)
    inside = np.minimum((x * pairs).astype(int), pairs - 1)
    h = np.array([np.median(wanted[inside == i]) for i in range(pairs)], np.float32)
    x = fn.tensor(x[:, None])
    up, down = step(x, fn.tensor(edges[:-1])), step(x, fn.tensor(edges[1:]))  # (N, pairs)
    heights: NDArray[np.float32] = ((up - down) @ fn.tensor(h)).numpy()
    return heights


def tower(point: fn.Tensor, low: float = 0.4, high: float = 0.6, h: float = 10.0) -> float:
    """Two pairs of steps, one along each input, meet in a neuron of weights +-h, bias -3h/2."""
    up, down = step(point, fn.tensor(low)), step(point, fn.tensor(high))
    return float(fn.sigmoid(h * (up - down).sum() - 3 * h / 2).item())
