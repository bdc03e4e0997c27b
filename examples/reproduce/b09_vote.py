"""B9: five networks of B8 vote."""

from __future__ import annotations

import fastnn as fn
from fastnn import ensemble

from .b08_dropout import network
from .common import mnist
from .recipe import Job, recipe


@recipe(
    "B9",
    "the vote of five networks of B8",
    reported={"accuracy": "99.67"},
    metric="test accuracy, %",
    minutes=300,
    seeds=1,
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    outputs = []
    for seed in range(5 * job.seed, 5 * job.seed + 5):
        # Where B8 has trained this seed, it is only read.
        member = Job(seed, job.data_dir, job.folder.parent / f"B8-{seed}", job.quick)
        fn.manual_seed(seed)
        outputs.append(network(member, parts).predict(parts.test[0]))
    classes = ensemble.vote(outputs)
    return {"accuracy": 100 * float((classes == parts.test[1]).mean())}
