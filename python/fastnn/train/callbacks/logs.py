"""Callbacks that show and write down how training goes."""

from __future__ import annotations

import csv
import glob
import json
import math
import os
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..._extras import need
from ...io import check_folder, discard_unfinished, errors_saying, write_atomic
from ...nn._checks import integer
from ..history import Row
from .base import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer


class ProgressBar(Callback):
    """tqdm's bar for each epoch, on a terminal (stderr) or in a notebook, and nothing elsewhere."""

    only_looks = True

    def __init__(self, file: TextIO | None = None) -> None:
        self._tqdm = need("tqdm.auto", "train", "ProgressBar").tqdm
        self._file = file
        self._bar: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        self.every = max(1, trainer.steps_per_epoch // 200)

    def on_step(self, trainer: Trainer) -> None:
        done = round((trainer.epochs_done - trainer.epoch) * trainer.steps_per_epoch)
        if done == 0:  # the epoch's end, which on_epoch_end() is told of
            return
        if self._bar is None:
            self._open(trainer, trainer.epoch + 1)
        self._bar.update(done - self._bar.n)

    def on_validation(self, trainer: Trainer, row: Row) -> None:
        if self._bar is not None:
            shown = {k: f"{row[k]:.4g}" for k in ("loss", "val_loss", "val_accuracy") if k in row}
            self._bar.set_postfix(shown, refresh=False)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        if self._bar is None:  # an epoch of one batch
            self._open(trainer, trainer.epoch)
            self.on_validation(trainer, row)
        self._bar.update(trainer.steps_per_epoch - self._bar.n)
        self._close()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._close()

    def _open(self, trainer: Trainer, epoch: int) -> None:
        self._bar = self._tqdm(
            total=trainer.steps_per_epoch,
            desc=f"epoch {epoch}",
            unit="batch",
            disable=False if "ipykernel" in sys.modules else None,
            file=self._file or sys.stderr,
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class CSVLogger(Callback):
    """The history as a CSV file, a line for each row as it comes.

    A column that only later rows have has no place in the file: the first row names them all.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._columns: list[str] = []
        self._begun = False

    def on_fit_start(self, trainer: Trainer) -> None:
        check_folder("CSVLogger", self.path.parent)
        discard_unfinished(self.path.parent, glob.escape(self.path.name))
        self._begun = False  # the file of another run stays until there is a row
        if trainer.history:
            self._begin(trainer)

    def on_validation(self, trainer: Trainer, row: Row) -> None:
        if not self._begun:
            self._begin(trainer)
            return
        saying = errors_saying(f"cannot write {self.path}")
        with saying, open(self.path, "a", newline="") as file:
            file.write(_line(self._cells(row)))

    def _begin(self, trainer: Trainer) -> None:
        """All rows anew, for what a killed run has written beyond its checkpoint."""
        self._columns = list(trainer.history[0])
        lines = [self._columns, *map(self._cells, trainer.history)]
        write_atomic(self.path, "".join(map(_line, lines)).encode())
        self._begun = True

    def _cells(self, row: Row) -> list[Any]:
        return [row.get(column, "") for column in self._columns]


def _line(cells: list[Any]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


class TensorBoardLogger(Callback):
    """Every column of the history as a curve for TensorBoard; needs tensorboardX."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self._library = need("tensorboardX", "tensorboard", "TensorBoardLogger")
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        self._writer = self._library.SummaryWriter(self.folder, purge_step=trainer.step + 1)

    def on_validation(self, trainer: Trainer, row: Row) -> None:
        with errors_saying(f"cannot write to {self.folder}"):
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, trainer.step)
            self._writer.flush()

    def on_fit_end(self, trainer: Trainer) -> None:
        self._writer.close()


class NormLogger(Callback):
    """The length of each parameter and of its gradient, every `every` steps.

    `rows` are {"step": number, "weights": {name: length}, "gradients": {name: length}}, and with a
    `path` are written there as JSON when training ends. The gradients are those of the batch that
    comes next.
    """

    only_looks = True

    def __init__(self, every: int = 100, path: str | os.PathLike[str] | None = None) -> None:
        self.every = integer("NormLogger", "every", every)
        self.path = None if path is None else Path(path)
        self.rows: list[dict[str, Any]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.is_new:
            self.rows = []
        if self.path is not None:
            check_folder("NormLogger", self.path.parent)
            discard_unfinished(self.path.parent, glob.escape(self.path.name))

    def on_step(self, trainer: Trainer) -> None:
        lengths = {
            "weights": {k: _length(p) for k, p in trainer.model.named_parameters()},
            "gradients": {k: _length(g) for k, g in trainer.gradients().items()},
        }
        self.rows.append({"step": trainer.step, **lengths})

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.path is not None and trainer.step:  # else nothing was trained
            write_atomic(self.path, json.dumps(self.rows, indent=1).encode())

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = list(state["rows"])


def _length(x: Any) -> float:
    return math.sqrt((x.detach() * x.detach()).sum().item())
