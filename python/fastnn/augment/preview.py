"""A picture of what an augmentation does."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..nn._checks import integer
from ..plotting import _figure


def preview(
    x: Any,
    augment: Callable[[Any], Any],
    path: str | os.PathLike[str] | None = None,
    rows: int = 4,
) -> Any:
    """A picture: each image of x (N, C, H, W), at most 8, above ``rows`` versions of it.

    Images are shown with black for 0 and white for 1. As those of `fastnn.plotting`, it is written
    to ``path`` (PNG or SVG) if there is one, and returned.
    """
    originals = array("preview", "x", x, (4,))[:8]
    integer("preview", "rows", rows)
    versions = [array("preview", "augmented x", augment(originals), (4,)) for _ in range(rows)]
    figure = _figure.new(9, 1.2 * (rows + 1))
    grid = figure.subplots(rows + 1, len(originals), squeeze=False)
    for line, shown in zip(grid, [originals, *versions], strict=True):
        for axes, image in zip(line, shown, strict=True):
            axes.imshow(_figure.displayable(image), cmap="gray", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
    grid[0, 0].set_title("originals", fontsize=8, loc="left")
    grid[1, 0].set_title("augmented", fontsize=8, loc="left")
    return _figure.done("preview", figure, path)
