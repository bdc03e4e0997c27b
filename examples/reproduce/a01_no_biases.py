"""A1: 784-100-10 sigmoid neurons without biases, squared error, one example at a time."""

from __future__ import annotations

from fastnn import nn
from fastnn.nn import init

from .book import TEST, quadratic, train
from .common import accuracy, mnist
from .recipe import Job, recipe


@recipe(
    "A1",
    "784-100-10, sigmoid, no biases, squared error, weights N(0, 1/fan_in), eta 0.1",
    reported={"100 hidden": ""},
    metric=TEST,
    minutes=1,
    changes="The document names no mini-batch and no number of epochs: single examples, 10 epochs.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    model = nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 100, bias=False), nn.Sigmoid()),
        nn.Linear(100, 10, bias=False),  # its sigmoid is in the cost
    )
    for weight in model.parameters():
        init.normal_(weight, 0, weight.shape[1] ** -0.5)
    trainer = train(model, parts, job.pick(10, 1), eta=0.1, cost=quadratic, batch_size=1)
    return {"100 hidden": accuracy(trainer, parts.test)}
