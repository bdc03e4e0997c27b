"""The training loop for classifiers, and what it records."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import Tensor, from_numpy, nn, no_grad, optim
from ..compile import CompiledStep, EpochResult, compile
from ..data import DataLoader, TensorDataset

Progress = Callable[[Iterable[Any]], Iterable[Any]]


class History(list[dict[str, float]]):
    """One row per epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy, images_per_second.

    ``loss`` and ``accuracy`` are means over the epoch's batches, as they were trained on.
    Accuracies are shares from 0 to 1, losses mean cross-entropies in nats.
    """

    @property
    def best(self) -> dict[str, float]:
        """The row of the highest validation accuracy, of equals that of the lowest loss."""
        return max(self, key=lambda row: (row["val_accuracy"], -row["val_loss"]))


def cosine(done: float) -> float:
    """The factor of the learning rate when the share ``done`` of the training is over."""
    return 0.5 * (1 + math.cos(math.pi * done))


def fit(
    model: nn.Module,
    optimizer: optim.Optimizer,
    train: DataLoader,
    validation: tuple[NDArray[Any], NDArray[Any]],
    epochs: int,
    *,
    device: str = "cpu",
    schedule: Callable[[float], float] = lambda done: 1.0,
    history: History | None = None,
    progress: Progress = iter,
    on_epoch: Callable[[History], None] = lambda history: None,
) -> History:
    """Train a classifier with cross-entropy; returns the history, a row per epoch.

    ``train`` yields (x, y), ``validation`` is (x, y): images (N, ...) and labels (N). Before each
    step the learning rate is set to its first value times ``schedule(share done)``. After each
    epoch ``on_epoch`` is called with the history so far; give ``history`` to keep it when the run
    is interrupted. ``progress`` wraps the numbers of an epoch's batches, tqdm for instance.

    Raises ValueError when the loss is no longer finite.
    """
    history = History() if history is None else history
    loss_fn = nn.CrossEntropyLoss()
    rates = [group["lr"] for group in optimizer.param_groups]

    @compile
    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        output = model(x)
        loss = loss_fn(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, output

    resident = _resident(train, device)

    def set_rates(done: float) -> None:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(done)

    for epoch in range(epochs):
        model.train()
        ticks = iter(progress(range(len(train))))
        start = time.perf_counter()

        def before(number: int, epoch: int = epoch, ticks: Iterator[int] = ticks) -> None:
            set_rates((epoch + number / len(train)) / epochs)
            next(ticks, None)

        result = _run_epoch(step, train, resident, device, before)
        next(ticks, None)
        seconds = time.perf_counter() - start
        if not math.isfinite(result.loss):
            raise ValueError(
                f"[fit] the loss is {result.loss} in epoch {epoch + 1}: "
                f"try a learning rate below {max(rates):g}"
            )
        val_loss, val_accuracy = evaluate(model, *validation, device=device)
        history.append(
            {
                "epoch": len(history) + 1,
                "loss": result.loss,
                "accuracy": result.accuracy or 0.0,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "images_per_second": len(train.dataset) / seconds,
            }
        )
        on_epoch(history)
    return history


def _resident(train: DataLoader, device: str) -> tuple[Tensor, Tensor] | None:
    """All inputs and targets on the device, when the data are two arrays."""
    dataset = train.dataset
    if type(dataset) is not TensorDataset or len(dataset.arrays) != 2:
        return None
    x, y = (from_numpy(array).to(device) for array in dataset.arrays)
    return x, y


def _run_epoch(
    step: CompiledStep,
    train: DataLoader,
    resident: tuple[Tensor, Tensor] | None,
    device: str,
    before: Callable[[int], None],
) -> EpochResult:
    """An epoch of the loader: from C++ when its data are two arrays, batch by batch otherwise."""
    if resident is not None:
        seed = (train.seed, train.epoch)
        train.epoch += 1
        x, y = resident
        return step.run_epoch(
            *(x, y, train.batch_size, train.shuffle, seed),
            drop_last=train.drop_last,
            before_step=before,
        )
    total, correct, count = 0.0, 0, 0
    for number, batch in enumerate(train):
        x, y = (t.to(device) for t in batch)
        before(number)
        loss, output = step(x, y)
        total += loss.item() * len(y)
        correct += int((output.argmax(1) == y).sum().item())
        count += len(y)
    return EpochResult(total / count, correct / count, len(train))


def predict(model: nn.Module, x: NDArray[Any], device: str = "cpu") -> NDArray[Any]:
    """The model's outputs (N, classes) for inputs (N, ...), in evaluation mode."""
    training = model.training
    model.eval()
    with no_grad():
        batches = [model(batch.to(device)).to("cpu").numpy() for (batch,) in DataLoader((x,), 500)]
    model.train(training)
    return np.concatenate(batches)


def evaluate(
    model: nn.Module, x: NDArray[Any], y: NDArray[Any], device: str = "cpu"
) -> tuple[float, float]:
    """(mean cross-entropy, share of right answers) for inputs (N, ...) and labels (N)."""
    return score(predict(model, x, device), y)


def score(logits: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """(mean cross-entropy, share of right answers) of outputs (N, classes) for labels (N)."""
    loss = nn.functional.cross_entropy(from_numpy(logits), from_numpy(y)).item()
    return float(loss), float((logits.argmax(1) == y).mean())
