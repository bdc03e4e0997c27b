"""What a training run records."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from typing import Any, overload

Row = dict[str, float]


class History(list[Row]):
    """One row per validation, an epoch's end among them: a list of dicts, and columns by name.

    A row holds ``epoch`` (done, from 1; in halves and the like where validation is more frequent),
    ``step``, ``loss`` and for classifiers ``accuracy`` (means over the batches since the row
    before, each as it was trained on), ``val_loss``, ``val_accuracy`` and other metrics, ``lr``,
    ``seconds`` since training began, and ``images_per_second`` of training alone. Accuracies are
    shares from 0 to 1. ``history["val_loss"]`` is a column, NaN where a row lacks it.
    """

    @overload  # type: ignore[override]
    def __getitem__(self, key: str) -> list[float]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...
    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self.keys():
            raise KeyError(f"[History] no column {key!r}; there are {', '.join(self.keys())}")
        return [row.get(key, math.nan) for row in self]

    def keys(self) -> list[str]:
        """The names of all columns, in the order in which they appeared."""
        return list(dict.fromkeys(key for row in self for key in row))

    @property
    def best(self) -> Row:
        """The row of the highest validation accuracy, of equals the one of the lowest loss.

        Of several validation sets it is the first that counts. Where there is no accuracy the loss
        decides, and that of training where nothing was validated. Raises ValueError for an empty
        history.
        """
        if not self:
            raise ValueError("[History] there is no best row before the first epoch has ended")
        return max(self, key=merit)

    def to_json(self) -> str:
        """The rows as a JSON list; null stands for a number that is not finite."""
        rows = [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in self]
        return json.dumps(rows, indent=1)

    @classmethod
    def from_json(cls, text: str) -> History:
        """What `to_json` wrote, with NaN for null. Raises ValueError for anything else."""
        rows = json.loads(text)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"[History] expected a JSON list of rows; got {text!r:.60}")
        return cls(_numbers(rows))

    def plot(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Any:
        """The curves as a picture: `fastnn.plotting.curves`."""
        from .. import plotting

        return plotting.curves(self, path, **options)


def merit(row: Row) -> tuple[float, float]:
    """What makes a row the best; a number that is not there, or not finite, is the least."""
    accuracy = watched(row, "accuracy")
    seen = -math.inf if accuracy in (None, "accuracy") else row[accuracy]
    loss = row.get(watched(row, "loss") or "loss", math.inf)
    return seen if math.isfinite(seen) else -math.inf, -loss if math.isfinite(loss) else -math.inf


def watched(names: Iterable[str], what: str) -> str | None:
    """The column of "loss" or "accuracy" of the first validation set, or of training."""
    columns = [name for name in names if name.endswith(f"_{what}")]
    return columns[0] if columns else what if what in names else None


def _numbers(rows: Iterable[dict[str, Any]]) -> list[Row]:
    return [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]
