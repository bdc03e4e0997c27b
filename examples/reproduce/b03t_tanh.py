"""B3t: tanh in place of the sigmoid: does it learn faster?"""

from __future__ import annotations

from fastnn import nn

from .common import accuracy, mnist
from .convnets import convnet, trained
from .recipe import Job, recipe


@recipe(
    "B3t",
    "B3 with tanh",
    reported={"accuracy": "99.06"},
    metric="test accuracy at the best validation accuracy, %",
    minutes=6,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    model = convnet(activation=nn.Tanh)
    trainer = trained(job, model, parts.train, parts, eta=0.1)
    return {"accuracy": accuracy(trainer, parts.test)}
