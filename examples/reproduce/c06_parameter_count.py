"""C6: how many parameters a small regression network has."""

from __future__ import annotations

import fastnn as fn
from fastnn import nn

from .recipe import Job, recipe


@recipe(
    "C6",
    "Regression with 10-1000-1 ReLU neurons: the number of parameters",
    reported={"parameters": "12,001"},
    metric="A count",
    minutes=0,
    seeds=1,
)
def run(job: Job) -> dict[str, float]:
    model = nn.Sequential(nn.Linear(10, 1000), nn.ReLU(), nn.Linear(1000, 1))
    assert model(fn.zeros(5, 10)).shape == (5, 1)
    return {"parameters": sum(p.numel() for p in model.parameters())}
