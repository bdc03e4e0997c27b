"""Lines over a training: loss and accuracy, lengths of gradients, the learning-rate range test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._extras import need
from ..nn._checks import number, one_of
from ._figure import PathLike, array, colours, done, new

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]

_AXES = {"epoch": "epoch", "step": "step", "seconds": "wall-clock time (s)"}
_STYLES = ("--", "-", ":", "-.")


def curves(
    history: Rows | Mapping[str, Rows],
    path: PathLike | None = None,
    *,
    metrics: Sequence[str] | None = None,
    against: str = "epoch",
    epochs: tuple[float, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Training and validation curves of one run, or of several: ``{label: history, ...}``.

    ``history`` is a `fastnn.train.History` or any list of rows. Each of the ``metrics`` (loss and,
    where recorded, accuracy) gets axes of its own, with a line for its training column and one for
    each validation part (``val_loss``, ``test_loss``, ...). ``against`` is "epoch", "step" or
    "seconds"; ``epochs=(a, b)`` keeps the rows from epoch a to epoch b. ``log_y`` is for all but
    accuracies, which are in percent. A value that is missing or NaN leaves a gap.

    Raises ValueError for an empty history, rows without ``against``, an unknown metric.
    """
    one_of("curves", "against", against, tuple(_AXES))
    runs = history if isinstance(history, Mapping) else {"": history}
    if not runs:
        raise ValueError("[curves] expected at least one run; got none")
    runs = {str(label): _rows(str(label), rows, against, epochs) for label, rows in runs.items()}
    if isinstance(metrics, str):
        raise TypeError(f"[curves] metrics must be a list of names; got {metrics!r}")
    known = {column: None for rows in runs.values() for row in rows for column in row}
    if metrics is None:
        metrics = [m for m in ("loss", "accuracy") if _parts(known, m)]
    for metric in metrics:
        if not _parts(known, metric):
            raise ValueError(f"[curves] no column of {metric!r}; the rows have {', '.join(known)}")
    if not metrics:
        raise ValueError(f"[curves] no metrics; the rows have {', '.join(known)}")
    several = len(runs) > 1
    named = len(runs) * several
    figure = new(0.4 + 4.4 * len(metrics) + 1.4 * several, max(3.6, 0.6 + 0.17 * (named + 2)))
    for axes, metric in zip(
        figure.subplots(1, len(metrics), squeeze=False).flat, metrics, strict=True
    ):
        _draw(axes, runs, metric, against)
        axes.set_xlabel(_AXES[against])
        if log_x:
            axes.set_xscale("log")
        elif against == "epoch":
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if log_y and not metric.endswith("accuracy"):
            axes.set_yscale("log")
    if several:
        _legend(figure, list(runs), list(_parts(known, metrics[0]).values()))
    return done("curves", figure, path)


def _rows(
    label: str, rows: Rows, against: str, epochs: tuple[float, float] | None
) -> list[Mapping[str, Any]]:
    of = f" of {label}" if label else ""
    rows = list(rows)
    if not rows:
        raise ValueError(f"[curves] expected a row for each epoch{of}; got none")
    for i, row in enumerate(rows):
        for column in ("epoch", against):
            if not isinstance(row, Mapping) or not isinstance(row.get(column), int | float):
                raise ValueError(
                    f"[curves] expected a number {column!r} in row {i}{of}; got {row!r:.80}"
                )
    if epochs is None:
        return rows
    first, last = epochs
    shown = [row for row in rows if first <= row["epoch"] <= last]
    if not shown:
        raise ValueError(
            f"[curves] no rows{of} in epochs {epochs}: "
            f"they are of {rows[0]['epoch']:g} to {rows[-1]['epoch']:g}"
        )
    return shown


def _parts(columns: Mapping[str, Any], metric: str) -> dict[str, str]:
    """{column: name of the part of the data}: loss, val_loss, test_loss, ... for the loss."""
    named = {"": "training", "val_": "validation"}
    return {
        c: named.get(c.removesuffix(metric), c.removesuffix(f"_{metric}"))
        for c in columns
        if c == metric or (c.endswith(f"_{metric}") and f"{c.removesuffix(metric)}loss" in columns)
    }


def _draw(axes: Any, runs: Mapping[str, Rows], metric: str, against: str) -> None:
    percent = metric.endswith("accuracy")
    parts = _parts({c: None for rows in runs.values() for row in rows for c in row}, metric)
    several = len(runs) > 1
    shades = colours(len(runs) if several else len(parts))
    drawn = False
    for r, (label, rows) in enumerate(runs.items()):
        for p, (column, part) in enumerate(parts.items()):
            points = [(row[against], row[column]) for row in rows if row.get(column) is not None]
            if not points:
                continue
            x, y = array("curves", against, [x for x, _ in points], (1,)), [y for _, y in points]
            drawn = drawn or any(map(math.isfinite, y))
            axes.plot(
                x,
                np.multiply(y, 100) if percent else y,
                color=shades[r if several else p],
                linestyle=_STYLES[p % 4] if several else "-",
                # A single point has no line to be seen by.
                marker="o" if len(points) < 30 else None,
                markersize=3,
                label=f"{label}, {part}" if several else part,
            )
    if not drawn:
        raise ValueError(f"[curves] expected finite values of {metric!r}; got none")
    axes.set_ylabel(f"{metric} (%)" if percent else metric)
    axes.grid(alpha=0.3)
    if not several:
        axes.legend()


def _legend(figure: Any, runs: Sequence[str], parts: Sequence[str]) -> None:
    """Beside the axes: the colour of each run, then the style of each part of the data."""
    line = need("matplotlib.lines", "plot", "plotting").Line2D
    handles = [
        line([], [], color=colour, label=run)
        for run, colour in zip(runs, colours(len(runs)), strict=True)
    ]
    if len(parts) > 1:
        handles += [
            line([], [], color="grey", linestyle=_STYLES[p % 4], label=part)
            for p, part in enumerate(parts)
        ]
    figure.legend(handles=handles, loc="outside right center", fontsize=8)


def gradient_norms(rows: Rows, path: PathLike | None = None) -> Figure:
    """Lengths of the gradients over the steps, on a logarithmic axis, a line for each parameter.

    ``rows`` are ``{"step": s, "gradients": {name: length}}``, as of
    `fastnn.train.callbacks.NormLogger`, with the names in the order of the layers.
    Raises ValueError for no rows, and for lengths that are negative, NaN or infinite.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("[gradient_norms] expected a row for each step; got none")
    for i, row in enumerate(rows):
        if (
            not isinstance(row, Mapping)
            or not isinstance(row.get("gradients"), Mapping)
            or "step" not in row
        ):
            raise ValueError(
                f"[gradient_norms] expected 'step' and 'gradients' in row {i}; got {row!r:.80}"
            )
    names = list({name: None for row in rows for name in row["gradients"]})
    if not names:
        raise ValueError("[gradient_norms] expected the length of at least one gradient; got none")
    figure = new(7, max(3.8, 0.6 + 0.17 * (len(names) + 1)))
    axes = figure.subplots()
    for name, colour in zip(names, colours(len(names), ordered=True), strict=True):
        points = [(row["step"], row["gradients"][name]) for row in rows if name in row["gradients"]]
        steps, norms = array("gradient_norms", f"gradients of {name}", points, (2,)).T
        if norms.min() < 0:
            raise ValueError(f"[gradient_norms] expected lengths >= 0 of {name}; got {norms.min()}")
        marker = "o" if len(points) < 30 else None
        axes.plot(steps, norms, color=colour, marker=marker, markersize=3, label=name)
    axes.set_yscale("log", nonpositive="clip")  # a gradient of zero falls out of the picture
    axes.set(xlabel="step", ylabel="gradient length", title="Lengths of the gradients")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8, title="first layer on top")
    return done("gradient_norms", figure, path)


def lr_finder(
    rates: Any,
    losses: Any,
    suggestion: float | None = None,
    path: PathLike | None = None,
) -> Figure:
    """The loss against the learning rate of a range test (Smith 2017, arXiv:1506.01186).

    ``rates`` (N) above 0 and ``losses`` (N); the test may end in losses of NaN or inf, which are
    not drawn. ``suggestion`` is marked. The loss axis ends at twice the first loss.
    """
    rates = array("lr_finder", "rates", rates, (1,))
    losses = np.asarray(losses, dtype=np.float64)
    if losses.shape != rates.shape:
        raise ValueError(
            f"[lr_finder] expected a loss for each rate, {rates.shape}; got {losses.shape}"
        )
    if rates.min() <= 0:
        raise ValueError(f"[lr_finder] expected rates above 0; got {rates.min()}")
    if not np.isfinite(losses[0]):
        raise ValueError(f"[lr_finder] expected a finite first loss; got {losses[0]}")
    figure = new(6, 3.8)
    axes = figure.subplots()
    blue, red = colours(2)
    axes.plot(rates, losses, color=blue)
    if suggestion is not None:
        number("lr_finder", "suggestion", suggestion, "(0, inf)")
        axes.axvline(suggestion, color=red, linestyle="--", label=f"suggested: {suggestion:.2g}")
        axes.legend()
    finite = losses[np.isfinite(losses)]
    if finite.max() > 2 * finite[0] > 0:
        axes.set_ylim(finite.min() - 0.1 * (2 * finite[0] - finite.min()), 2 * finite[0])
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Learning-rate range test")
    axes.grid(alpha=0.3)
    return done("lr_finder", figure, path)
