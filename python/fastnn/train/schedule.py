"""When a schedule of the learning rate steps during training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..nn._checks import one_of
from ..optim import Optimizer, lr_scheduler
from .history import watched


class Schedule:
    """A scheduler by steps, by epochs, or by what a row of the history says."""

    def __init__(self, scheduler: Any, optimizer: Optimizer, interval: str | None) -> None:
        if not isinstance(scheduler, (lr_scheduler.LRScheduler, lr_scheduler.ReduceLROnPlateau)):
            kind = type(scheduler).__name__
            raise TypeError(f"[Trainer] scheduler must be one of optim.lr_scheduler; got {kind}")
        if scheduler.optimizer is not optimizer:
            raise ValueError("[Trainer] scheduler must be of the trainer's optimizer")
        by_batches = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
        if interval is None:
            interval = "step" if isinstance(scheduler, by_batches) else "epoch"
        one_of("Trainer", "scheduler_interval", interval, ("step", "epoch"))
        self.waits = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
        if self.waits and interval == "step":
            raise ValueError(f"[Trainer] {type(scheduler).__name__} steps by epochs, not by steps")
        self.scheduler: Any = scheduler
        self.by_step = interval == "step"
        self._used = False  # whether something was trained at the rate that is set

    def before(self, by_step: bool) -> None:
        """Sets the rate of a training step, or of an epoch."""
        if self.waits or by_step != self.by_step:
            return
        if self._used:
            self.scheduler.step()
        self._used = True

    def end_epoch(self, row: Mapping[str, float]) -> None:
        """Tells how the epoch went."""
        if column := self.check_columns(row):
            self.scheduler.step(row[column])

    def check_columns(self, names: Iterable[str]) -> str | None:
        """The column of the history that the schedule looks at, if it does.

        Raises ValueError where there is none.
        """
        if not self.waits:
            return None
        column = watched(names, "loss" if self.scheduler.mode == "min" else "accuracy")
        if column is None:
            raise ValueError(f"[fit] {self} with mode 'max' needs an accuracy to look at")
        return column

    @property
    def finished(self) -> bool:
        """Whether training is to end."""
        return bool(getattr(self.scheduler, "finished", False))

    def check_length(self, steps: int, epochs: int, done: int) -> None:
        """Raises ValueError where the schedule is longer than what is left of training, or one
        cycle is shorter; of the steps left, `done` are taken before `max_steps` ends training.
        """
        length = _length(self.scheduler)
        if length is None or self.waits:
            return
        begin = self.scheduler.last_epoch + self._used
        end = begin + (steps if self.by_step else epochs)
        unit = "steps" if self.by_step else "epochs"
        if length > end:
            raise ValueError(
                f"[fit] the schedule {self} is longer than training: {length} {unit} of {end}"
            )
        end = begin + (done if self.by_step else epochs)
        if isinstance(self.scheduler, lr_scheduler.OneCycleLR) and length < end:
            raise ValueError(
                f"[fit] the schedule {self} is shorter than training: {length} {unit} of {end}"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": self.scheduler.state_dict(), "used": self._used}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scheduler.load_state_dict(state["scheduler"])
        self._used = state["used"]

    def __str__(self) -> str:
        return type(self.scheduler).__name__


def _length(scheduler: Any) -> int | None:
    """The steps after which nothing more is planned, or a cycle is over, of those that have one."""
    if isinstance(scheduler, lr_scheduler.SequentialLR):
        return int(scheduler.milestones[-1]) + (_length(scheduler._schedulers[-1]) or 0)
    if isinstance(scheduler, lr_scheduler.MultiStepLR):
        return max(scheduler.milestones, default=-1) + 1
    if isinstance(scheduler, lr_scheduler.CyclicLR):
        return scheduler.up + scheduler.down
    for name in ("total_steps", "T_max", "T_0", "total_iters", "anneal_epochs"):
        if hasattr(scheduler, name):
            return int(getattr(scheduler, name))
    return None
