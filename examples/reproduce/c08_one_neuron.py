"""C8: a sigmoid neuron that starts badly wrong learns slowly from the quadratic cost."""

from __future__ import annotations

from collections.abc import Callable

import fastnn as fn
from fastnn import nn, optim

from .common import figure
from .recipe import Job, recipe

STARTS = {"mild start": (0.6, 0.9), "bad start": (2.0, 2.0)}  # w, b
COSTS: dict[str, tuple[nn.Module, Callable[[fn.Tensor], fn.Tensor]]] = {
    "quadratic": (nn.Sigmoid(), lambda a: 0.5 * (a**2).sum()),  # the wanted output is 0
    "cross-entropy": (nn.Identity(), lambda z: nn.BCEWithLogitsLoss()(z, fn.zeros_like(z))),
}


@recipe(
    "C8",
    "One sigmoid neuron, input 1, wanted output 0, eta 0.15, 300 epochs of gradient descent",
    reported={
        "output at the mild start": ".82",
        "output at the bad start": ".98",
        "quadratic, bad start: epochs to output 0.9": "stuck for about 150",
        "cross-entropy, bad start: epochs to output 0.9": "learns at once",
        "quadratic, bad start: first slope in b": "",
        "cross-entropy, bad start: first slope in b": "steep",
        "quadratic, mild start: output at the end": "",
        "quadratic, bad start: output at the end": "",
    },
    metric="Outputs, epochs and slopes; the starts are w, b = 0.6, 0.9 and 2, 2",
    minutes=0.02,
    seeds=1,
    difference="The output is above 0.9 for 172 epochs; the document's 150 are read off a plot.",
)
def run(job: Job) -> dict[str, float]:
    values: dict[str, float] = {}
    fig = figure()
    for axes, (cost, parts) in zip(fig.subplots(1, 2, sharey=True), COSTS.items(), strict=True):
        for start, (w, b) in STARTS.items():
            outputs, slope = descend(w, b, *parts, epochs=job.pick(300, 200))
            axes.plot(outputs, label=f"{start}, w, b = {w}, {b}")
            values[f"output at the {start}"] = outputs[0]
            epochs = next(i for i, a in enumerate(outputs) if a < 0.9)
            values[f"{cost}, {start}: epochs to output 0.9"] = epochs
            values[f"{cost}, {start}: first slope in b"] = slope
            values[f"{cost}, {start}: output at the end"] = outputs[-1]
        axes.set(title=cost, xlabel="epoch", ylabel="output")
        axes.legend()
    fig.savefig(job.folder / "outputs.png")
    return {name: value for name, value in values.items() if name in run.reported}


def descend(
    w: float,
    b: float,
    head: nn.Module,
    cost: Callable[[fn.Tensor], fn.Tensor],
    epochs: int,
) -> tuple[list[float], float]:
    """The outputs before and after each epoch, and dC/db at the start."""
    neuron = nn.Linear(1, 1)
    weight, bias = neuron.parameters()
    nn.init.constant_(weight, w)
    nn.init.constant_(bias, b)
    opt = optim.SGD([weight, bias], lr=0.15)
    x = fn.ones(1, 1)
    outputs, slopes = [fn.sigmoid(neuron(x)).item()], []
    for _ in range(epochs):
        opt.zero_grad()
        cost(head(neuron(x))).backward()
        slopes.append(bias.grad.item())
        opt.step()
        outputs.append(fn.sigmoid(neuron(x)).item())
    return outputs, slopes[0]
