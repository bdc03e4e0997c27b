"""A18: the network of a lecture on PyTorch, its training accuracy after each epoch."""

from __future__ import annotations

import numpy as np

from fastnn import nn, optim
from fastnn.train import Trainer

from .common import mnist
from .recipe import Job, recipe

REPORTED = (89.59, 95.17, 96.55, 97.29, 97.71, 98.10, 98.35, 98.62, 98.77, 98.94)


@recipe(
    "A18",
    "784-100-10 ReLU, cross-entropy, SGD with rate 0.01 and momentum 0.9, batch 32, 10 epochs, all "
    "60,000 images",
    reported={
        **{f"epoch {i}": f"{right:.2f}" for i, right in enumerate(REPORTED, 1)},
        "steps per second": "115-158",
    },
    metric="training accuracy, %, the mean over the epoch's batches as they are trained on",
    minutes=0.5,
)
def run(job: Job) -> dict[str, float]:
    train, validation, _ = mnist(job)
    x, y = (np.concatenate(pair) for pair in zip(train, validation, strict=True))
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
    opt = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    history = Trainer(model, nn.CrossEntropyLoss(), opt).fit((x, y), epochs=10, batch_size=32)
    return {
        **{f"epoch {i}": 100 * row["accuracy"] for i, row in enumerate(history, 1)},
        "steps per second": history[-1]["step"] / history[-1]["seconds"],
    }
