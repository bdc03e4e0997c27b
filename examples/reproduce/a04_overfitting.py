"""A4: over-fitting: 1,000 images and 24,000 parameters."""

from __future__ import annotations

from fastnn import plotting
from fastnn.train import Trainer

from .book import cross_entropy, sgd
from .common import dense, mnist
from .recipe import Job, recipe


@recipe(
    "A4",
    "784-30-10, N(0, 1) weights, the first 1,000 images, cross-entropy, eta 0.5, mini-batch 10, "
    "400 epochs",
    reported={
        "highest test accuracy": "82.27",
        "training accuracy": "100",
        "epoch of the lowest test cost": "15",
    },
    metric="accuracies in %; as in the document, test images are looked at after every epoch",
    minutes=1,
)
def run(job: Job) -> dict[str, float]:
    (x, y), _, test = mnist(job)
    few = x[:1000], y[:1000]
    model = dense(784, 30, 10, start="large")
    trainer = Trainer(model, cross_entropy, sgd(model, eta=0.5))
    history = trainer.fit(few, {"test": test}, job.pick(400, 2), batch_size=10)

    plotting.curves(history, job.folder / "overfitting.png")
    costs = history["test_loss"]
    return {
        "highest test accuracy": 100 * max(history["test_accuracy"]),
        "training accuracy": 100 * trainer.evaluate(few)["accuracy"],
        "epoch of the lowest test cost": costs.index(min(costs)) + 1,
    }
