"""A picture of what an augmentation does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..nn._checks import integer
from ..plotting._figure import PathLike, displayable, done, new

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def preview(
    x: Any, augment: Callable[[Any], Any], path: PathLike | None = None, rows: int = 4
) -> Figure:
    """Each image of x (N, C, H, W), at most 8, above ``rows`` versions of it; black is 0, white 1.

    Returns the figure, which is written to ``path``, a .png or .svg, where one is given. Raises
    ImportError without matplotlib (extra ``plot``).
    """
    integer("preview", "rows", rows)
    originals = np.asarray(x)[:8]
    versions = [np.asarray(augment(originals)) for _ in range(rows)]
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
