"""What the pictures share: figures without pyplot, colours, mosaics, checks, writing."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import Tensor
from .._extras import need
from ..io import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]

# Okabe and Ito's colours, told apart with any colour vision; their yellow is too pale for lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    figure: Figure = need("matplotlib.figure", "plot", "plotting").Figure(
        figsize=(width, height), dpi=120, layout="constrained"
    )
    return figure


def done(name: str, figure: Figure, path: PathLike | None) -> Figure:
    """The figure, written to `path` where there is one."""
    if path is None:
        return figure
    kind = Path(path).suffix.lower()
    if kind not in (".png", ".svg"):
        raise ValueError(f"[{name}] expected a path that ends in .png or .svg; got {str(path)!r}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind[1:])
    write_atomic(Path(path), buffer.getvalue())
    return figure


def colours(count: int, ordered: bool = False) -> list[Any]:
    """Colours for `count` lines: of distinct hue, or from dark to light where there is an order."""
    if count <= len(_COLOURS) and not ordered:
        return list(_COLOURS[:count])
    viridis = need("matplotlib", "plot", "plotting").colormaps["viridis"]
    return list(viridis(np.linspace(0, 0.9, count)))  # its last tenth is too pale on white


def array(name: str, argument: str, value: Any, ndims: Sequence[int]) -> NDArray[Any]:
    """`value` as a NumPy array of finite numbers with one of the numbers of axes."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        result = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"[{name}] expected {argument} to be an array: {error}") from None
    if result.dtype.kind not in "buif":
        raise TypeError(f"[{name}] expected {argument} of numbers; got dtype {result.dtype}")
    if result.ndim not in ndims or not result.size:
        axes = " or ".join(map(str, ndims))
        raise ValueError(
            f"[{name}] expected {argument} with {axes} axes, not empty; got shape {result.shape}"
        )
    if bad := result.size - int(np.isfinite(result).sum()):
        raise ValueError(
            f"[{name}] expected finite {argument}; got {bad} of {result.size} values NaN or inf"
        )
    return result


def labels(name: str, argument: str, value: Any, count: int, classes: int) -> NDArray[Any]:
    """`value` as `count` integers from 0 to `classes` - 1."""
    result = array(name, argument, value, (1,))
    if result.dtype.kind not in "bui":
        raise TypeError(f"[{name}] expected {argument} of integers; got dtype {result.dtype}")
    if len(result) != count:
        raise ValueError(f"[{name}] expected {count} {argument}, one an example; got {len(result)}")
    if result.min() < 0 or result.max() >= classes:
        raise ValueError(
            f"[{name}] expected {argument} in [0, {classes}); got {result.min()} to {result.max()}"
        )
    return result.astype(np.int64)


def mosaic(axes: Any, tiles: NDArray[Any], columns: int, cmap: str, low: float, high: float) -> Any:
    """Draw `tiles` (N, H, W) on one axes, row by row; returns the image, whose gaps are NaN."""
    n, h, w = tiles.shape
    rows = -(-n // columns)
    scale = max(1, 32 // max(h, w))  # pixels repeated, so that a gap is thin beside small tiles
    height, width = h * scale + 2, w * scale + 2
    picture = np.full((rows * height - 2, columns * width - 2), np.nan, np.float32)
    for i, tile in enumerate(tiles):
        top, left = i // columns * height, i % columns * width
        picture[top : top + height - 2, left : left + width - 2] = tile.repeat(scale, 0).repeat(
            scale, 1
        )
    image = axes.imshow(picture, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    axes.set_xticks(np.arange(columns) * width + width / 2 - 1.5, range(columns))
    axes.set_yticks(np.arange(rows) * height + height / 2 - 1.5, range(0, rows * columns, columns))
    axes.tick_params(length=0, labelsize=7)
    axes.spines[:].set_visible(False)
    return image


def in_unit(pictures: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Pictures as numbers in [0, 1]: uint8 over 255, others that are outside from their lowest to
    their highest, all of them alike."""
    if pictures[0].dtype == np.uint8:
        return [p / np.float32(255) for p in pictures]
    low, high = min(p.min() for p in pictures), max(p.max() for p in pictures)
    if low >= 0 and high <= 1:
        return list(pictures)
    return [(p - low) / (high - low if high > low else 1) for p in pictures]


def displayable(image: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) to (H, W), or to (H, W, 3) within [0, 1]."""
    shown: NDArray[Any] = image[0] if len(image) != 3 else image.transpose(1, 2, 0).clip(0, 1)
    return shown
