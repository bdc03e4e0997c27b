"""C13: the tools around training: rates, schedules, cross-validation, ensembles, search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import ensemble, nn, optim, search
from fastnn.optim import lr_scheduler as schedules
from fastnn.train import Trainer, lr_find

from .common import figure, mnist, percent_right
from .recipe import Job, recipe

BATCH = 50
SCHEDULES: dict[
    str, Callable[[optim.Optimizer, int, int], Any]
] = {  # of an optimizer, epochs, steps
    "constant": lambda opt, epochs, steps: None,
    "step": lambda opt, epochs, steps: schedules.StepLR(opt, max(1, epochs // 3), gamma=0.2),
    "exponential": lambda opt, epochs, steps: schedules.ExponentialLR(opt, 0.01 ** (1 / epochs)),
    "cosine": lambda opt, epochs, steps: schedules.CosineAnnealingLR(opt, epochs),
    "plateau": lambda opt, epochs, steps: schedules.ReduceLROnPlateau(opt, factor=0.2, patience=2),
    "cyclical": lambda opt, epochs, steps: schedules.CyclicLR(
        opt,
        opt.param_groups[0]["lr"] / 10,
        opt.param_groups[0]["lr"],
        step_size_up=min(4, epochs) * steps // 2,
    ),
}


@recipe(
    "C13",
    "784-100-10 ReLU on the first 5,000 MNIST images, SGD with momentum 0.9, batches of 50, 20 "
    "epochs: range test, six schedules from the rate it gives, cross-validation and ensembles of "
    "five, random search over 12 candidates",
    reported={
        "rate of the range test": "",
        **{f"schedule {name}": "" for name in SCHEDULES},
        "five seeds alone": "",
        "five seeds together": "",
        "5-fold cross-validation": "",
        "five folds together": "",
        "best of random search": "",
    },
    metric="A rate; mean accuracy on the folds left out; all else test accuracy, %",
    minutes=1,
    changes="The document describes these without figures. The range test gives the rate where the "
    "loss falls fastest; for 20 epochs that is low, so that to lower it further doesn't help, and "
    "five networks, which are alike, gain little from being five.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    epochs, k = job.pick(20, 1), job.pick(5, 2)
    train, validation = ((x[:5000], y[:5000]) for x, y in (parts.train, parts.validation))
    x, y = train
    x_test, y_test = parts.test

    def make(
        seed: int, lr: float, width: int = 100, decay: float = 0.0, schedule: str = "constant"
    ) -> Trainer:
        fn.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))
        opt = optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=decay)
        scheduler = SCHEDULES[schedule](opt, epochs, len(x) // BATCH)
        return Trainer(model, nn.CrossEntropyLoss(), opt, scheduler=scheduler, seed=seed)

    def fit(trainer: Trainer) -> Trainer:
        trainer.fit(train, validation, epochs, batch_size=BATCH)
        return trainer

    def test(trainer: Trainer) -> float:
        return 100 * trainer.evaluate(parts.test)["accuracy"]

    found = lr_find(make(job.seed, 0.1), train, batch_size=BATCH, start=1e-4, steps=200, diverged=2)
    rate = found.suggestion
    axes = (fig := figure(6, 4)).subplots()
    axes.semilogx(found.rates, found.losses)
    axes.axvline(rate, color="gray")
    axes.set(xlabel="learning rate", ylabel="loss (nats)")
    fig.savefig(job.folder / "range_test.png")
    values = {"rate of the range test": rate}
    for name in SCHEDULES:
        values[f"schedule {name}"] = test(fit(make(job.seed, rate, schedule=name)))

    def make_cosine(seed: int) -> Trainer:
        return make(seed, rate, schedule="cosine")

    first = k * job.seed  # so that no network is in two results
    options: Mapping[str, Any] = {"epochs": epochs, "batch_size": BATCH}
    seeds = ensemble.by_seed(make_cosine, range(first, first + k), train, validation, **options)
    values["five seeds alone"] = float(np.mean([test(trainer) for trainer in seeds.trainers]))
    values["five seeds together"] = percent_right(seeds.predict_proba(x_test), y_test)

    folds = ensemble.cross_validate(make_cosine, x, y, k, seed=first, **options)
    values["5-fold cross-validation"] = 100 * folds.spread()[0]
    values["five folds together"] = percent_right(folds.predict_proba(x_test), y_test)

    from scipy.stats import loguniform

    space = {"lr": loguniform(0.01, 1), "decay": loguniform(1e-5, 1e-2), "width": [30, 100, 300]}
    candidates = search.random(space, job.pick(12, 2), seed=job.seed)

    def objective(params: dict[str, Any], seed: int) -> float:
        history = fit(make(seed, **params, schedule="cosine")).history
        return history[-1]["val_accuracy"]

    best = search.run(objective, candidates, seed=job.seed, log=job.folder / "search.jsonl").best
    values["best of random search"] = test(fit(make(job.seed, **best.params, schedule="cosine")))
    return values
