"""Callbacks that end training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...nn._checks import integer, number
from ..checkpoint import copied
from ..history import Row
from .base import Best, Callback

if TYPE_CHECKING:
    from ..trainer import Trainer


class EarlyStopping(Callback):
    """Ends training after `patience` validations in a row without a better `monitor`.

    Better is lower for a name that ends in "loss", "error", "mae" or "mse" and higher for others,
    or as `mode`, "min" or "max", says, by more than `min_delta`; with `latest` a value equal to the
    best so far counts as better. However training ends, the model then has the best weights, unless
    `restore_best` is False. Where `fit` is called again, patience begins anew. Raises ValueError
    for a column that there isn't.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str | None = None,
        restore_best: bool = True,
        *,
        latest: bool = False,
    ) -> None:
        self.patience = integer("EarlyStopping", "patience", patience)
        number("EarlyStopping", "min_delta", min_delta, "[0, inf)")
        self._best = Best("EarlyStopping", monitor, min_delta, mode, latest)
        self.restore_best = restore_best
        self.waited = 0
        self._weights: dict[str, Any] | None = None

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self._best.value

    def on_fit_start(self, trainer: Trainer) -> None:
        self._best.check(trainer.columns)
        if not trainer.resumed:
            self.waited = 0
        if trainer.is_new:
            self._best.value = self._weights = None
        self._stop_if_over(trainer)

    def on_validation(self, trainer: Trainer, row: Row) -> None:
        if self._best.improves(row):
            self.waited = 0
            if self.restore_best:
                self._weights = copied(trainer.weights())
        else:
            self.waited += 1
        self._stop_if_over(trainer)

    def _stop_if_over(self, trainer: Trainer) -> None:
        if self.waited >= self.patience:
            trainer.stop(f"no better {self._best.monitor} than {self.best} in {self.waited}")

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._weights is not None:
            trainer.set_weights(self._weights)

    def state_dict(self) -> dict[str, Any]:
        best = self._best.state_dict()
        return {"best": best, "waited": self.waited, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best.load_state_dict(state["best"])
        self.waited, self._weights = state["waited"], state["weights"]


class TimeLimit(Callback):
    """Ends training once a call of `fit` has taken so many seconds, looking 100 times an epoch."""

    only_looks = True

    def __init__(self, seconds: float) -> None:
        self.seconds = number("TimeLimit", "seconds", seconds, "(0, inf)")
        self._start = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        self.every = max(1, trainer.steps_per_epoch // 100)
        self._start = trainer.seconds

    def on_step(self, trainer: Trainer) -> None:
        if trainer.seconds - self._start >= self.seconds:
            trainer.stop(f"{self.seconds:g} seconds are over")
