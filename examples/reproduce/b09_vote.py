"""B9: five networks of B8 vote."""

from __future__ import annotations

import fastnn as fn
from fastnn import ensemble

from . import b08_dropout
from .common import mnist
from .recipe import Job, prepare, recipe


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
        folder = job.folder.parent / f"B8-{seed}"
        prepare(folder, b08_dropout.run)
        member = Job(seed, job.data_dir, folder, job.quick, job.earlier)
        fn.manual_seed(seed)
        outputs.append(b08_dropout.network(member, parts).predict(parts.test[0]))
    classes = ensemble.vote(outputs)
    return {"accuracy": 100 * float((classes == parts.test[1]).mean())}
