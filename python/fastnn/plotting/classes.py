"""What a model makes of classes: confusions, calibration, a plane of codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import Tensor, no_grad
from ..nn._checks import integer
from ._figure import PathLike, array, class_names, colours, done, labels, mosaic, new

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(
    y: Any, predicted: Any, classes: Sequence[str] | None = None, path: PathLike | None = None
) -> Figure:
    """How often each true class (row) is taken for each class (column).

    ``y`` and ``predicted`` are labels (N). The numbers are counts, the shades shares of the row.
    """
    names = class_names("confusion_matrix", classes, y, predicted)
    count = len(names)
    predicted = labels("confusion_matrix", "predictions", predicted, len(predicted), count)
    y = labels("confusion_matrix", "labels", y, len(predicted), count)
    counts = np.bincount(y * count + predicted, minlength=count * count).reshape(count, count)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.6 + 0.4 * count
    figure = new(side + 0.9, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(counts):
        if n:
            axes.text(
                *(j, i, str(n)),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if shares[i, j] > 0.5 else "black",
            )
    rotation = 0 if max(map(len, names)) < 4 else 60
    axes.set_xticks(range(count), names, fontsize=8, rotation=rotation)
    axes.set_yticks(range(count), names, fontsize=8)
    right = int(counts.trace())
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(f"{right:,} of {len(y):,} right ({right / len(y):.2%})", fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return done("confusion_matrix", figure, path)


def reliability_diagram(
    y: Any, probabilities: Any, path: PathLike | None = None, *, bins: int = 10
) -> Figure:
    """How often a model is right when it is so sure, and how often it is so sure.

    ``y`` (N) labels, ``probabilities`` (N, classes), rows that add up to 1. A bar for each of the
    ``bins`` intervals of the highest probability (Guo et al. 2017, arXiv:1706.04599); the title has
    the expected calibration error, the mean distance of the bars from the diagonal.
    """
    integer("reliability_diagram", "bins", bins)
    p = array("reliability_diagram", "probabilities", probabilities, (2,))
    if p.min() < 0 or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise ValueError(
            "[reliability_diagram] expected probabilities >= 0 that add up to 1 in each row; "
            f"got a least of {p.min():.3g}, sums of {p.sum(1).min():.3g} to {p.sum(1).max():.3g}"
        )
    y = labels("reliability_diagram", "labels", y, len(p), p.shape[1])
    confidence, right = p.max(1).astype(np.float64), p.argmax(1) == y
    edges = np.linspace(0, 1, bins + 1)
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    filled = counts > 0
    accuracy = np.bincount(which, right, bins)[filled] / counts[filled]
    mean = np.bincount(which, confidence, bins)[filled] / counts[filled]
    error = float((counts[filled] * np.abs(accuracy - mean)).sum() / len(p))
    blue, red = colours(2)
    figure = new(4.6, 5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    above.bar(middles[filled], accuracy * 100, 0.94 / bins, color=blue, label="accuracy")
    above.plot(mean, mean * 100, "_", color=red, markersize=100 / bins, label="mean confidence")
    above.plot([0, 1], [0, 100], "--", color="grey", linewidth=1, label="as sure as right")
    above.set(ylabel="accuracy (%)", ylim=(0, 102))
    above.set_title(f"Expected calibration error {error:.1%}", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    below.bar(middles, counts, 0.94 / bins, color=blue)
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
    names = class_names("latent_plane", classes, y)
    y = labels("latent_plane", "labels", y, len(codes), len(names))
    figure = new(5 if decode is None else 10, 5)
    panels = figure.subplots(1, 1 if decode is None else 2, squeeze=False)[0]
    axes = panels[0]
    shades = _TEN if len(names) <= len(_TEN) else colours(len(names), ordered=True)
    for c in np.unique(y):
        part = codes[y == c]
        axes.scatter(*part.T, s=8, color=shades[c], marker=_MARKERS[c % 6], linewidths=0)
        axes.annotate(
            names[c],
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
