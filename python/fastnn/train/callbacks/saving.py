"""The callback that saves a run while it trains."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io import check_folder, discard_unfinished
from ...nn._checks import integer
from .. import checkpoint
from ..history import Row
from .base import Best, Callback

if TYPE_CHECKING:
    from ..trainer import Trainer


class Checkpoint(Callback):
    """Writes the state of the run to `folder`, for `Trainer.fit(resume=...)`.

    "last.safetensors" is written after each epoch, or every `every` steps, and where training
    stops; "best.safetensors" at each validation that improves on `monitor`, if one is named (lower
    for a name that ends in "loss", "error", "mae" or "mse", higher for others, or as `mode`, "min"
    or "max", says). With `keep` each last one stays beside them, as "step-00001234.safetensors". A
    file is replaced in one step: whatever happens, there is a whole one. Raises OSError, before
    training, for a folder that cannot be written to.
    """

    last = True
    only_looks = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int | None = None,
        monitor: str | None = None,
        mode: str | None = None,
        keep: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.every = None if every is None else integer("Checkpoint", "every", every)
        self.keep = keep
        self._best = None if monitor is None else Best("Checkpoint", monitor, mode=mode)
        self._is_best = False  # the run, at an epoch's end, and not yet written
        self._earlier: float | None = None  # the best value before it
        self._saved: int | None = None  # the step of the last state in the file

    @property
    def path(self) -> Path:
        """The file of the last state."""
        return self.folder / "last.safetensors"

    @property
    def best_path(self) -> Path:
        """The file of the best state."""
        return self.folder / "best.safetensors"

    def on_fit_start(self, trainer: Trainer) -> None:
        if self._best is not None:
            self._best.check(trainer.columns)
            if self._is_best:
                self._best.value, self._is_best = self._earlier, False
            if trainer.is_new:
                self._best.value = None
        self._saved = None
        check_folder("Checkpoint", self.folder)
        discard_unfinished(self.folder, "*.safetensors")

    def on_validation(self, trainer: Trainer, row: Row) -> None:
        if self._best is None:
            return
        earlier = self._best.value
        if self._best.improves(row):
            self._is_best, self._earlier = True, earlier
            # Within an epoch: at its end other callbacks have yet to be told of it.
            if trainer.epochs_done != trainer.epoch:
                self._save(trainer, self.best_path)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        if self._is_best:
            self._save(trainer, self.best_path)
        if self.every is None:
            self._save_last(trainer)

    def on_step(self, trainer: Trainer) -> None:
        self._save_last(trainer)

    def on_stop(self, trainer: Trainer) -> None:
        if trainer.step != self._saved:
            self._save_last(trainer)

    def _save_last(self, trainer: Trainer) -> None:
        self._save(trainer, self.path)
        self._saved = trainer.step
        if self.keep:
            self._save(trainer, self.folder / f"step-{trainer.step:08d}.safetensors")

    def _save(self, trainer: Trainer, path: Path) -> None:
        was_best, self._is_best = self._is_best, False
        try:
            checkpoint.write(path, trainer.state_dict())
        except BaseException:
            self._is_best = was_best
            raise

    def state_dict(self) -> dict[str, Any]:
        if self._best is None:
            return {}
        best = self._best.state_dict()
        return {"best": best | {"value": self._earlier} if self._is_best else best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._is_best = False
        if self._best is not None:
            self._best.load_state_dict(state["best"])
