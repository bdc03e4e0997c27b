"""R3: ten small convolutional networks vote; five are those of R2."""

from __future__ import annotations

import fastnn as fn
from examples.reproduce.common import mnist, percent_right
from examples.reproduce.recipe import Job, prepare, recipe
from fastnn import ensemble

from . import r02_single_network as single

SEEDS = 5


@recipe(
    "R3",
    "the vote of five networks of R2 and of five whose first convolution is 7x7",
    reported={"vote": "", "mean of probabilities": ""},
    metric="test accuracy, %",
    minutes=120,
    seeds=1,
)
def run(job: Job) -> dict[str, float]:
    x, y = mnist(job).test
    outputs = []
    for side, name in ((5, "R2"), (7, "R3-7x7")):
        for seed in range(SEEDS * job.seed, SEEDS * (job.seed + 1)):
            # Where R2 has trained this seed, it is only read.
            folder = job.folder.parent / f"{name}-{seed}"
            prepare(folder, single.run)
            member = Job(seed, job.data_dir, folder, job.quick, job.earlier)
            fn.manual_seed(seed)
            outputs.append(single.trained(member, single.network(side)).predict(x))
    return {
        "vote": 100 * float((ensemble.vote(outputs) == y).mean()),
        "mean of probabilities": percent_right(ensemble.mean(outputs), y),
    }
