"""Schedules that wait for a quantity to improve no more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...nn._checks import integer, number, one_of
from ..optimizer import Optimizer


class ReduceLROnPlateau:
    """Times `factor` once a quantity has not improved in more than `patience` steps.

    It improves by falling, or with mode "max" by rising, past the best so far by more than
    `threshold`, as a share of the best or with threshold_mode "abs" as it is; of a best below 0 the
    share is of its size, where PyTorch takes anything near it for better. For `cooldown` steps
    after a change nothing is counted. Rates do not fall below `min_lr`, nor by less than `eps`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = type(self).__name__
        self.optimizer = optimizer
        self.mode = one_of(name, "mode", mode, ("min", "max"))
        self.factor = number(name, "factor", factor, "[0, 1)")
        self.patience = integer(name, "patience", patience, 0)
        self.threshold = number(name, "threshold", threshold, "[0, inf)")
        self.threshold_mode = one_of(name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = integer(name, "cooldown", cooldown, 0)
        groups = len(optimizer.param_groups)
        self.min_lrs = [min_lr] * groups if isinstance(min_lr, (int, float)) else list(min_lr)
        if len(self.min_lrs) != groups:
            raise ValueError(
                f"[{name}] min_lr must be one number or {groups}; got {len(self.min_lrs)}"
            )
        self.eps = number(name, "eps", eps, "[0, inf)")
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: float) -> None:
        """Counts a step that came to `metrics`; a NaN is no improvement."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1)
        if math.isinf(self.best):
            return sign * (self.best - value) > 0
        return bool(sign * (self.best - value) > margin)

    def _reduce(self) -> None:
        for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, lowest)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The rates as they are, one for each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict() needs: numbers."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`; raises ValueError for that of another schedule."""
        expected = self.state_dict()
        if state_dict.keys() != expected.keys():
            raise ValueError(
                f"[{type(self).__name__}] expected a state of {sorted(expected)}; "
                f"got {sorted(state_dict)}"
            )
        self.__dict__.update(state_dict)


class HalvingLR(ReduceLROnPlateau):
    """Halves the rate after `patience` steps without improvement, down to `stop_at` of the first.

    The schedule of Nielsen's "Neural Networks and Deep Learning", chapter 3: `finished` is when the
    rate has dropped to `stop_at` of what it was or below, and training is to end.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "max",
        patience: int = 10,
        stop_at: float = 1 / 128,
    ) -> None:
        integer("HalvingLR", "patience", patience)
        super().__init__(optimizer, mode, 0.5, patience - 1, threshold=0, eps=0)
        self.stop_at = number("HalvingLR", "stop_at", stop_at, "(0, 1]")
        self.share = 1.0
        self.finished = False

    def _reduce(self) -> None:
        if self.finished:
            return
        self.share *= self.factor
        super()._reduce()
        self.finished = self.share <= self.stop_at
