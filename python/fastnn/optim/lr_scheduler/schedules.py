"""Schedules that say what the learning rate is after so many steps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...nn._checks import integer, number
from ..optimizer import Optimizer


class LRScheduler:
    """The base class: `_lr(base, t)` is the rate after t steps in a group that began with `base`.

    `last_epoch` is the t that was reached before; then the groups of the optimizer must say what
    they began with, as "initial_lr".
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            kind = type(optimizer).__name__
            raise TypeError(f"[{self._name}] optimizer must be an Optimizer; got {kind}")
        self.optimizer = optimizer
        self.last_epoch = integer(self._name, "last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault(
                    "initial_lr", group["lr"]
                )  # another schedule may have set the rate
            elif "initial_lr" not in group:
                raise ValueError(
                    f"[{self._name}] with last_epoch {last_epoch} group {i} must have an initial_lr"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def _lr(self, base: float, t: float) -> float:
        raise NotImplementedError

    def step(self) -> None:
        """Sets the rates of the next step."""
        self.last_epoch += 1
        self._set(self.last_epoch)

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, one for each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict() needs: numbers, and no functions."""
        kept = {"optimizer"}
        state = {k: v for k, v in self.__dict__.items() if k not in kept and not k.startswith("_")}
        return {k: list(v) if isinstance(v, list) else v for k, v in state.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`. The rates themselves are part of the optimizer's state.

        Raises ValueError for the state of another schedule.
        """
        expected = self.state_dict()
        if state_dict.keys() != expected.keys():
            raise ValueError(
                f"[{self._name}] expected a state of {sorted(expected)}; got {sorted(state_dict)}"
            )
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"[{self._name}] expected base_lrs of {len(self.base_lrs)} groups; "
                f"got {len(state_dict['base_lrs'])}"
            )
        self.__dict__.update(
            {k: list(v) if isinstance(v, list) else v for k, v in state_dict.items()}
        )

    def _rates(self, t: float) -> list[float]:
        return [self._lr(base, t) for base in self.base_lrs]

    def _set(self, t: float) -> None:
        for group, lr in zip(self.optimizer.param_groups, self._rates(t), strict=True):
            group["lr"] = float(lr)

    @property
    def _name(self) -> str:
        return type(self).__name__


class LambdaLR(LRScheduler):
    """base lr_lambda(t): one function, or one for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        self._lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self._lambdas) != groups:
            raise ValueError(
                f"[LambdaLR] lr_lambda must be one function or {groups}; got {len(self._lambdas)}"
            )
        super().__init__(optimizer, last_epoch)

    def _rates(self, t: float) -> list[float]:
        return [base * f(int(t)) for base, f in zip(self.base_lrs, self._lambdas, strict=True)]


class StepLR(LRScheduler):
    """base gamma^floor(t / step_size)."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = integer("StepLR", "step_size", step_size)
        self.gamma = number("StepLR", "gamma", gamma, "[0, inf)")
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: float) -> float:
        return float(base * self.gamma ** (t // self.step_size))


class MultiStepLR(LRScheduler):
    """base gamma^(milestones that t has reached)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(integer("MultiStepLR", "milestones", m, 0) for m in milestones)
        self.gamma = number("MultiStepLR", "gamma", gamma, "[0, inf)")
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: float) -> float:
        return float(base * self.gamma ** bisect_right(self.milestones, t))


class ExponentialLR(LRScheduler):
    """base gamma^t."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma, "[0, inf)")
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: float) -> float:
        return float(base * self.gamma**t)


class PolynomialLR(LRScheduler):
    """base (1 - t / total_iters)^power, and 0 from then on."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = integer("PolynomialLR", "total_iters", total_iters)
        self.power = number("PolynomialLR", "power", power, "[0, inf)")
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: float) -> float:
        return float(base * (1 - min(t / self.total_iters, 1)) ** self.power)


class ConstantLR(LRScheduler):
    """base factor for total_iters steps, then base."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.factor = number("ConstantLR", "factor", factor, "[0, 1]")
        self.total_iters = integer("ConstantLR", "total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: float) -> float:
        return base * (self.factor if t < self.total_iters else 1.0)


class LinearLR(LRScheduler):
    """From base start_factor to base end_factor in total_iters steps: a warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = number("LinearLR", "start_factor", start_factor, "(0, 1]")
        self.end_factor = number("LinearLR", "end_factor", end_factor, "[0, 1]")
        self.total_iters = integer("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: float) -> float:
        done = min(t / self.total_iters, 1)
        return float(base * (self.start_factor + (self.end_factor - self.start_factor) * done))


class CosineAnnealingLR(LRScheduler):
    """eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2. Loshchilov and Hutter, 2017."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = integer("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = number("CosineAnnealingLR", "eta_min", eta_min, "[0, inf)")
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: float) -> float:
        return float(self.eta_min + (base - self.eta_min) * cosine(t / self.T_max))


class SequentialLR(LRScheduler):
    """One schedule after another: the next from each of the `milestones` on, beginning at its 0.

    So a warm-up goes before any other: SequentialLR(opt, [LinearLR(opt), StepLR(opt, 30)], [5]).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._schedulers = list(schedulers)
        for scheduler in self._schedulers:
            if not isinstance(scheduler, LRScheduler) or scheduler.optimizer is not optimizer:
                raise TypeError(
                    "[SequentialLR] schedulers must be schedules by steps of the same optimizer"
                )
        self.milestones = [integer("SequentialLR", "milestones", m) for m in milestones]
        if len(self.milestones) + 1 != len(self._schedulers) or self.milestones != sorted(
            set(self.milestones)
        ):
            raise ValueError(
                f"[SequentialLR] milestones must be {len(self._schedulers) - 1} rising numbers; "
                f"got {self.milestones}"
            )
        super().__init__(optimizer, last_epoch)

    def _set(self, t: float) -> None:
        i = bisect_right(self.milestones, t)
        self._schedulers[i]._set(t - (self.milestones[i - 1] if i else 0))

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict() needs, with the states of the schedules."""
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "schedulers": states}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        states = self.__dict__.pop("schedulers")
        for scheduler, state in zip(self._schedulers, states, strict=True):
            scheduler.load_state_dict(state)


def cosine(share: float) -> float:
    """From 1 at 0 to 0 at 1, along a cosine."""
    return 0.5 * (1 + math.cos(math.pi * share))
