"""What recipes share: data as the documents split it, the networks of the book, pictures."""

from __future__ import annotations

import functools
import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastnn import data, nn, optim
from fastnn.nn import init
from fastnn.train import Trainer
from fastnn.train.callbacks import Checkpoint, EarlyStopping

from .recipe import Job

Part = tuple[NDArray[Any], NDArray[Any]]  # inputs (N, ...), labels (N)


class Parts(NamedTuple):
    """A data set in three; choices are made on the validation part."""

    train: Part
    validation: Part
    test: Part


def mnist(job: Job) -> Parts:
    """MNIST as the book splits it: 50,000 and the last 10,000 training images, 10,000 for tests.

    Images are (N, 1, 28, 28) in [0, 1]. A quick run has 1,000, 500 and 500 of them.
    """
    (x, y), test = _mnist(job.data_dir)
    return _cut(Parts((x[:50000], y[:50000]), (x[50000:], y[50000:]), test), job)


def mnist1d(job: Job, validation: int = 500) -> Parts:
    """MNIST-1D: 4,000 signals (N, 1, 40), the last of them for validation, and 1,000 for tests."""
    (x, y), test = data.mnist1d(job.data_dir)
    split = len(x) - validation
    return _cut(Parts((x[:split], y[:split]), (x[split:], y[split:]), test), job)


def _cut(parts: Parts, job: Job) -> Parts:
    if not job.quick:
        return parts
    return Parts(*((x[:n], y[:n]) for (x, y), n in zip(parts, (1000, 500, 500), strict=True)))


@functools.cache  # a run of several recipes or seeds reads it once
def _mnist(data_dir: Path) -> tuple[Part, Part]:
    return data.mnist(data_dir)


def dense(*sizes: int, activation: Any = nn.Sigmoid, start: str = "scaled") -> nn.Sequential:
    """A dense network of the book: `dense(784, 30, 10)`; its last layer has no activation.

    Biases start as N(0, 1), weights as N(0, 1/fan_in), or N(0, 1) with start "large".
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layer = nn.Linear(inputs, outputs)
        init.normal_(layer.weight, 0, 1 if start == "large" else 1 / math.sqrt(inputs))
        init.normal_(layer.bias)
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1])


def percent_right(outputs: NDArray[Any], y: NDArray[Any]) -> float:
    """Accuracy in percent, of outputs (N, classes) for labels (N)."""
    return 100 * float((outputs.argmax(1) == y).mean())


def accuracy(trainer: Trainer, part: Part) -> float:
    """Percent right on these images."""
    return percent_right(trainer.predict(part[0]), part[1])


def train_long(
    job: Job,
    model: nn.Module,
    opt: optim.Optimizer,
    train: Part,
    validation: Part | None,
    epochs: int,
    *,
    batch_size: int,
    label_smoothing: float = 0.0,
    name: str = "",
    **options: Any,
) -> Trainer:
    """Softmax and cross-entropy; the model is then that of the best validation accuracy, of equal
    ones the latest, or without validation data the last one.

    A run that was cut off goes on from its latest epoch; `name` tells a recipe's networks apart.
    Options are the trainer's.
    """
    save = Checkpoint(job.folder / name)
    best = [EarlyStopping("val_accuracy", patience=epochs, latest=True)] if validation else []
    loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    trainer = Trainer(model, loss, opt, callbacks=[*best, save], **options)
    start = time.perf_counter()
    trainer.fit(
        *(train, validation, epochs),
        batch_size=batch_size,
        resume=save.path if save.path.exists() else None,
    )
    job.earlier.append(trainer.seconds - (time.perf_counter() - start))
    return trainer


def figure(width: float = 9, height: float = 4) -> Any:
    """An empty matplotlib figure that needs no display: `figure().savefig(path)`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")
