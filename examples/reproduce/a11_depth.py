"""A11: more hidden layers of 30 neurons, with no more accuracy."""

from __future__ import annotations

from .book import TEST, train
from .common import accuracy, dense, mnist
from .recipe import Job, recipe


@recipe(
    "A11",
    "1 to 4 hidden layers of 30 sigmoid neurons, cross-entropy, L2 with lambda 5, mini-batch 10, "
    "eta 0.1, 30 epochs",
    reported={
        "1 hidden layer, validation": "96.48",
        "1 hidden layer, test": "",
        "2 hidden layers, validation": "96.90",
        "2 hidden layers, test": "",
        "3 hidden layers, validation": "96.57",
        "3 hidden layers, test": "",
        "4 hidden layers, validation": "96.53",
        "4 hidden layers, test": "",
    },
    metric="best validation accuracy, which the document gives, %; " + TEST,
    minutes=2,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    found = {}
    for depth in (1, 2, 3, 4):
        model = dense(784, *[30] * depth, 10)
        trainer = train(model, parts, job.pick(30, 1), eta=0.1, lmbda=5.0)
        name = f"{depth} hidden layer{'s' * (depth > 1)}"
        found[f"{name}, validation"] = 100 * trainer.history.best["val_accuracy"]
        found[f"{name}, test"] = accuracy(trainer, parts.test)
    return found
