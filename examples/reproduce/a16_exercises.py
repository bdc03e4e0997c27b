"""A16: what the book leaves as exercises: momentum, L1, tanh, ReLU, when to stop, a schedule."""

from __future__ import annotations

import fastnn as fn
from fastnn import nn
from fastnn.optim.lr_scheduler import HalvingLR
from fastnn.train import Trainer
from fastnn.train.callbacks import EarlyStopping

from .book import TEST, cross_entropy, sgd, train
from .common import Parts, accuracy, dense, mnist
from .recipe import Job, recipe


@recipe(
    "A16",
    "784-30-10, cross-entropy, eta 0.1, mini-batch 10, L2 with lambda 5 where not said: momentum, "
    "L1, other neurons, early stopping, a rate that is halved from 0.5 on",
    reported={
        "momentum 0: weights that differ from SGD's": "0",
        "momentum 0.9, eta 0.01": "",
        "L1: weights of 0 that have a gradient": "0",
        "L1, lambda 1": "",
        "tanh": "",
        "ReLU": "",
        "no improvement in 10: epochs": "",
        "no improvement in 10": "",
        "halved to 1/128: epochs": "",
        "halved to 1/128": "",
    },
    metric=TEST + "; counts",
    minutes=3,
    changes="The exercises name no figures. 30 epochs but for the last two, which end by "
    "themselves. Momentum 0 is tried as 1e-30, which takes the kernel with velocities.",
)
def run(job: Job) -> dict[str, float]:
    parts = mnist(job)
    epochs = job.pick(30, 1)
    n = len(parts.train[0])
    found = momentum(job, parts)

    l1 = nn.L1Penalty(1.0 / n)
    zeros = nn.Linear(10, 10)
    nn.init.zeros_(zeros.weight)
    l1(zeros).backward()
    found["L1: weights of 0 that have a gradient"] = int((zeros.weight.grad.numpy() != 0).sum())
    model = dense(784, 30, 10)
    trainer = train(model, parts, epochs, eta=0.1, penalty=l1)
    found["L1, lambda 1"] = accuracy(trainer, parts.test)

    for name, neuron in (("tanh", nn.Tanh), ("ReLU", nn.ReLU)):
        model = dense(784, 30, 10, activation=neuron)
        trainer = train(model, parts, epochs, eta=0.1, lmbda=5.0)
        found[name] = accuracy(trainer, parts.test)

    most = job.pick(500, 1)
    model = dense(784, 30, 10)
    stop = EarlyStopping("val_accuracy", patience=10)
    trainer = Trainer(model, cross_entropy, sgd(model, 0.1, 5.0 / n), callbacks=[stop])
    trainer.fit(parts.train, parts.validation, most, batch_size=10)
    found["no improvement in 10: epochs"] = trainer.epoch
    found["no improvement in 10"] = accuracy(trainer, parts.test)

    model = dense(784, 30, 10)
    opt = sgd(model, 0.5, 5.0 / n)
    best = EarlyStopping("val_accuracy", patience=most)  # keeps the best weights
    trainer = Trainer(
        model, cross_entropy, opt, scheduler=HalvingLR(opt, patience=10), callbacks=[best]
    )
    trainer.fit(parts.train, parts.validation, most, batch_size=10)
    found["halved to 1/128: epochs"] = trainer.epoch
    found["halved to 1/128"] = accuracy(trainer, parts.test)
    return found


def momentum(job: Job, parts: Parts) -> dict[str, float]:
    """An epoch of SGD and one with momentum 0, from the same start; 30 with momentum 0.9.

    0 itself takes SGD's kernel, so that it's tried as 1e-30, which is lost beside any gradient.
    """
    plain, zero = dense(784, 30, 10), dense(784, 30, 10)
    zero.load_state_dict(plain.state_dict())
    for model, opt in ((plain, sgd(plain, 0.1)), (zero, sgd(zero, 0.1, momentum=1e-30))):
        Trainer(model, cross_entropy, opt).fit(parts.train, batch_size=10)
    differing = sum(
        int(fn.ne(p, q).sum().item())
        for p, q in zip(plain.parameters(), zero.parameters(), strict=True)
    )
    model = dense(784, 30, 10)
    trainer = train(model, parts, job.pick(30, 1), eta=0.01, lmbda=5.0, momentum=0.9)
    return {
        "momentum 0: weights that differ from SGD's": differing,
        "momentum 0.9, eta 0.01": accuracy(trainer, parts.test),
    }
