"""Several transforms as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .geometry import MOST_STAGES, Geometric, resample


class Compose:
    """Transforms applied one after the other; neighbours that move pixels, in one resampling.

    So a turn after a shift blurs once, and what the shift has moved out of the image the turn can
    bring back. An elastic field among them moves the pixels of the first image. Maps with different
    fills, a second field, and maps beyond eight are resampled by themselves.

    ``transforms``: of this package, or any callables from images to images. One with a `MixUp` in
    it takes (x, y), as any may, and returns the two.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = list(transforms)
        for t in self.transforms:
            if not callable(t):
                raise TypeError(f"[Compose] a transform must be callable; got {type(t).__name__}")

    @property
    def takes_targets(self) -> bool:
        """Whether it must be called with (x, y)."""
        return any(map(takes_targets, self.transforms))

    def __call__(self, x: Any, y: Any = None) -> Any:
        """Images (N, C, H, W), and the targets if they are given, after all transforms."""
        if y is None and self.takes_targets:
            raise TypeError("[Compose] there are targets to mix too: call it with (x, y)")
        for step in _joined(self.transforms):
            if isinstance(step, list):
                x = resample(step, x)
            elif takes_targets(step):
                x, y = step(x, y)
            else:
                x = step(x)
        return x if y is None else (x, y)

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


def images_alone(user: str, augment: Any) -> None:
    """Raises TypeError for an augmentation that changes targets as well."""
    if takes_targets(augment):
        raise TypeError(f"[{user}] augment must change images alone; this one changes targets too")


def takes_targets(transform: Any) -> bool:
    """Whether it is one of those here that change targets as well."""
    return bool(getattr(transform, "takes_targets", False))


def _joined(transforms: Sequence[Any]) -> list[Any]:
    """The transforms in order, with a list where several share a resampling."""
    steps: list[Any] = []
    for t in transforms:
        if not isinstance(t, Geometric):
            steps.append(t)
        elif steps and isinstance(steps[-1], list) and _share([*steps[-1], t]):
            steps[-1].append(t)
        else:
            steps.append([t])
    return steps


def _share(transforms: Sequence[Geometric]) -> bool:
    """Whether one resampling does for all of them."""
    fills = {t.fill for t in transforms} - {None}
    fields = sum(t.alpha != 0 for t in transforms)
    return len(fills) <= 1 and fields <= 1 and len(transforms) - fields <= MOST_STAGES
