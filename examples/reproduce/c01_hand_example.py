"""C1: forward and backward through 3-3-2 sigmoid neurons, the example that one can do by hand."""

from __future__ import annotations

import fastnn as fn
from fastnn.nn import functional as F

from .recipe import Job, recipe


@recipe(
    "C1",
    "3-3-2 sigmoid neurons without biases, weights given: outputs and one gradient",
    reported={
        "hidden 1": ".13",
        "hidden 2": ".96",
        "hidden 3": ".40",
        "output 1": ".35",
        "output 2": ".85",
        "dE/dw": ".13 (.35 - .9) .35 (1 - .35) = -.0163",
    },
    metric="Activations; gradient of the weight from hidden 1 to output 1",
    minutes=0,
    seeds=1,
    difference="The reported gradient is of rounded activations.",
)
def run(job: Job) -> dict[str, float]:
    x = fn.tensor([[0.5, 0.9, -0.3]])
    w1 = fn.tensor([[1.0, -2.0, 2.0], [2.0, 1.0, -4.0], [1.0, -1.0, 0.0]])  # (hidden, inputs)
    w2 = fn.tensor([[-3.0, 1.0, -3.0], [0.0, 1.0, 2.0]], requires_grad=True)  # (outputs, hidden)
    target = fn.tensor([[0.9, 0.85]])

    hidden = F.sigmoid(F.linear(x, w1))
    output = F.sigmoid(F.linear(hidden, w2))
    (0.5 * ((output - target) ** 2).sum()).backward()

    names = ("hidden 1", "hidden 2", "hidden 3", "output 1", "output 2", "dE/dw")
    values = (*hidden.tolist()[0], *output.tolist()[0], w2.grad[0, 0].item())
    return dict(zip(names, values, strict=True))
