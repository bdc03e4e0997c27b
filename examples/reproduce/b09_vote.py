"""B9: five networks of B8 vote."""

from __future__ import annotations

from fastnn import ensemble

from . import b08_dropout
from .common import mnist
from .recipe import Job, member, recipe


@recipe(
    "B9",
    "the vote of five networks of B8",
    reported={"accuracy": "99.67"},
    metric="test accuracy, %",
    minutes=120,
    seeds=1,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    outputs = []
    for seed in range(5 * job.seed, 5 * job.seed + 5):
        network = b08_dropout.network(member(job, b08_dropout.run, seed), parts)
        outputs.append(network.predict(parts.test[0]))
    classes = ensemble.vote(outputs)
    return {"accuracy": 100 * float((classes == parts.test[1]).mean())}
