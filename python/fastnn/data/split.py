"""Splitting arrays into a training, a validation and a test part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Arrays = tuple[NDArray[Any], ...]


def train_val_test_split(
    *arrays: ArrayLike,
    val_size: int | float = 0.1,
    test_size: int | float = 0.1,
    seed: int = 0,
    stratify: ArrayLike | None = None,
) -> tuple[Arrays, Arrays, Arrays]:
    """Shuffle arrays of equal length and split them in three.

    >>> (x_train, y_train), (x_val, y_val), (x_test, y_test) = train_val_test_split(x, y)

    ``val_size`` and ``test_size`` are numbers of examples (int) or shares of the whole (float in
    [0, 1)); 0 gives an empty part. The same ``seed`` gives the same parts. ``stratify`` takes a
    class label for every example, shape (N): every part then holds its share of each class, to
    within one example. The parts are copies.

    Raises ValueError where lengths differ, or where nothing would be left to train on.
    """
    parts = [np.asarray(a) for a in arrays]
    if not parts or any(a.ndim == 0 for a in parts) or len({len(a) for a in parts}) > 1:
        shapes = [a.shape for a in parts]
        raise ValueError(
            f"[train_val_test_split] arrays must share a first axis of one length; got {shapes}"
        )
    n = len(parts[0])
    n_val = _count("val_size", val_size, n)
    n_test = _count("test_size", test_size, n)
    if n_val + n_test >= n:
        raise ValueError(
            f"[train_val_test_split] val_size {val_size} and test_size {test_size} "
            f"leave nothing to train on of {n} examples"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    if stratify is not None:
        order = order[_spread_classes(np.asarray(stratify), order)]
    test, val, train = np.split(order, [n_test, n_test + n_val])
    # The stratified order cycles through the classes; shuffle it away.
    x_train, x_val, x_test = (
        tuple(a[index] for a in parts) for index in map(rng.permutation, (train, val, test))
    )
    return x_train, x_val, x_test


def _spread_classes(labels: NDArray[Any], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """An order of ``order`` in which every stretch holds its share of each class."""
    if labels.shape != order.shape:
        raise ValueError(
            f"[train_val_test_split] stratify must have one label per example, shape "
            f"({len(order)},); got {labels.shape}"
        )
    position = np.empty(len(order))
    labels = labels[order]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(position, kind="stable")


def _count(name: str, size: int | float, n: int) -> int:
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0:
        return int(size)
    if isinstance(size, (float, np.floating)) and 0 <= size < 1:
        return round(float(size) * n)
    raise ValueError(
        f"[train_val_test_split] {name} must be an int >= 0 or a float in [0, 1); got {size!r}"
    )
