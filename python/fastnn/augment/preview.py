"""A picture of what an augmentation does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn._checks import integer
from ..plotting._figure import PathLike, array, displayable, done, in_unit, new
from .compose import images_alone

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def preview(
    x: Any, augment: Callable[[Any], Any], path: PathLike | None = None, rows: int = 4
) -> Figure:
    """Each image of x (N, C, H, W), at most 8, above ``rows`` versions of it.

    Returns the figure and, given a ``path``, writes it as PNG or SVG, as `fastnn.plotting` does.
    Images are shown with black for 0 and white for 1; numbers outside of that from the lowest to
    the highest. Those of uint8 are divided by 255 first. Raises ImportError without matplotlib
    (extra ``plot``), TypeError for an augmentation that changes targets too.
    """
    images_alone("preview", augment)
    originals = array("preview", "x", x, (4,))[:8]
    if originals.dtype == np.uint8:
        originals = originals / np.float32(255)
    integer("preview", "rows", rows)
    versions = [array("preview", "augmented x", augment(originals), (4,)) for _ in range(rows)]
    originals, *versions = in_unit([originals, *versions])
    figure = new(9, 1.2 * (rows + 1))
    grid = figure.subplots(rows + 1, len(originals), squeeze=False)
    for line, shown in zip(grid, [originals, *versions], strict=True):
        for axes, image in zip(line, shown, strict=True):
            axes.imshow(displayable(image), cmap="gray", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
    grid[0, 0].set_title("originals", fontsize=8, loc="left")
    grid[1, 0].set_title("augmented", fontsize=8, loc="left")
    return done("preview", figure, path)
