"""A11: more hidden layers of 30 neurons, with no more accuracy."""

from __future__ import annotations

from .book import TEST, accuracy, train
from .common import dense, mnist
from .recipe import Job, recipe


@recipe(
    "A11",
    "1 to 4 hidden layers of 30 sigmoid neurons, cross-entropy, L2 with lambda 5, mini-batch 10, "
    "eta 0.1, 30 epochs",
    reported={
        "1 hidden layer": "96.48",
        "2 hidden layers": "96.90",
        "3 hidden layers": "96.57",
        "4 hidden layers": "96.53",
    },
    metric=TEST,
    minutes=2,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    found = {}
    for depth in (1, 2, 3, 4):
        model = dense(784, *[30] * depth, 10)
        trainer = train(model, parts, job.pick(30, 1), eta=0.1, lmbda=5.0)
        found[f"{depth} hidden layer{'s' * (depth > 1)}"] = accuracy(trainer, parts.test)
    return found
