"""A13: how long the gradients of the hidden layers are while a network is trained."""

from __future__ import annotations

import numpy as np

import fastnn as fn
from fastnn import nn, optim, plotting
from fastnn.compile import CompiledStep

from .book import cross_entropy, hidden_lengths, sgd
from .common import dense, mnist
from .recipe import Job, recipe


@recipe(
    "A13",
    "2, 3 and 4 hidden layers of 30 sigmoid neurons, 500 steps of gradient descent on the first "
    "1,000 images, cross-entropy, eta 0.1, L2 with lambda 5",
    reported={
        "2 layers, last / first": "",
        "3 layers, last / first": "",
        "4 layers, last / first": "about 100",
        "steps in which the first is shortest": "all",
    },
    metric="ratio of the lengths of the gradients of two hidden layers, the median over the "
    "steps; the last row in %",
    minutes=0.2,
    difference="About 100 is the ratio at the start, where A12's figures have it too; over the "
    "steps it falls.",
)
def run(job: Job) -> dict[str, float]:
    x, y = (part[:1000] for part in mnist(job).train)
    found, shortest = {}, []
    for depth in (2, 3, 4):
        model = dense(784, *[30] * depth, 10)
        step = full_batch_step(model, sgd(model, eta=0.1, decay=5.0 / len(x)))
        lengths = []
        for _ in range(job.pick(500, 5)):
            step(x, y)
            lengths.append(hidden_lengths(model))
        table = np.array(lengths)  # (steps, layers)
        found[f"{depth} layers, last / first"] = float(np.median(table[:, -1] / table[:, 0]))
        shortest.append(table.argmin(1) == 0)
        rows = [
            {"step": i, "gradients": {f"hidden layer {j}": n for j, n in enumerate(row, 1)}}
            for i, row in enumerate(lengths, 1)
        ]
        plotting.gradient_norms(rows, job.folder / f"gradients_{depth}.png")
    return found | {"steps in which the first is shortest": 100 * float(np.mean(shortest))}


def full_batch_step(model: nn.Module, opt: optim.SGD) -> CompiledStep:
    """A recorded step that leaves the gradients to be looked at."""

    def step(x: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
        loss = cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    compiled: CompiledStep = fn.compile(step, keep_grads=True)
    return compiled
