"""B7: a second dense layer."""

from __future__ import annotations

from fastnn import augment

from .common import mnist
from .convnets import accuracy, convnet, trained
from .recipe import Job, recipe

HIDDEN = {"100+100": (100, 100), "300+300": (300, 300), "1000+1000": (1000, 1000)}


@recipe(
    "B7",
    "B5 with two dense layers, of 100, 300 and 1000 neurons each",
    reported={"100+100": "99.43", "300+300": "99.48", "1000+1000": "99.47"},
    metric="test accuracy at the best validation accuracy, %",
    minutes=150,
    seeds=1,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    expanded = augment.expand(*parts.train, shifts=1)
    accuracies = {}
    for name, hidden in HIDDEN.items():
        trainer = trained(job, convnet(hidden=hidden), expanded, parts, lmbda=0.1, name=name)
        accuracies[name] = accuracy(trainer, parts.test)
    return accuracies
