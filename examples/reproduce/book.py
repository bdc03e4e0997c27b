"""How Nielsen's book trains: sigmoid outputs, its two costs, its L2. What recipes of A share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F
from fastnn.train import Trainer
from fastnn.train.callbacks import EarlyStopping

from .common import Part, Parts

Cost = Callable[[fn.Tensor, fn.Tensor], fn.Tensor]

ONE_HOT = fn.tensor(np.eye(10, dtype=np.float32))

TEST = "test accuracy at the best validation accuracy, %"
BEST = "the best test accuracy of a run, which the document gives"


def quadratic(z: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
    """|a - y|^2 / 2 with a = sigmoid(z), the mean over examples; z (N, 10), labels y (N)."""
    return F.mse_loss(F.sigmoid(z), ONE_HOT[y], reduction="sum") / (2 * len(z))


def cross_entropy(z: fn.Tensor, y: fn.Tensor) -> fn.Tensor:
    """-sum_j (y_j ln a_j + (1 - y_j) ln(1 - a_j)) with a = sigmoid(z), the mean over examples."""
    return F.binary_cross_entropy_with_logits(z, ONE_HOT[y], reduction="sum") / len(z)


def sgd(model: nn.Module, eta: float, decay: float = 0.0, momentum: float = 0.0) -> optim.SGD:
    """Gradient descent on cost + (decay / 2) sum w^2, biases excluded; decay is lambda / n."""
    return optim.SGD(optim.param_groups_weight_decay(model, decay), lr=eta, momentum=momentum)


def train(
    model: nn.Module,
    parts: Parts,
    epochs: int,
    *,
    eta: float,
    lmbda: float = 0.0,
    momentum: float = 0.0,
    cost: Cost = cross_entropy,
    batch_size: int = 10,
    watched: Mapping[str, Part] | None = None,
    **options: Any,
) -> Trainer:
    """Trains on parts.train; the model is then that of the best validation accuracy.

    `lmbda` is the book's: (lmbda / 2n) sum w^2 with n training images. The history has the accuracy
    on `watched` sets too. Options are the trainer's.
    """
    best = EarlyStopping("val_accuracy", patience=epochs)  # never stops, keeps the best weights
    opt = sgd(model, eta, lmbda / len(parts.train[0]), momentum)
    trainer = Trainer(model, cost, opt, callbacks=[best], **options)
    sets = {"val": parts.validation, **(watched or {})}
    trainer.fit(parts.train, sets, epochs, batch_size=batch_size)
    return trainer


def hidden_lengths(model: nn.Sequential) -> list[float]:
    """The length of each hidden layer's gradient with respect to its biases."""
    biases = [p for p in model.parameters() if p.ndim == 1]
    return [float(np.linalg.norm(bias.grad.numpy())) for bias in biases[:-1]]
