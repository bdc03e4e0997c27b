"""R2: how far one small convolutional network comes on MNIST.

Batch norm, images distorted anew in every epoch, and one cycle of the learning rate (Smith,
"Super-convergence", 2018), and targets with label smoothing (Szegedy et al., "Rethinking the
Inception architecture", 2015). Widths, rate, epochs, distortions and smoothing were chosen on the
last 10,000 training images with the other 50,000. Here all 60,000 are trained on, and the test
images looked at after training alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn as fn
from examples.reproduce.common import accuracy, mnist, train_long
from examples.reproduce.recipe import Job, recipe
from fastnn import augment, nn, optim
from fastnn.optim.lr_scheduler import OneCycleLR
from fastnn.train import Trainer

EPOCHS, BATCH, RATE, SMOOTHING = 15, 100, 3e-3, 0.1
DISTORT = augment.Compose(
    [
        augment.RandomAffine(10, translate=(0.07, 0.07), scale=(0.9, 1.1), shear=6),
        augment.ElasticTransform(alpha=12, sigma=4),
    ]
)


def network(base: int = 32) -> nn.Sequential:
    """Five convolutions, to 24 x 24, pooled 12 x 12, pooled 6 x 6, and 4 x 4.

    They have `base`, twice, twice, four and four times as many channels.
    """

    def block(inputs: int, outputs: int, side: int, padding: int) -> tuple[nn.Module, ...]:
        conv = nn.Conv2d(inputs, outputs, side, padding=padding, bias=False)
        return conv, nn.BatchNorm2d(outputs), nn.ReLU()

    return nn.Sequential(
        *block(1, base, 5, 0),
        nn.MaxPool2d(2),
        *block(base, 2 * base, 3, 1),
        *block(2 * base, 2 * base, 3, 1),
        nn.MaxPool2d(2),
        *block(2 * base, 4 * base, 3, 1),
        *block(4 * base, 4 * base, 3, 0),
        *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * base, 10)),
    )


def trained(
    job: Job,
    *,
    base: int = 32,
    epochs: int = EPOCHS,
    distort: Callable[[Any], Any] = DISTORT,
    label_smoothing: float = SMOOTHING,
    images: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray,
) -> Trainer:
    """Trained on all 60,000 images, or what `images` makes of them; goes on if it was cut off."""
    model, parts = network(base), mnist(job)
    x, y = (np.concatenate(pair) for pair in zip(parts.train, parts.validation, strict=True))
    epochs = job.pick(epochs, 1)
    opt = optim.AdamW(model.parameters(), lr=RATE)
    steps = epochs * math.ceil(len(x) / BATCH)
    cycle = OneCycleLR(opt, RATE, total_steps=steps, pct_start=0.2, cycle_momentum=False)
    before = fn.get_conv2d_algorithm()
    fn.set_conv2d_algorithm("winograd")
    try:
        return train_long(
            *(job, model, opt, (images(x), y), None, epochs),
            batch_size=BATCH,
            scheduler=cycle,
            label_smoothing=label_smoothing,
            augment=distort,
            seed=job.seed,
        )
    finally:
        fn.set_conv2d_algorithm(before)


@recipe(
    "R2",
    "five convolutions, 5x5 x32 and 3x3 x64, x64, x128, x128, each with batch norm; AdamW, 15 "
    "epochs of all 60,000 images, batch 100, one cycle of the rate up to 0.003, label smoothing "
    "0.1, affine and elastic distortions",
    reported={"accuracy": "99.74, the best public figure"},
    metric="test accuracy, %",
    minutes=8,
    seeds=5,
    changes="299,000 parameters; sizes, rate, distortions and smoothing were chosen on 10,000 of "
    "the training images. Without smoothing, for 40 epochs, five networks had come to 99.68.",
)
def run(job: Job) -> dict[str, float]:
    return {"accuracy": accuracy(trained(job), mnist(job).test)}
