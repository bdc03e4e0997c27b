"""B3: a second convolution."""

from __future__ import annotations

from fastnn import nn

from .common import accuracy, mnist
from .convnets import convnet, epochs_to, trained
from .recipe import Job, recipe


@recipe(
    "B3",
    "B2 and a second convolution, 5x5 x40, with its pool",
    reported={
        "accuracy": "99.06",
        "epochs to 98.5 % on validation images": "",
    },
    metric="test accuracy at the best validation accuracy, %; epochs",
    minutes=12,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    model = convnet(activation=nn.Sigmoid)
    trainer = trained(job, model, parts.train, parts, eta=0.1)
    return {
        "accuracy": accuracy(trainer, parts.test),
        "epochs to 98.5 % on validation images": epochs_to(0.985, trainer.history),
    }
