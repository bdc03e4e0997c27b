"""Examples that a model gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import from_numpy, softmax
from ._figure import PathLike, array, displayable, done, in_unit, labels, new

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 40  # mistakes on one page: 5 rows of 8


def mistakes(
    x: Any,
    y: Any,
    logits: Any,
    classes: Sequence[str],
    path: PathLike | None = None,
) -> Figure:
    """Show the examples that a model gets wrong, the most certain mistake first.

    ``x`` (N, C, H, W) images or (N, C, L) signals, ``y`` (N) labels, ``logits`` (N, classes).
    Raises ValueError for shapes that do not fit, and for logits that are NaN or infinite.
    """
    x, classes = array("mistakes", "x", x, (3, 4)), [str(name) for name in classes]
    logits = array("mistakes", "logits", logits, (2,))
    if logits.shape != (len(x), len(classes)):
        raise ValueError(
            f"[mistakes] expected logits ({len(x)}, {len(classes)}) for {len(x)} examples and "
            f"{len(classes)} classes; got {logits.shape}"
        )
    y = labels("mistakes", "labels", y, len(x), len(classes))
    certainty = softmax(from_numpy(logits.astype(np.float64)), 1).numpy().max(1)
    predicted = logits.argmax(1)
    wrong = np.flatnonzero(predicted != y)
    wrong = wrong[np.argsort(-certainty[wrong], kind="stable")]
    rows = max(1, -(-min(len(wrong), _SHOWN) // 8))
    figure = new(9, 0.5 + 1.3 * rows)
    shown = f", the {_SHOWN} most certain" if len(wrong) > _SHOWN else ""
    figure.suptitle(
        f"{len(wrong)} of {len(y)} wrong{shown}: true → predicted (its probability)", fontsize=10
    )
    between = "\n→ " if max(map(len, classes)) > 3 else " → "  # long names need a line each
    wrong = wrong[:_SHOWN]
    examples = in_unit([x[wrong]])[0] if x.ndim == 4 and len(wrong) else x[wrong]
    grid = figure.subplots(rows, 8, squeeze=False).flat
    for axes, i, example in zip(grid, wrong, examples, strict=False):
        if x.ndim == 4:
            axes.imshow(displayable(example), cmap="gray", vmin=0, vmax=1)
        else:
            axes.plot(example.T)
        title = f"{classes[y[i]]}{between}{classes[predicted[i]]} ({certainty[i]:.0%})"
        axes.set_title(title, fontsize=8)
    for axes in figure.axes:
        axes.set_xticks([])
        axes.set_yticks([])
        if not axes.has_data():
            axes.set_axis_off()
    return done("mistakes", figure, path)
