"""B10: every image anew in every epoch: turned, shifted, skewed, and distorted elastically."""

from __future__ import annotations

from fastnn import augment

from .common import accuracy, mnist
from .convnets import convnet, trained
from .recipe import Job, recipe


@recipe(
    "B10",
    "B4 with rotation, translation, skew and elastic distortion of every image",
    reported={"accuracy": "99.6"},
    metric="test accuracy at the best validation accuracy, %",
    minutes=10,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    distort = augment.Compose(
        [
            augment.RandomAffine(10, translate=(0.05, 0.05), scale=(0.9, 1.1), shear=10),
            augment.ElasticTransform(alpha=34, sigma=4),
        ]
    )
    trainer = trained(job, convnet(), parts.train, parts, augment=distort)
    return {"accuracy": accuracy(trainer, parts.test)}
