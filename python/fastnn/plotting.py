"""Pictures of a run, as PNG files. Needs matplotlib (extra ``train``); no global state, no display.

Nothing here imports pyplot, so plots of the caller's own are left alone.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._extras import need
from .io import write_atomic

_SHOWN = 40  # mistakes on one page: 5 rows of 8


def curves(history: Sequence[dict[str, float]], path: str | os.PathLike[str]) -> None:
    """Plot loss and accuracy on the training and the validation part against the epoch.

    ``history`` holds a row per epoch, as `fastnn.train.History` does.
    """
    figure = _figure(9, 3.6)
    epochs = [row["epoch"] for row in history]
    # A single point has no line to be seen by.
    marker = "o" if len(epochs) < 30 else None
    for axes, name, unit, scale in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("nats", "%"), (1, 100), strict=True
    ):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            values = [row[key] * scale for row in history]
            axes.plot(epochs, values, label=label, marker=marker, markersize=3)
        axes.set(xlabel="epoch", ylabel=f"{name} ({unit})")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    _write(figure, path)


def mistakes(
    x: NDArray[Any],
    y: NDArray[Any],
    logits: NDArray[Any],
    classes: Sequence[str],
    path: str | os.PathLike[str],
) -> None:
    """Show the examples that a model gets wrong, the most certain mistake first.

    ``x`` (N, C, H, W) images or (N, C, L) signals, ``y`` (N) labels, ``logits`` (N, classes).
    """
    certainty = _softmax(logits).max(1)
    predicted = logits.argmax(1)
    wrong = np.flatnonzero(predicted != y)
    wrong = wrong[np.argsort(-certainty[wrong], kind="stable")]
    rows = max(1, -(-min(len(wrong), _SHOWN) // 8))
    figure = _figure(9, 0.5 + 1.3 * rows)
    shown = f", the {_SHOWN} most certain" if len(wrong) > _SHOWN else ""
    figure.suptitle(
        f"{len(wrong)} of {len(y)} wrong{shown}: true → predicted (its probability)", fontsize=10
    )
    between = "\n→ " if max(map(len, classes)) > 3 else " → "  # long names need a line each
    for axes, i in zip(figure.subplots(rows, 8, squeeze=False).flat, wrong[:_SHOWN], strict=False):
        if x.ndim == 4:
            axes.imshow(_displayable(x[i]), cmap="gray", vmin=0, vmax=1)
        else:
            axes.plot(x[i].T)
        title = f"{classes[y[i]]}{between}{classes[predicted[i]]} ({certainty[i]:.0%})"
        axes.set_title(title, fontsize=8)
    for axes in figure.axes:
        axes.set_xticks([])
        axes.set_yticks([])
        if not axes.has_data():
            axes.set_axis_off()
    _write(figure, path)


def _displayable(image: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) to (H, W), or to (H, W, 3) within [0, 1]."""
    shown: NDArray[Any] = image[0] if len(image) != 3 else image.transpose(1, 2, 0).clip(0, 1)
    return shown


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    normalised: NDArray[Any] = powers / powers.sum(1, keepdims=True)
    return normalised


def _figure(width: float, height: float) -> Any:
    return need("matplotlib.figure", "train", "plotting").Figure(
        figsize=(width, height), dpi=120, layout="constrained"
    )


def _write(figure: Any, path: str | os.PathLike[str]) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomic(Path(path), buffer.getvalue())
