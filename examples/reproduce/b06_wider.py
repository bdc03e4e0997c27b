"""B6: more neurons in the dense layer."""

from __future__ import annotations

from fastnn import augment

from .common import mnist
from .convnets import accuracy, convnet, trained
from .recipe import Job, recipe

HIDDEN = {"300": (300,), "1000": (1000,)}


@recipe(
    "B6",
    "B5 with 300 and with 1000 neurons in the dense layer",
    reported={"300": "99.46", "1000": "99.43"},
    metric="test accuracy at the best validation accuracy, %",
    minutes=80,
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
