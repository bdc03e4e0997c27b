"""Measures of a classifier on a whole set of examples, and their table."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import from_numpy, nn
from .._extras import need
from ..nn._checks import integer, one_of
from ._inputs import outputs_and_labels, probabilities
from .calibration import expected_calibration_error
from .significance import proportion_interval

Outputs = ArrayLike
Labels = ArrayLike


def accuracy(outputs: Outputs, y: Labels) -> float:
    """The share of examples whose largest output is that of their class, the first of equals."""
    z, labels = outputs_and_labels("accuracy", outputs, y)
    return float((z.argmax(1) == labels).mean())


def top_k_accuracy(outputs: Outputs, y: Labels, k: int = 5) -> float:
    """The share of examples whose class is among the `k` largest outputs.

    Of equal outputs the first classes count as the larger ones, so that k = 1 is `accuracy`. Raises
    ValueError for k outside 1..C.
    """
    z, labels = outputs_and_labels("top_k_accuracy", outputs, y)
    if integer("top_k_accuracy", "k", k) > z.shape[1]:
        raise ValueError(f"[top_k_accuracy] k must be at most {z.shape[1]}; got {k}")
    order = np.argsort(-z.astype(np.float64), axis=1, kind="stable")
    return float((order[:, :k] == labels[:, None]).any(1).mean())


def confusion_matrix(outputs: Outputs, y: Labels) -> NDArray[np.int64]:
    """Counts (C, C), int64: at [i, j] the examples of class i that are taken for class j."""
    z, labels = outputs_and_labels("confusion_matrix", outputs, y)
    metrics = need("sklearn.metrics", "train", "confusion_matrix")
    counts: NDArray[np.int64] = metrics.confusion_matrix(
        labels, z.argmax(1), labels=range(z.shape[1])
    )
    return counts


def precision(outputs: Outputs, y: Labels, average: str | None = "macro") -> Any:
    """Of the examples taken for a class, the share that is of it; 0 where none is taken for it.

    `average` is "macro", the mean over classes; "micro", over examples, which is `accuracy` where
    each example has one class; or None, for an array (C), a value a class. A class of which `y` has
    no example has no value: a UserWarning names it, the mean leaves it out, the array has NaN.
    """
    return _score("precision", outputs, y, average)


def recall(outputs: Outputs, y: Labels, average: str | None = "macro") -> Any:
    """Of the examples of a class, the share that is taken for it; averages as in `precision`."""
    return _score("recall", outputs, y, average)


def f1(outputs: Outputs, y: Labels, average: str | None = "macro") -> Any:
    """The harmonic mean of precision and recall; averages, of its values, as in `precision`."""
    return _score("f1", outputs, y, average)


def log_loss(outputs: Outputs, y: Labels, from_logits: bool = True) -> float:
    """The mean of -ln p(class of the example), in nats: the cross-entropy, computed in float64.

    Outputs are logits, or with `from_logits` False probabilities. A probability of 0 for what was
    true makes it infinite.
    """
    z, labels = outputs_and_labels("log_loss", outputs, y)
    if from_logits:
        wide, index = from_numpy(z.astype(np.float64)), from_numpy(labels)
        return float(nn.functional.cross_entropy(wide, index).item())
    p = probabilities("log_loss", z, False)
    with np.errstate(divide="ignore"):
        return float(-np.log(p[np.arange(len(p)), labels]).mean())


def report(logits: Outputs, y: Labels, classes: Sequence[str] | None = None) -> str:
    """A table of a classifier's errors, to print: in all, by class, and the commonest mistakes.

    `classes` names the C classes, by default by their numbers. What has no value, since there is no
    example of the class, is shown as a dash.
    """
    z, labels = outputs_and_labels("report", logits, y)
    n, c = z.shape
    names = [str(i) for i in range(c)] if classes is None else [str(name) for name in classes]
    if len(names) != c:
        raise ValueError(f"[report] expected the names of {c} classes; got {len(names)}")
    right = int((z.argmax(1) == labels).sum())
    low, high = proportion_interval(right, n)
    counts = confusion_matrix(z, labels)
    present = counts.sum(1) > 0
    columns = np.array(_by_class("report", z, labels))
    width = max(5, *map(len, names))
    lines = [
        f"accuracy {right / n:.2%} ({n - right} of {n} wrong), "
        f"95% interval {low:.2%} to {high:.2%}",
        f"log loss {log_loss(z, labels):.4f}, "
        f"calibration error {expected_calibration_error(z, labels):.4f}",
        "",
        f"{'class':{width}}  precision  recall      f1  examples",
    ]
    for name, values, count in zip(names, columns.T, counts.sum(1), strict=True):
        lines.append(f"{name:{width}}  {_cells(values)}  {count:8}")
    lines.append(f"{'mean':{width}}  {_cells(columns[:, present].mean(1))}  {n:8}")
    mistakes = counts * (1 - np.eye(c, dtype=np.int64))
    worst = np.argsort(-mistakes, axis=None, kind="stable")[:5]
    for i, j in zip(*np.unravel_index(worst, mistakes.shape), strict=True):
        if mistakes[i, j]:
            lines.append(f"{names[i]} taken for {names[j]}: {mistakes[i, j]}")
    return "\n".join(lines)


def _cells(values: NDArray[Any]) -> str:
    texts = ["-" if np.isnan(value) else f"{value:.4f}" for value in values]
    return f"{texts[0]:>9}  {texts[1]:>6}  {texts[2]:>6}"


def _by_class(name: str, z: NDArray[Any], labels: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Precision, recall and F1 (C) each; NaN for a class without examples."""
    metrics = need("sklearn.metrics", "train", name)
    present = np.unique(labels)
    values = []
    for found in metrics.precision_recall_fscore_support(
        labels, z.argmax(1), labels=present, zero_division=0
    )[:3]:
        values.append(np.full(z.shape[1], np.nan))
        values[-1][present] = found
    return values


def _score(name: str, outputs: Outputs, y: Labels, average: str | None) -> Any:
    z, labels = outputs_and_labels(name, outputs, y)
    if average is not None and one_of(name, "average", average, ("macro", "micro")) == "micro":
        return accuracy(z, labels)
    values = _by_class(name, z, labels)[("precision", "recall", "f1").index(name)]
    absent = np.flatnonzero(np.isnan(values))
    if len(absent):
        numbers = ", ".join(map(str, absent))
        warnings.warn(f"[{name}] no example is of class {numbers}: no value there", stacklevel=3)
    return values if average is None else float(np.nanmean(values))
