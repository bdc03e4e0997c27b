"""A10: a bad start, and how to find out what is wrong: with small networks and few images."""

from __future__ import annotations

import numpy as np

from fastnn.train import NonFiniteLossError, Trainer

from .book import cross_entropy, sgd
from .common import Part, Parts, dense, mnist
from .recipe import Job, recipe

# name: network, images, epochs, eta, lambda
LADDER = {
    "784-30-10, all images, eta 10, lambda 1000": ((784, 30, 10), 50000, 2, 10.0, 1000.0),
    "784-10, 0s and 1s, eta 10, lambda 1000": ((784, 10), 10000, 2, 10.0, 1000.0),
    "784-10, 1,000 images, eta 10, lambda 1000": ((784, 10), 1000, 30, 10.0, 1000.0),
    "784-10, 1,000 images, eta 10, lambda 20": ((784, 10), 1000, 30, 10.0, 20.0),
    "784-10, 1,000 images, eta 1, lambda 20": ((784, 10), 1000, 30, 1.0, 20.0),
    "784-10, 1,000 images, eta 0.1, lambda 1": ((784, 10), 1000, 30, 0.1, 1.0),
    "784-30-10, all images, eta 0.5, lambda 5": ((784, 30, 10), 50000, 30, 0.5, 5.0),
}


@recipe(
    "A10",
    "from eta 10 and lambda 1000 by way of two digits, a network without a hidden layer, 1,000 "
    "images and lambda scaled with their number, to a network that learns; mini-batch 10",
    reported=dict(
        zip(LADDER, ("chance", "", "chance", "recovers", "recovers", "recovers", ""), strict=True)
    ),
    metric="best validation accuracy, %",
    minutes=1,
    changes="With 1,000 images lambda 1000 makes every step multiply the weights by -9: the cost "
    "becomes infinite, the trainer says so, and what counts is the network before that step.",
    difference="With two digits the first rates leave of the weights only what the last step "
    "added: whether the network is right about one of the digits or about both is chance.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    found = {}
    for name, (sizes, count, epochs, eta, lmbda) in LADDER.items():
        some = Parts(*map(zeros_and_ones, parts)) if "0s and 1s" in name else parts
        few = some.train[0][:count], some.train[1][:count]
        model = dense(*sizes)
        trainer = Trainer(model, cross_entropy, sgd(model, eta, lmbda / len(few[0])))
        try:
            trainer.fit(few, some.validation, job.pick(epochs, 1), batch_size=10)
            found[name] = 100 * trainer.history.best["val_accuracy"]
        except NonFiniteLossError:
            found[name] = 100 * trainer.evaluate(some.validation)["accuracy"]
    return found


def zeros_and_ones(part: Part) -> Part:
    keep = np.isin(part[1], (0, 1))
    return part[0][keep], part[1][keep]
