"""A3: the networks of A2 with the cross-entropy cost."""

from __future__ import annotations

from .book import TEST, train
from .common import accuracy, dense, mnist
from .recipe import Job, recipe


@recipe(
    "A3",
    "784-30-10 and 784-100-10 as in A2, cross-entropy, eta 0.5",
    reported={"30 hidden": "95.49", "100 hidden": "96.82"},
    metric=TEST,
    minutes=1,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    found = {}
    for hidden in (30, 100):
        model = dense(784, hidden, 10, start="large")
        trainer = train(model, parts, job.pick(30, 1), eta=0.5)
        found[f"{hidden} hidden"] = accuracy(trainer, parts.test)
    return found
