"""B2: a convolution and a pool before the dense layer."""

from __future__ import annotations

from fastnn import nn

from .common import accuracy, mnist
from .convnets import convnet, trained
from .recipe import Job, recipe


@recipe(
    "B2",
    "conv 5x5 x20, max-pool 2x2, 100 sigmoid neurons, softmax; 60 epochs, mini-batch 10, eta 0.1",
    reported={"accuracy": "98.78"},
    metric="test accuracy at the best validation accuracy, %",
    minutes=5,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    model = convnet(maps=(20,), activation=nn.Sigmoid)
    trainer = trained(job, model, parts.train, parts, eta=0.1)
    return {"accuracy": accuracy(trainer, parts.test)}
