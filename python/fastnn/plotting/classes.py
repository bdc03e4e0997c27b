"""What a model makes of classes: confusions, calibration, a plane of codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import Tensor, no_grad
from ..nn._checks import integer
from ._figure import PathLike, array, colours, done, labels, mosaic, new

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(
    counts: Any, classes: Sequence[str] | None = None, path: PathLike | None = None
) -> Figure:
    """How often each true class (row) is taken for each class (column).

    ``counts`` (C, C) whole numbers, as scikit-learn's ``confusion_matrix`` gives them. The numbers
    are these, the shades their shares of the row.
    """
    counts = array("confusion_matrix", "counts", counts, (2,))
    n = len(counts)
    if counts.shape != (n, n) or counts.dtype.kind not in "ui" or counts.min() < 0:
        raise ValueError(
            "[confusion_matrix] expected counts (C, C), whole numbers of 0 and more; "
            f"got {counts.dtype} {counts.shape}, the least {counts.min()}"
        )
    names = [str(c) for c in (range(n) if classes is None else classes)]
    if len(names) != n:
        raise ValueError(f"[confusion_matrix] expected the names of {n} classes; got {len(names)}")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.6 + 0.4 * n
    figure = new(side + 0.9, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(counts):
        colour = "white" if shares[i, j] > 0.5 else "black"
        axes.text(*(j, i, str(counts[i, j])), ha="center", va="center", fontsize=8, color=colour)
    rotation = 0 if max(map(len, names)) < 4 else 60
    axes.set_xticks(range(n), names, fontsize=8, rotation=rotation)
    axes.set_yticks(range(n), names, fontsize=8)
    right, total = int(counts.trace()), int(counts.sum())
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(f"{right:,} of {total:,} right ({right / max(total, 1):.2%})", fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return done("confusion_matrix", figure, path)


def reliability_diagram(curve: tuple[Any, Any, Any], path: PathLike | None = None) -> Figure:
    """How often a model is right when it is so sure, and how often it is so sure.

    ``curve`` is (confidence, accuracy, examples) of bins of equal width from 0 to 1, each (bins):
    the mean of the highest probability, the share of right answers and the number of examples;
    the first two are not read where there is none. The title has the expected calibration error,
    the mean distance of the two (Guo et al. 2017, arXiv:1706.04599).
    """
    confidence, accuracy, examples = (np.asarray(part) for part in curve)
    examples = array("reliability_diagram", "examples", examples, (1,))
    bins = len(examples)
    if not confidence.shape == accuracy.shape == examples.shape:
        raise ValueError(
            "[reliability_diagram] expected confidence, accuracy and examples of one shape (bins,);"
            f" got {confidence.shape}, {accuracy.shape}, {examples.shape}"
        )
    filled = examples > 0
    sure = array("reliability_diagram", "confidence", confidence[filled], (1,))
    right = array("reliability_diagram", "accuracy", accuracy[filled], (1,))
    if min(sure.min(), right.min()) < 0 or max(sure.max(), right.max()) > 1:
        raise ValueError(
            "[reliability_diagram] expected confidence and accuracy from 0 to 1; "
            f"got {sure.min():g} to {sure.max():g} and {right.min():g} to {right.max():g}"
        )
    error = float(examples[filled] @ np.abs(right - sure) / examples.sum())
    middles = (np.arange(bins) + 0.5) / bins
    blue, red = colours(2)
    figure = new(4.6, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(middles[filled], right * 100, 0.94 / bins, color=blue, label="accuracy")
    above.plot(sure, sure * 100, "_", color=red, markersize=100 / bins, label="mean confidence")
    above.plot([0, 1], [0, 100], "--", color="grey", linewidth=1, label="as sure as right")
    above.set(ylabel="accuracy (%)", ylim=(0, 102))
    above.set_title(f"Expected calibration error {error:.1%}", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    below.bar(middles, examples, 0.94 / bins, color=blue)
    below.set(xlabel="highest probability (confidence)", ylabel="examples", xlim=(0, 1))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    return done("reliability_diagram", figure, path)


# Tol's "muted" set and a dark grey: ten that stay apart with any colour vision.
_TEN = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#555555"),
)
_MARKERS = "osD^vP"


def latent_plane(
    codes: Any,
    y: Any,
    decode: Callable[[Tensor], Any] | None = None,
    path: PathLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    steps: int = 15,
) -> Figure:
    """Codes of two numbers coloured by class, beside what points of their plane decode to.

    ``codes`` (N, 2), ``y`` (N) labels. ``decode``, a model for instance, takes a float32 tensor
    (``steps``², 2) and gives pictures (``steps``², H, W) or (``steps``², 1, H, W); without it there
    is the scatter alone. Each class is named at the median of its codes.
    """
    integer("latent_plane", "steps", steps, 2)
    codes = array("latent_plane", "codes", codes, (2,))
    if codes.shape[1] != 2:
        raise ValueError(f"[latent_plane] expected codes (N, 2); got {codes.shape}")
    if classes is None:
        classes = [str(i) for i in range(int(array("latent_plane", "labels", y, (1,)).max()) + 1)]
    y = labels("latent_plane", "labels", y, len(codes), len(classes))
    figure = new(5 if decode is None else 10, 5)
    panels = figure.subplots(1, 1 if decode is None else 2, squeeze=False)[0]
    axes = panels[0]
    shades = _TEN if len(classes) <= len(_TEN) else colours(len(classes), ordered=True)
    for c in np.unique(y):
        part = codes[y == c]
        axes.scatter(*part.T, s=8, color=shades[c], marker=_MARKERS[c % 6], linewidths=0)
        axes.annotate(
            str(classes[c]),
            np.median(part, 0),
            ha="center",
            va="center",
            weight="bold",
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": shades[c], "alpha": 0.85},
        )
    axes.set(xlabel="code 1", ylabel="code 2")
    axes.set_title(f"Codes of {len(codes):,} examples", fontsize=10)
    axes.grid(alpha=0.3)
    if decode is not None:
        _decoded(panels[1], codes, decode, steps)
    return done("latent_plane", figure, path)


def _decoded(axes: Any, codes: Any, decode: Callable[[Tensor], Any], steps: int) -> None:
    (left, bottom), (right, top) = codes.min(0), codes.max(0)
    # Rows from the top down, so that a picture stands where its code does in the scatter.
    across, down = np.meshgrid(np.linspace(left, right, steps), np.linspace(top, bottom, steps))
    points = np.stack([across.ravel(), down.ravel()], 1).astype(np.float32)
    with no_grad():
        output = decode(Tensor(points))
    pictures = array("latent_plane", "decoded pictures", output, (3, 4))
    pictures = pictures[:, 0] if pictures.ndim == 4 and pictures.shape[1] == 1 else pictures
    if pictures.ndim != 3 or len(pictures) != len(points):
        n = len(points)
        raise ValueError(
            f"[latent_plane] expected decode to give ({n}, H, W) or ({n}, 1, H, W); "
            f"got {pictures.shape}"
        )
    mosaic(axes, pictures, steps, "gray", float(pictures.min()), float(pictures.max()))
    axes.set_xticks(axes.get_xticks()[:: steps - 1], [f"{left:.2g}", f"{right:.2g}"])
    axes.set_yticks(axes.get_yticks()[:: steps - 1], [f"{top:.2g}", f"{bottom:.2g}"])
    axes.set(xlabel="code 1", ylabel="code 2", aspect="auto")
    axes.set_title(f"{steps}×{steps} points of the plane, decoded", fontsize=10)
