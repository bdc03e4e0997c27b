"""Schedules that rise and fall again, and take the momentum along."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ...nn._checks import integer, number, one_of
from ..optimizer import Group, Optimizer
from .schedules import LRScheduler, cosine


class CosineAnnealingWarmRestarts(LRScheduler):
    """`CosineAnnealingLR` that starts anew after T_0, T_0 T_mult, T_0 T_mult^2 ... steps.

    `step(epoch)` sets the rate of any t, also between whole ones.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0 = integer("CosineAnnealingWarmRestarts", "T_0", T_0)
        self.T_mult = integer("CosineAnnealingWarmRestarts", "T_mult", T_mult)
        self.eta_min = number("CosineAnnealingWarmRestarts", "eta_min", eta_min, "[0, inf)")
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Sets the rates of `epoch` steps, or of the next step."""
        if epoch is None:
            return super().step()
        number("CosineAnnealingWarmRestarts", "epoch", epoch, "[0, inf)")
        self.last_epoch = math.floor(epoch)
        self._set(epoch)

    def _lr(self, base: float, t: float) -> float:
        period: float = self.T_0
        while t >= period:
            if self.T_mult == 1:
                t %= period
                break
            t -= period
            period *= self.T_mult
        return float(self.eta_min + (base - self.eta_min) * cosine(t / period))


class _WithMomentum(LRScheduler):
    """A schedule that may move the momentum as well, or Adam's beta1."""

    cycle_momentum: bool

    def _momentum(self, t: float) -> float:
        raise NotImplementedError

    def _check_momentum(self, optimizer: Optimizer) -> None:
        if self.cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                f"[{self._name}] cycle_momentum must be False for an optimizer without momentum"
            )

    def _set(self, t: float) -> None:
        super()._set(t)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                _set_momentum(group, self._momentum(t))


class CyclicLR(_WithMomentum):
    """From base_lr up to max_lr in step_size_up steps, down again in step_size_down, and so on.

    The height of a cycle is that of the first for mode "triangular", half that of the one before
    for "triangular2", times gamma^t for "exp_range", or times scale_fn(x), x being the cycle's
    number from 1 or with scale_mode "iterations" t. Momentum goes the other way. Smith, 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        lowest = for_groups("CyclicLR", "base_lr", base_lr, optimizer)
        self.max_lrs = for_groups("CyclicLR", "max_lr", max_lr, optimizer)
        self.up = integer("CyclicLR", "step_size_up", step_size_up)
        down = step_size_up if step_size_down is None else step_size_down
        self.down = integer("CyclicLR", "step_size_down", down)
        self.mode = one_of("CyclicLR", "mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = number("CyclicLR", "gamma", gamma, "[0, inf)")
        self._scale_fn = scale_fn
        self.scale_mode = one_of("CyclicLR", "scale_mode", scale_mode, ("cycle", "iterations"))
        self.cycle_momentum = cycle_momentum
        self.base_momentum = number("CyclicLR", "base_momentum", base_momentum, "[0, 1)")
        self.max_momentum = number("CyclicLR", "max_momentum", max_momentum, "[0, 1)")
        self._check_momentum(optimizer)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, lowest, strict=True):
                group.setdefault("initial_lr", lr)  # that of a schedule before it stays
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest
        self._set(self.last_epoch)

    def _height(self, t: float) -> float:
        """From 0, at the foot of a cycle, to 1 at its top, or whatever the top is scaled to."""
        cycle, at = divmod(t, self.up + self.down)
        height = at / self.up if at <= self.up else (self.up + self.down - at) / self.down
        if self._scale_fn is not None:
            return height * self._scale_fn(cycle + 1 if self.scale_mode == "cycle" else t)
        scales = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**t}
        return float(height * scales[self.mode])

    def _rates(self, t: float) -> list[float]:
        height = self._height(t)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height for low, high in pairs]

    def _momentum(self, t: float) -> float:
        return float(self.max_momentum - (self.max_momentum - self.base_momentum) * self._height(t))


class OneCycleLR(_WithMomentum):
    """Up from max_lr / div_factor to max_lr in pct_start of all steps, then down to almost nothing.

    The last rate is max_lr / (div_factor final_div_factor). With `three_phase` it comes back as far
    as it went up before the last descent. `total_steps`, or epochs times steps_per_epoch, says how
    many steps there are; a further one raises ValueError. Momentum goes the other way. Smith and
    Topin, 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "[OneCycleLR] total_steps, or epochs and steps_per_epoch must be given"
                )
            epochs = integer("OneCycleLR", "epochs", epochs)
            total_steps = epochs * integer("OneCycleLR", "steps_per_epoch", steps_per_epoch)
        self.total_steps = integer("OneCycleLR", "total_steps", total_steps)
        self.pct_start = number("OneCycleLR", "pct_start", pct_start, "[0, 1]")
        choices = ("cos", "linear")
        self.anneal_strategy = one_of("OneCycleLR", "anneal_strategy", anneal_strategy, choices)
        self.cycle_momentum = cycle_momentum
        self.base_momentum = number("OneCycleLR", "base_momentum", base_momentum, "[0, 1)")
        self.max_momentum = number("OneCycleLR", "max_momentum", max_momentum, "[0, 1)")
        self.div_factor = number("OneCycleLR", "div_factor", div_factor, "(0, inf)")
        name = "final_div_factor"
        self.final_div_factor = number("OneCycleLR", name, final_div_factor, "(0, inf)")
        self.three_phase = three_phase
        highest = for_groups("OneCycleLR", "max_lr", max_lr, optimizer)
        self._check_momentum(optimizer)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = lr / self.div_factor
        super().__init__(optimizer, last_epoch)

    def step(self) -> None:
        """Sets the rates of the next step; after the last one they stay."""
        if self.last_epoch >= self.total_steps:
            raise ValueError(
                f"[OneCycleLR] the schedule has {self.total_steps} steps; this would be one more"
            )
        super().step()

    def _between(self, t: float, values: tuple[float, float, float, float]) -> float:
        """The first value at the start, the second at the top; the third half way down when there
        are three phases; the last at the end."""
        top = self.pct_start * self.total_steps - 1
        ends = [0.0, top, self.total_steps - 1.0]
        points = [values[0], values[1], values[3]]
        if self.three_phase:
            ends.insert(2, 2 * top)
            points.insert(2, values[2])
        i, t = 0, min(t, ends[-1])
        while i < len(ends) - 2 and t > ends[i + 1]:
            i += 1
        length = ends[i + 1] - ends[i]
        share = (t - ends[i]) / length if length else 1.0
        if self.anneal_strategy == "cos":
            share = 1 - cosine(share)
        return points[i] + (points[i + 1] - points[i]) * share

    def _lr(self, base: float, t: float) -> float:
        return self._between(t, (base, base * self.div_factor, base, base / self.final_div_factor))

    def _momentum(self, t: float) -> float:
        low, high = self.base_momentum, self.max_momentum
        return self._between(t, (high, low, high, high))


def _set_momentum(group: Group, momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, group["betas"][1])
    else:
        group["momentum"] = momentum


def for_groups(
    schedule: str, name: str, value: float | Sequence[float], optimizer: Optimizer
) -> list[float]:
    """A rate for each group, from one or from as many."""
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, Sequence) else [value] * groups
    if len(values) != groups:
        raise ValueError(f"[{schedule}] {name} must be one number or {groups}; got {len(values)}")
    return [float(number(schedule, name, v, "[0, inf)")) for v in values]
