"""A7: 100 hidden neurons with L2, and a smaller rate for longer."""

from __future__ import annotations

from .book import TEST, accuracy, train
from .common import dense, mnist
from .recipe import Job, recipe


@recipe(
    "A7",
    "784-100-10, N(0, 1) weights, cross-entropy, L2 with lambda 5, mini-batch 10: eta 0.5 for 30 "
    "epochs; eta 0.1 for 60 epochs",
    reported={
        "eta 0.5, 30 epochs, validation": "97.92",
        "eta 0.5, 30 epochs, test": "",
        "eta 0.1, 60 epochs, validation": "98.04",
        "eta 0.1, 60 epochs, test": "",
    },
    metric="best validation accuracy, which the document gives, %; " + TEST,
    minutes=2,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    found = {}
    for eta, epochs in ((0.5, 30), (0.1, 60)):
        model = dense(784, 100, 10, start="large")
        trainer = train(model, parts, job.pick(epochs, 1), eta=eta, lmbda=5.0)
        name = f"eta {eta}, {epochs} epochs"
        found[f"{name}, validation"] = 100 * trainer.history.best["val_accuracy"]
        found[f"{name}, test"] = accuracy(trainer, parts.test)
    return found
