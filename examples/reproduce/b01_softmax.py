"""B1: the dense network that the convolutional ones are measured against."""

from __future__ import annotations

from fastnn import nn

from .common import accuracy, mnist
from .convnets import convnet, trained
from .recipe import Job, recipe


@recipe(
    "B1",
    "784-100-10, sigmoid, softmax with log-likelihood, 60 epochs, mini-batch 10, eta 0.1",
    reported={"accuracy": "97.80"},
    metric="test accuracy at the best validation accuracy, %",
    minutes=0.5,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    model = convnet(maps=(), hidden=(100,), activation=nn.Sigmoid)
    return {"accuracy": accuracy(trained(job, model, parts.train, parts, eta=0.1), parts.test)}
