"""What is called during training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..history import Row

if TYPE_CHECKING:
    from ..trainer import Trainer


class Callback:
    """Override what is needed. A step, an epoch or a row is complete when its method is called.

    `trainer.stop(reason)` ends training; what raises ends it too. After a step come `on_step`,
    `on_validation` and `on_epoch_end`, each of all callbacks in the order in which the trainer was
    given them; then the `on_step` of a `Checkpoint`, which saves what the others have made of the
    step, and is the last of them otherwise as well.
    """

    every: int | None = None  # steps from one on_step() to the next; may be set in on_fit_start()
    last = False  # a checkpoint
    only_looks = False  # its on_step() leaves model, rates and random numbers alone, as fastnn's do

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step, with the state of the run that is resumed."""

    def on_step(self, trainer: Trainer) -> None:
        """After every step whose number, `trainer.step`, is a multiple of `every`."""

    def on_validation(self, trainer: Trainer, row: Row) -> None:
        """After a row was added to the history, for an epoch or within one."""

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        """After an epoch and its row."""

    def on_stop(self, trainer: Trainer) -> None:
        """Where training ended without an error, maybe within an epoch; before `on_fit_end`."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """However training ends, by an error as well, once `on_fit_start` was done."""

    def state_dict(self) -> dict[str, Any]:
        """What belongs into a checkpoint: dicts and lists of numbers, texts and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`."""


class _Function(Callback):
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        self.function(trainer, row)


def as_callbacks(given: Sequence[Callback | Callable[..., Any]]) -> list[Callback]:
    """Functions as callbacks, and checkpoints last."""
    callbacks = []
    for callback in given:
        if not isinstance(callback, Callback):
            if isinstance(callback, type) or not callable(callback):
                raise TypeError(f"[Trainer] callbacks must be Callbacks or functions; {callback!r}")
            callback = _Function(callback)
        callbacks.append(callback)
    return sorted(callbacks, key=lambda callback: callback.last)


def due_after(step: int, callbacks: Sequence[Callback]) -> list[Callback]:
    """Those whose `on_step` comes after that step."""
    return [c for c in callbacks if c.every and step % c.every == 0]


def after_step(
    callbacks: Sequence[Callback], due: Sequence[Callback], trainer: Trainer, row: Row | None
) -> None:
    """Calls them back, with the row if one was added, as `Callback` says; `due` are `due_after`."""
    for callback in due:
        if not callback.last:
            callback.on_step(trainer)
    if row is not None:
        for callback in callbacks:
            callback.on_validation(trainer, row)
        if trainer.epochs_done == trainer.epoch:
            for callback in callbacks:
                callback.on_epoch_end(trainer, row)
    for callback in due:
        if callback.last:
            callback.on_step(trainer)


def tell_end(callbacks: Iterable[Callback], trainer: Trainer) -> None:
    """Tells all of the end, though some raise: each error has the one before it as context.

    The first has what ended training. Raised is the last, or Ctrl-C.
    """
    errors: list[BaseException] = []
    for callback in callbacks:
        try:
            callback.on_fit_end(trainer)
        except BaseException as error:
            errors.append(error)
    errors.sort(key=lambda error: not isinstance(error, Exception))
    for earlier, later in itertools.pairwise(errors):
        later.__context__ = earlier
    if errors:
        context = errors[-1].__context__
        try:
            raise errors[-1]
        except BaseException:  # raising it has made what ended training its context again
            errors[-1].__context__ = context
            raise


def named(callbacks: Iterable[Callback]) -> dict[str, Callback]:
    """{class: callback}, a second one of a class with its number."""
    names: dict[str, Callback] = {}
    for callback in callbacks:
        name = type(callback).__name__
        number = sum(type(other).__name__ == name for other in names.values())
        names[f"{name}-{number + 1}" if number else name] = callback
    return names


def states(callbacks: Iterable[Callback]) -> dict[str, Any]:
    """{name: state} of those that have one."""
    return {n: state for n, c in named(callbacks).items() if (state := c.state_dict())}


def load_states(callbacks: Iterable[Callback], states: Mapping[str, Any]) -> None:
    """Goes on from those `states`, where there are."""
    for name, callback in named(callbacks).items():
        if name in states:
            callback.load_state_dict(states[name])


class Best:
    """Watches a column of the history: whether a row is the best of it so far."""

    def __init__(
        self,
        user: str,
        monitor: str,
        min_delta: float = 0.0,
        mode: str | None = None,
        latest: bool = False,
    ) -> None:
        self.user, self.monitor, self.min_delta, self.latest = user, monitor, min_delta, latest
        if mode not in (None, "min", "max"):
            raise ValueError(f"[{user}] mode must be min, max or None; got {mode!r}")
        falls = monitor.endswith(("loss", "error", "mae", "mse"))
        self.mode = mode or ("min" if falls else "max")
        self.value: float | None = None

    def check(self, columns: Sequence[str]) -> None:
        """Raises ValueError where the history will not have what is watched."""
        if self.monitor not in columns:
            raise ValueError(
                f"[{self.user}] the history has no column {self.monitor!r}; "
                f"there are {', '.join(columns)}"
            )

    def improves(self, row: Row) -> bool:
        self.check(list(row))
        value = row[self.monitor]
        sign = 1 if self.mode == "max" else -1
        better = not math.isnan(value) and (
            self.value is None
            or sign * (value - self.value) > self.min_delta
            or (self.latest and value == self.value)
        )
        if better:
            self.value = value
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "mode": self.mode, "value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for what in ("monitor", "mode"):
            if state[what] != getattr(self, what):
                raise ValueError(
                    f"expected {self.user} with {what} {state[what]!r}; got {getattr(self, what)!r}"
                )
        self.value = state["value"]
