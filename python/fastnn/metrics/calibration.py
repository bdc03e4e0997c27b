"""Whether a classifier is right as often as it is sure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._extras import need
from ..nn._checks import integer
from ._inputs import outputs_and_labels, probabilities


class Reliability(NamedTuple):
    """Bins of the largest probability, from 0 to 1, each array (bins); NaN in empty ones."""

    confidence: NDArray[np.float64]
    """The mean of the largest probability."""
    accuracy: NDArray[np.float64]
    """The share of right answers."""
    examples: NDArray[np.int64]
    """How many there are."""


def reliability_curve(
    outputs: ArrayLike, y: ArrayLike, bins: int = 15, from_logits: bool = True
) -> Reliability:
    """How often the classifier is right beside how sure it is, in `bins` of equal width.

    Outputs (N, C) are logits, or with `from_logits` False probabilities. A bin holds its lower end
    and not its upper one, but for the last.
    """
    return _curve("reliability_curve", outputs, y, bins, from_logits)


def expected_calibration_error(
    outputs: ArrayLike, y: ArrayLike, bins: int = 15, from_logits: bool = True
) -> float:
    """The mean |accuracy - confidence| of the examples, by their bins (ECE, Guo et al. 2017)."""
    confidence, share, count = _curve("expected_calibration_error", outputs, y, bins, from_logits)
    gaps = abs(share - confidence)[count > 0]
    return float(gaps @ count[count > 0] / count.sum())


def fit_temperature(logits: ArrayLike, y: ArrayLike) -> float:
    """The temperature T > 0 for which `logits / T` have the lowest `log_loss`.

    Temperature scaling (Guo et al. 2017) changes no decision, only how sure they are. Fit it on
    validation data: training data would say that no correction is needed.

    The loss is convex in 1 / T; T is where its slope, the mean of E_p[z] - z_y, is 0. Raises
    ValueError where it is not 0 anywhere: where no logit is above the true class's (T falls to 0),
    or where the logits say no more about the labels than chance does (T grows without end).
    """
    z, labels = outputs_and_labels("fit_temperature", logits, y)
    wide = z.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ValueError("[fit_temperature] expected finite logits; got -inf")
    wide -= wide.max(1, keepdims=True)
    true = wide[np.arange(len(wide)), labels]
    if not true.any():
        raise ValueError(
            "[fit_temperature] the true class always has the largest logit: no best one"
        )

    def slope(inverse: float) -> float:
        p = probabilities("fit_temperature", wide * inverse, True)
        return float(((p * wide).sum(1) - true).mean())

    if slope(0.0) >= 0:
        raise ValueError("[fit_temperature] the logits tell no more than chance: no best one")
    high = 1.0
    while slope(high) < 0:
        high *= 2
    solve = need("scipy.optimize", "train", "fit_temperature").brentq
    return 1 / float(solve(slope, 0.0, high, xtol=1e-12))


def _curve(
    name: str, outputs: ArrayLike, y: ArrayLike, bins: int, from_logits: bool
) -> Reliability:
    z, labels = outputs_and_labels(name, outputs, y)
    bins = integer(name, "bins", bins)
    p = probabilities(name, z, from_logits)
    sure, right = p.max(1), z.argmax(1) == labels
    index = np.minimum((sure * bins).astype(np.intp), bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            np.bincount(index, sure, bins) / count, np.bincount(index, right, bins) / count, count
        )
