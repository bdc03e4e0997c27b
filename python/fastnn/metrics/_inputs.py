"""What every measure takes is checked here, once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import Tensor, from_numpy, softmax


def outputs_and_labels(
    name: str, outputs: ArrayLike, y: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The checked outputs (N, C) and labels (N), these as int64."""
    z = checked_outputs(name, outputs)
    labels = checked_labels(name, "labels", y, len(z))
    if labels.min() < 0 or labels.max() >= z.shape[1]:
        wrong = labels[(labels < 0) | (labels >= z.shape[1])][0]
        raise ValueError(f"[{name}] expected labels from 0 to {z.shape[1] - 1}; got {wrong}")
    return z, labels


def checked_outputs(name: str, outputs: ArrayLike) -> NDArray[Any]:
    """Outputs (N, C), C >= 2, of numbers. -inf, the logarithm of a probability of 0, is one."""
    z = np.asarray(outputs.detach().cpu() if isinstance(outputs, Tensor) else outputs)
    if z.ndim != 2 or len(z) == 0 or z.shape[1] < 2:
        raise ValueError(f"[{name}] expected outputs (N, C) of 2 or more classes; got {z.shape}")
    if z.dtype.kind not in "fiu":
        raise TypeError(f"[{name}] expected outputs that are numbers; got {z.dtype}")
    finite = np.isfinite(z.max(1))  # the largest is not where any is NaN or +inf
    if not finite.all():
        i = int(np.argmin(finite))
        raise ValueError(f"[{name}] expected finite outputs; got {z[i]} for example {i}")
    return z


def checked_labels(name: str, what: str, y: ArrayLike, n: int | None = None) -> NDArray[np.int64]:
    """Class numbers (N), `n` of them, as int64."""
    labels = np.asarray(y.cpu() if isinstance(y, Tensor) else y)
    if labels.ndim != 1 or len(labels) == 0 or (n is not None and len(labels) != n):
        wanted = "(N)" if n is None else f"({n},)"
        raise ValueError(f"[{name}] expected {what} of shape {wanted}; got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[{name}] expected {what} that are integers; got {labels.dtype}")
    return labels.astype(np.int64, copy=False)


def probabilities(name: str, outputs: NDArray[Any], from_logits: bool) -> NDArray[np.float64]:
    """Outputs as probabilities in float64: the softmax of logits, or checked and as they are."""
    p = outputs.astype(np.float64)
    if from_logits:
        p = softmax(from_numpy(p), 1).numpy()
    elif not (np.all(p >= 0) and np.allclose(p.sum(1), 1, rtol=0, atol=1e-3)):
        i = int(np.argmax((p < 0).any(1) | (abs(p.sum(1) - 1) > 1e-3)))
        raise ValueError(
            f"[{name}] expected probabilities, which add up to 1; got {outputs[i]} for example {i} "
            f"(of logits, say from_logits=True)"
        )
    return p
