"""B7: a second dense layer."""

from __future__ import annotations

from .convnets import on_shifted_copies
from .recipe import Job, recipe

HIDDEN = {"100+100": (100, 100), "300+300": (300, 300), "1000+1000": (1000, 1000)}


@recipe(
    "B7",
    "B5 with two dense layers, of 100, 300 and 1000 neurons each",
    reported={"100+100": "99.43", "300+300": "99.48", "1000+1000": "99.47"},
    metric="test accuracy at the best validation accuracy, %",
    minutes=70,
    seeds=1,
    changes="L2 as in B4. Weights and biases start as in the book's program, not as in B4.",
    difference="One run each, there and here; those of one recipe differ by 0.05 to 0.1.",
)
def run(job: Job) -> dict[str, float]:
    return on_shifted_copies(job, HIDDEN)
