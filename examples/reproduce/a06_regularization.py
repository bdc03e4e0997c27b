"""A6: all 50,000 images, without regularisation and with it."""

from __future__ import annotations

from .book import BEST, TEST, train
from .common import accuracy, dense, mnist
from .recipe import Job, recipe


@recipe(
    "A6",
    "784-30-10, N(0, 1) weights, cross-entropy, eta 0.5, mini-batch 10, 30 epochs, without "
    "regularisation and with L2, lambda 5",
    reported={
        "none, test": "",
        "none, test, best": "95.33",
        "none, training": "97.86",
        "L2, test": "",
        "L2, test, best": "96.49",
        "L2, training": "",
    },
    metric=TEST + "; best: " + BEST + "; training accuracy after the last epoch",
    minutes=1,
    seeds=5,
    difference="With L2 the reported run lies one standard deviation above ours.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    found = {}
    for name, lmbda in (("none", 0.0), ("L2", 5.0)):
        model = dense(784, 30, 10, start="large")
        watched = {"test": parts.test, "training": parts.train}
        trainer = train(model, parts, job.pick(30, 1), eta=0.5, lmbda=lmbda, watched=watched)
        found[f"{name}, test"] = accuracy(trainer, parts.test)
        found[f"{name}, test, best"] = 100 * max(trainer.history["test_accuracy"])
        found[f"{name}, training"] = 100 * trainer.history["training_accuracy"][-1]
    return found
