"""A8: weights that start as N(0, 1), whose neurons are saturated, and as N(0, 1/fan_in)."""

from __future__ import annotations

from fastnn import plotting

from .book import TEST, train
from .common import accuracy, dense, mnist
from .recipe import Job, recipe

STARTS = {"N(0, 1)": "large", "N(0, 1/n)": "scaled"}


@recipe(
    "A8",
    "784-30-10 and 784-100-10, cross-entropy, L2 with lambda 5, mini-batch 10, eta 0.1, 30 epochs; "
    "weights from N(0, 1) and N(0, 1/fan_in)",
    reported={
        "30 hidden, N(0, 1), epoch 1": "87",
        "30 hidden, N(0, 1/n), epoch 1": "93",
        "30 hidden, N(0, 1), test": "near 96",
        "30 hidden, N(0, 1/n), test": "near 96",
        "100 hidden, N(0, 1), epoch 1": "",
        "100 hidden, N(0, 1/n), epoch 1": "",
        "100 hidden, N(0, 1), test": "",
        "100 hidden, N(0, 1/n), test": "",
    },
    metric="validation accuracy after the first epoch, %; " + TEST,
    minutes=2,
    difference="The reported figures are read off a plot.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    found = {}
    for hidden in (30, 100):
        histories = {}
        for name, start in STARTS.items():
            model = dense(784, hidden, 10, start=start)
            trainer = train(model, parts, job.pick(30, 1), eta=0.1, lmbda=5.0)
            histories[name] = trainer.history
            found[f"{hidden} hidden, {name}, epoch 1"] = 100 * trainer.history[0]["val_accuracy"]
            found[f"{hidden} hidden, {name}, test"] = accuracy(trainer, parts.test)
        plotting.curves(histories, job.folder / f"starts_{hidden}.png", metrics=["accuracy"])
    return found
