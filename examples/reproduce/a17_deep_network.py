"""A17: a deep and wide dense network on images that are distorted anew in every epoch."""

from __future__ import annotations

from fastnn import augment, optim, plotting
from fastnn.optim.lr_scheduler import CosineAnnealingLR
from fastnn.train import mlp

from .book import TEST
from .common import accuracy, mnist, train_long
from .recipe import Job, recipe

EPOCHS = 100

DISTORT = augment.Compose(
    [
        augment.RandomAffine(12, translate=(0.05, 0.05), scale=(0.85, 1.15), shear=10),
        augment.ElasticTransform(alpha=36, sigma=5.5),
    ]
)


@recipe(
    "A17",
    "784-2500-2000-1500-1000-500-10, rotated, scaled, skewed and elastically distorted images, the "
    "learning rate falls from 1e-3 to 1e-6",
    reported={"accuracy": "99.65"},
    metric=TEST,
    minutes=90,
    seeds=1,
    changes=f"ReLU, softmax and Adam with batches of 256 for {EPOCHS} epochs; the document has "
    "scaled tanh and single examples for 800. The rate falls with the cosine, and images are "
    "shifted as well.",
    difference="Trained for an eighth of the epochs.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    model = mlp((1, 28, 28), 10, (2500, 2000, 1500, 1000, 500))
    opt = optim.Adam(model.parameters(), lr=1e-3)
    epochs = job.pick(EPOCHS, 1)
    trainer = train_long(
        *(job, model, opt, parts.train, parts.validation, epochs),
        batch_size=256,
        scheduler=CosineAnnealingLR(opt, epochs, eta_min=1e-6),
        augment=DISTORT,
    )
    plotting.curves(trainer.history, job.folder / "curves.png")
    return {"accuracy": accuracy(trainer, parts.test)}
