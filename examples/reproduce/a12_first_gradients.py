"""A12: how long the gradient of each hidden layer is before training."""

from __future__ import annotations

import fastnn as fn

from .book import cross_entropy, hidden_lengths
from .common import dense, mnist
from .recipe import Job, recipe

REPORTED = {
    2: ("0.07", "0.31"),
    3: ("0.012", "0.060", "0.283"),
    4: ("0.003", "0.017", "0.070", "0.285"),
}


@recipe(
    "A12",
    "2, 3 and 4 hidden layers of 30 sigmoid neurons at their start: cross-entropy of the first "
    "1,000 images",
    reported={
        f"{depth} layers, layer {layer}": length
        for depth, lengths in REPORTED.items()
        for layer, length in enumerate(lengths, 1)
    },
    metric="length of the gradient with respect to the biases of a layer",
    minutes=0.1,
    seeds=10,
    difference="The reported figures are of one network each; of our ten, first layers of two "
    "hidden ones have gradients of 0.039 to 0.064.",
)
def run(job: Job) -> dict[str, float]:
    x, y = (fn.tensor(part[:1000]) for part in mnist(job).train)
    found = {}
    for depth in REPORTED:
        model = dense(784, *[30] * depth, 10)
        cross_entropy(model(x), y).backward()
        for layer, length in enumerate(hidden_lengths(model), 1):
            found[f"{depth} layers, layer {layer}"] = length
    return found
