"""A model's outputs and how right they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import Tensor, from_numpy, nn, no_grad
from ..data import DataLoader

Metric = Callable[[NDArray[Any], NDArray[Any]], float]


def device_of(model: nn.Module) -> str:
    """Where the model's parameters are, or the CPU where it has none."""
    return next((str(p.device) for p in model.parameters()), "cpu")


def predict(
    model: nn.Module, x: NDArray[Any], device: str | None = None, batch_size: int = 500
) -> NDArray[Any]:
    """The model's outputs (N, ...) for inputs (N, ...), in evaluation mode.

    Batches of ``batch_size`` go to ``device``, by default where the model is. Raises ValueError for
    empty ``x``.
    """
    if len(x) == 0:
        raise ValueError(f"[predict] x is empty; got shape {np.shape(x)}")
    device = device_of(model) if device is None else device
    with no_grad(), in_mode(model, training=False):
        batches = [
            outputs_of(model, batch.to(device)).to("cpu").numpy()
            for (batch,) in DataLoader((x,), batch_size)
        ]
    return np.concatenate(batches)


def outputs_of(model: nn.Module, x: Tensor) -> Tensor:
    """model(x); raises TypeError where that is no tensor."""
    outputs = model(x)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"[predict] the model must return a Tensor; got {type(outputs).__name__}")
    return outputs


@contextlib.contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode; afterwards each module is in its own mode again."""
    before = [(module, module.training) for module in model.modules()]
    try:
        model.train(training)
        yield
    finally:
        for module, mode in before:
            module.training = mode


def are_classes(outputs: NDArray[Any], y: NDArray[Any]) -> bool:
    """Whether the targets y are class numbers (N) of outputs (N, C), C of two or more."""
    several = outputs.ndim == 2 and outputs.shape[1] > 1
    return several and y.ndim == 1 and y.dtype.kind in "iu"


def score(
    outputs: NDArray[Any],
    y: NDArray[Any],
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    metrics: Mapping[str, Metric] | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """The loss, for class numbers the accuracy, and the metrics of outputs for targets (N, ...).

    Targets that are the loss's ``ignore_index`` do not count for the accuracy.
    """
    with no_grad():
        value = loss(from_numpy(outputs).to(device), from_numpy(y).to(device)).item()
    scores = {"loss": float(value)}
    if are_classes(outputs, y):
        counted = y != getattr(loss, "ignore_index", None)
        right = (outputs.argmax(1) == y) & counted
        scores["accuracy"] = float(right.sum() / max(counted.sum(), 1))
    return scores | {name: float(f(outputs, y)) for name, f in (metrics or {}).items()}


def evaluate(
    model: nn.Module, x: NDArray[Any], y: NDArray[Any], device: str | None = None
) -> tuple[float, float]:
    """(mean cross-entropy, share of right answers) for inputs (N, ...) and labels (N)."""
    scores = score(predict(model, x, device), y)
    return scores["loss"], scores["accuracy"]
