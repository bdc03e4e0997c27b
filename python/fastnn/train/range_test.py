"""The learning-rate range test."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..data import DataLoader
from ..nn._checks import integer, number
from .trainer import Trainer


class RangeTest(NamedTuple):
    """Losses (S) of steps at rising learning rates (S), smoothed, and the rate to try first."""

    rates: list[float]
    losses: list[float]
    suggestion: float

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The losses against the rates: `fastnn.plotting.lr_finder`."""
        from .. import plotting

        return plotting.lr_finder(self.rates, self.losses, self.suggestion, path)


def lr_find(
    trainer: Trainer,
    train: DataLoader | Sequence[ArrayLike],
    *,
    batch_size: int = 32,
    start: float = 1e-6,
    end: float = 10.0,
    steps: int = 100,
    diverged: float = 4.0,
) -> RangeTest:
    """Trains with a learning rate that rises from ``start`` to ``end`` in equal factors.

    All groups of the optimizer have this one rate. Losses are smoothed by a mean over a tenth of
    the steps around; the test ends early once the mean of the latest is above ``diverged`` times
    the lowest. Suggested is the rate at which the smoothed loss falls fastest against log(rate).
    Model, optimizer, schedule, random generator and order of the data are afterwards exactly as
    before. Smith, "Cyclical learning rates for training neural networks", 2017.

    Raises ValueError for rates that do not rise, arrays that `Trainer.fit` would refuse, and where
    the loss diverges at once.
    """
    integer("lr_find", "steps", steps, 3)
    number("lr_find", "start", start, "(0, inf)")
    number("lr_find", "end", end, f"({start}, inf)")
    number("lr_find", "diverged", diverged, "(1, inf]")
    rates = np.geomspace(start, end, steps).tolist()
    feed = trainer.make_feed(train, batch_size)
    trainer.check(feed, {}, check_classes=False)
    width = max(3, steps // 20 * 2 + 1)
    losses: list[float] = []
    lowest = math.inf
    with trainer.unchanged() as step:
        for i, rate in enumerate(rates):
            for group in trainer.optimizer.param_groups:
                group["lr"] = rate
            loss = step(*feed.batch(i % len(feed)))
            latest = float(np.mean([*losses[1 - width :], loss]))
            if not latest <= diverged * lowest:  # nor is NaN
                break
            losses.append(loss)
            lowest = min(lowest, latest)
    if len(losses) < width:
        raise ValueError(f"[lr_find] the loss diverges at once: start below {start:g}")
    around = np.ones(width)
    smooth = np.convolve(losses, around, "same") / np.convolve(np.ones_like(losses), around, "same")
    rates = rates[: len(losses)]
    # Past the lowest it may fall from a divergence to the plateau of a network that is dead.
    slopes = np.gradient(smooth, np.log(rates))[: smooth.argmin() + 1]
    return RangeTest(rates, smooth.tolist(), rates[int(slopes.argmin())])
