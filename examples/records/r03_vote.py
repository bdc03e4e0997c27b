"""R3: ten small convolutional networks vote; five are those of R2."""

from __future__ import annotations

from examples.reproduce.common import mnist, percent_right
from examples.reproduce.recipe import Job, member, recipe
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
            one = member(job, single.run, seed, name)
            outputs.append(single.trained(one, single.network(side)).predict(x))
    return {
        "vote": 100 * float((ensemble.vote(outputs) == y).mean()),
        "mean of probabilities": percent_right(ensemble.mean(outputs), y),
    }
