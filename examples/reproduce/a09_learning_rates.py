"""A9: the training cost at three learning rates: too small, right, too large."""

from __future__ import annotations

from itertools import pairwise

from fastnn import nn
from fastnn.train import Trainer

from .book import cross_entropy, sgd
from .common import dense, figure, mnist
from .recipe import Job, recipe

LAMBDA = 5.0
WHAT = {0.025: "smooth", 0.25: "falls, then a plateau", 2.5: "oscillates"}


@recipe(
    "A9",
    "784-30-10, cross-entropy, L2 with lambda 5, mini-batch 10, 30 epochs; eta 0.025, 0.25 and 2.5",
    reported={
        f"eta {eta}: {measure}": what if measure == "epochs in which it rises" else ""
        for eta, what in WHAT.items()
        for measure in ("last cost", "epochs in which it rises", "largest rise")
    },
    metric="cost of the 50,000 training images, L2 term included, after each epoch",
    minutes=1,
)
def run(job: Job) -> dict[str, float]:
    part = mnist(job).train
    n = len(part[0])
    penalty = nn.L2Penalty(LAMBDA / (2 * n))
    axes = (fig := figure(6, 4)).subplots()
    found = {}
    for eta in WHAT:
        model = dense(784, 30, 10)
        costs: list[float] = []
        trainer = Trainer(
            *(model, cross_entropy, sgd(model, eta, LAMBDA / n)),
            callbacks=[
                lambda trainer, row, costs=costs: costs.append(
                    trainer.evaluate(part)["loss"] + penalty(trainer.model).item()
                )
            ],
        )
        trainer.fit(part, epochs=job.pick(30, 2), batch_size=10)
        rises = [max(after - before, 0) for before, after in pairwise(costs)]
        found[f"eta {eta}: last cost"] = costs[-1]
        found[f"eta {eta}: epochs in which it rises"] = sum(rise > 0 for rise in rises)
        found[f"eta {eta}: largest rise"] = max(rises)
        axes.plot(range(1, len(costs) + 1), costs, label=f"eta = {eta}")
    axes.set(xlabel="epoch", ylabel="training cost")
    axes.legend()
    fig.savefig(job.folder / "learning_rates.png")
    return found
