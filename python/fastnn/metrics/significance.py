"""How sure a measured accuracy is, and a difference between two classifiers."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import ArrayLike

from .._extras import need
from ..nn._checks import integer, number, one_of
from ._inputs import checked_labels


def proportion_interval(
    right: int, n: int, confidence: float = 0.95, method: str = "wilson"
) -> tuple[float, float]:
    """The confidence interval of a share, `right` of `n` independent examples, as (low, high).

    `method` is "wilson" (Wilson 1927), whose coverage is near `confidence` on average, or "exact"
    (Clopper and Pearson 1934), whose coverage is never below it.
    """
    name = "proportion_interval"
    n = integer(name, "n", n)
    if integer(name, "right", right, 0) > n:
        raise ValueError(f"[{name}] right must be at most n, {n}; got {right}")
    number(name, "confidence", confidence, "(0, 1)")
    one_of(name, "method", method, ("wilson", "exact"))
    test = need("scipy.stats", "train", name).binomtest(right, n)
    interval = test.proportion_ci(confidence, method)
    return float(interval.low), float(interval.high)


class McNemar(NamedTuple):
    """What `mcnemar` gives."""

    only_a: int
    """Examples that only the first classifier has right."""
    only_b: int
    """Examples that only the second has right."""
    p_value: float


def mcnemar(a: ArrayLike, b: ArrayLike, y: ArrayLike) -> McNemar:
    """McNemar's exact test of two classifiers on the same examples.

    `a` and `b` (N) are the classes they say, `y` (N) the labels. The p-value is two-sided: the
    chance that classifiers which err equally often would differ by so much or more. Examples that
    both have right or wrong tell nothing; without others it is 1.
    """
    labels = checked_labels("mcnemar", "labels", y)
    right_a, right_b = (
        checked_labels("mcnemar", f"the predictions {name}", said, len(labels)) == labels
        for name, said in (("a", a), ("b", b))
    )
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    if only_a + only_b == 0:
        return McNemar(0, 0, 1.0)
    test = need("scipy.stats", "train", "mcnemar").binomtest(only_a, only_a + only_b)
    return McNemar(only_a, only_b, float(test.pvalue))
