"""Examples mixed with each other, and their targets with them."""

from __future__ import annotations

from typing import Any

from .. import Tensor, float64
from .._C import mixup
from ..nn._checks import as_tensor, cast_like, integer, number


class MixUp:
    """Each example mixed with another one of the batch: share x + (1 - share) x', targets alike.

    share ~ Beta(``alpha``, ``alpha``), one for the batch, or one for each example where
    ``per_example``; x' is the example a random number of places further on. Zhang et al., "mixup:
    beyond empirical risk minimization", ICLR 2018. Cross-entropy takes the targets as they come.
    """

    takes_targets = True

    def __init__(
        self, alpha: float = 1.0, num_classes: int = 10, per_example: bool = False
    ) -> None:
        self.alpha = float(number("MixUp", "alpha", alpha, "(0, inf)"))
        self.num_classes = integer("MixUp", "num_classes", num_classes)
        self.per_example = per_example

    def __call__(self, x: Any, y: Any) -> tuple[Tensor, Tensor]:
        """Inputs x (N, ...) and classes y (N), int64, or probabilities (N, C), to mixed inputs and
        probabilities (N, C) of x's dtype. Raises IndexError for a class that there is not."""
        images, targets = as_tensor("MixUp", x), as_tensor("MixUp", y)
        if targets.dtype == float64:
            targets = cast_like("MixUp", targets, images)
        mixed: tuple[Tensor, Tensor] = mixup(
            images, targets, self.alpha, self.num_classes, self.per_example
        )
        return mixed

    def __repr__(self) -> str:
        return (
            f"MixUp(alpha={self.alpha}, num_classes={self.num_classes}, "
            f"per_example={self.per_example})"
        )
