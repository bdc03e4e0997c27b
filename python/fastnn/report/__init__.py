"""A run as one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from .. import __version__, io, nn, plotting
from ..metrics import confusion_matrix, proportion_interval
from ..train import checkpoint
from ..train.evaluation import score
from ..train.history import merit, watched
from ..train.job import Run
from . import _html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]
Row = dict[str, Any]


def report(
    run: PathLike,
    out: PathLike | None = None,
    *,
    data_dir: PathLike | None = None,
    device: str = "cpu",
) -> tuple[Path, list[str]]:
    """Write one HTML page about the folder ``run``; returns its path and what had to be left out.

    The folder holds history.json, as ``fastnn train`` writes it or the rows of a `History` alone,
    or last.safetensors of a `Checkpoint`, and may hold a model (`fastnn.save`) and norms.json of a
    `NormLogger`. The page (``run/report.html``, or ``out``) has options, results, curves, lengths
    of gradients, the epochs and, from the model, layers, weights and filters. Mistakes and the
    confusion matrix are of the data set's test part, read from ``data_dir`` or where it was in
    training; what cannot be had is left out, and the page says so and why. Nothing is fetched, by
    this function or by the page.

    Raises FileNotFoundError where there is no folder or no history, ValueError that names the file
    where one is corrupt, or ``out`` where it is no file in a folder that exists, ImportError
    without matplotlib or safetensors.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise FileNotFoundError(f"[report] no folder {folder}: expected one that train has written")
    target = folder / "report.html" if out is None else Path(out)
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(f"[report] out must be a file in a folder that exists; got {target}")
    whole = (folder / "history.json").is_file() and (folder / "model.json").is_file()
    saved = folder / "last.safetensors"
    state = checkpoint.read(saved) if saved.is_file() and not whole else None
    page = _Page(_read(folder / "history.json", state))
    page.curves()
    if (folder / "norms.json").is_file():
        page.gradients(folder / "norms.json")
    if (folder / "model.json").is_file():
        _add_model(page, folder, data_dir, device)
    elif state is not None:
        page.missing.append(f"layers, mistakes: there is no model.json in {folder}")
        _add_weights(page, checkpoint.weights(state), None)
    else:
        page.missing.append(f"layers, weights, mistakes: there is no model.json in {folder}")
    page.epochs()
    page.options()
    io.write_atomic(target, page.html(folder.resolve().name).encode())
    return target, page.missing


class _Record(NamedTuple):
    """What is known of the course of the run."""

    rows: list[Row]
    best: int  # the row whose weights were kept
    options: dict[str, Any]
    test: dict[str, Any]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[report] {path} is corrupt or truncated: {error}") from None


def _read(path: Path, state: dict[str, Any] | None) -> _Record:
    if path.is_file():
        content = _json(path)
    elif state is None:
        raise FileNotFoundError(
            f"[report] no history.json or last.safetensors in {path.parent}: "
            "it is not the folder of a run"
        )
    elif not (content := state["history"]):
        raise ValueError(f"[report] {path.with_name('last.safetensors')} has no validation yet")
    content = {"epochs": content} if isinstance(content, list) else content
    rows = content.get("epochs") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"[report] {path} has no 'epochs', a list of rows")
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or not _is_number(row.get("epoch")):
            raise ValueError(f"[report] {path}: row {i} has no number 'epoch': {row!r:.80}")
    parts = {name: content.get(name) or {} for name in ("options", "test")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ValueError(f"[report] {path}: {name!r} is no object: {part!r:.80}")
    return _Record(rows, _best(rows, content.get("best_epoch"), path), **parts)


def _best(rows: list[Row], epoch: Any, path: Path) -> int:
    """The row of that epoch or, where none is named, of the best validation, or else the last."""
    if epoch is not None:
        for i, row in enumerate(rows):
            if row["epoch"] == epoch:
                return i
        raise ValueError(f"[report] {path}: there is no row of 'best_epoch' {epoch!r:.80}")

    merits = [merit({k: v for k, v in row.items() if _is_number(v)}) for row in rows]
    best = max(merits)
    return merits.index(best) if max(best) > -math.inf else len(rows) - 1


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class _Page:
    """The sections of a page as they come about, and what is missing."""

    def __init__(self, record: _Record) -> None:
        self.record = record
        self.sections: list[str] = []
        self.missing: list[str] = []
        self.key: list[tuple[str, str]] = []
        best = record.rows[record.best]
        self.results(record.test, "test")
        columns = {name: watched(best, name) for name in ("accuracy", "loss")}
        self.results({name: best[c] for name, c in columns.items() if c not in (None, name)})
        self.key.append(("Best epoch", f"{best['epoch']:g} of {record.rows[-1]['epoch']:g}"))

    def results(self, scores: Row, part: str = "validation") -> None:
        """Accuracy and loss of a part of the data among the key figures."""
        for name in ("accuracy", "loss"):
            if _is_number(scores.get(name)):
                text, examples = _cell(name, scores[name]), scores.get("examples")
                if name == "accuracy" and isinstance(examples, int) and examples > 0:
                    share = min(max(scores[name], 0.0), 1.0)
                    interval = proportion_interval(round(share * examples), examples)
                    text += f" ({' to '.join(_cell(name, end) for end in interval)})"
                self.key.append((f"{part} {name}".capitalize(), text))

    def drawn(self, what: str, draw: Callable[[], Figure], alt: str, chart: bool) -> str:
        """A figure's HTML; where it cannot be drawn nothing, and a note of why."""
        try:
            figure = draw()
        except (TypeError, ValueError) as error:
            self.missing.append(f"{what}: {error}")
            return ""
        return _html.chart(figure, alt) if chart else _html.picture(figure, alt)

    def curves(self) -> None:
        rows = self.record.rows
        columns = {column for row in rows for column in row}
        charts = []
        for name in ("loss", "accuracy"):
            if not {name, f"val_{name}"} & columns:
                continue
            said = [
                f"{text} ends at {_cell(name, rows[-1][column])}"
                for column, text in ((name, "training"), (f"val_{name}", "validation"))
                if _is_number(rows[-1].get(column))
            ]
            alt = f"{name.capitalize()} against the epoch: {', '.join(said)}"
            draw = lambda name=name: plotting.curves(rows, metrics=[name])  # noqa: E731
            charts.append(self.drawn(f"curve of {name}", draw, alt, chart=True))
        if any(charts):
            self.sections.append(_section_of_charts("Curves", charts))

    def gradients(self, path: Path) -> None:
        """The lengths that a `NormLogger` has written down."""
        rows = _json(path)
        if not rows:
            self.missing.append(f"gradients: there are none in {path}")
            return
        draw = lambda: plotting.gradient_norms(rows)  # noqa: E731
        alt = "Length of the gradient of each parameter against the step"
        if chart := self.drawn("gradients", draw, alt, chart=True):
            self.sections.append(_section_of_charts("Gradients", [chart]))

    def epochs(self) -> None:
        rows = self.record.rows
        columns = list({column: None for row in rows for column in row})
        body = [[_cell(c, row.get(c)) for c in columns] for row in rows]
        content = _html.table(
            "Epochs", list(map(_words, columns)), body, [True] * len(columns), self.record.best
        )
        self.sections.append(_html.section("Epochs", content, note="The best epoch is marked."))

    def options(self) -> None:
        if options := self.record.options:
            body = [[key, _option(value)] for key, value in options.items()]
            content = _html.table("Options", ["Option", "Value"], body, [False, False])
            self.sections.append(_html.section("Options", f'<div class="options">{content}</div>'))

    def html(self, title: str) -> str:
        options = self.record.options
        named = [str(options[key]) for key in ("model", "data") if options.get(key)]
        subtitle = " on ".join(named) or "A training run"
        footer = f"Made by fastnn {__version__}."
        return _html.page(title, subtitle, self.key, self.missing, self.sections, footer)


def _section_of_charts(heading: str, charts: list[str]) -> str:
    return _html.section(heading, '<div class="charts">', *charts, "</div>")


def _add_model(page: _Page, folder: Path, data_dir: PathLike | None, device: str) -> None:
    meta = io.load_meta(folder)
    shape = meta.get("input_shape")
    if "data" in meta:
        run = Run(folder)
        model = run.model
        _add_test(page, run, data_dir, device)
    else:
        model = io.load(folder)
        page.missing.append("mistakes, confusion matrix: model.json names no data set")
    _add_layers(page, model, shape)
    _add_weights(page, dict(model.named_parameters()), shape)


def _add_test(page: _Page, run: Run, data_dir: PathLike | None, device: str) -> None:
    try:
        _, (x, y) = run.load_data(str(data_dir or run.data_dir), False)
    except (OSError, ImportError, ValueError) as error:
        page.missing.append(
            f"mistakes, confusion matrix: the data set {run.data} cannot be read ({error})"
        )
        return
    logits = run.logits(x, device)
    predicted = logits.argmax(1)
    if not page.record.test:  # an interrupted run has not come to it
        page.results({**score(logits, y), "examples": len(y)}, "test")
    wrong = int((predicted != y).sum())
    if wrong:
        content = page.drawn(
            "mistakes",
            lambda: plotting.mistakes(x, y, logits, run.classes),
            f"Test examples that the model gets wrong, {wrong} in all, the most certain first",
            chart=False,
        )
    else:
        content = "<p>None: every test example is right.</p>"
    page.sections.append(_html.section("Mistakes", content))
    content = page.drawn(
        "confusion matrix",
        lambda: plotting.confusion_matrix(confusion_matrix(logits, y), run.classes),
        f"Confusion matrix: {len(y) - wrong} of {len(y)} test examples are on its diagonal",
        chart=False,
    )
    page.sections.append(_html.section("Confusion matrix", content))


def _add_layers(page: _Page, model: nn.Module, shape: Any) -> None:
    if shape is None:
        page.missing.append("layers: model.json has no input_shape")
        return
    try:
        summary = model.summary(tuple(shape))
    except (TypeError, ValueError) as error:
        page.missing.append(f"layers: model.json's input_shape is {shape!r:.80} ({error})")
        return
    page.key.append(("Parameters", f"{summary.total_params:,}"))
    body = [
        [
            row.name,
            row.type,
            "–" if row.output_shape is None else "×".join(map(str, row.output_shape)),
            f"{row.params:,}",
            f"{row.flops:,}",
        ]
        for row in summary.rows
    ]
    body.append(["Total", "", "", f"{summary.total_params:,}", f"{summary.total_flops:,}"])
    head = ["Layer", "Type", "Output shape", "Parameters", "FLOPs"]
    content = _html.table("Layers", head, body, [False, False, False, True, True])
    note = "FLOPs: one example forward, two for each multiply-add of linear and convolution layers."
    page.sections.append(_html.section("Layers", content, note=note))


def _add_weights(page: _Page, parameters: Mapping[str, Any], shape: Any) -> None:
    weights = {key: p for key, p in parameters.items() if len(p.shape) > 1}
    if not weights:
        page.missing.append("weights, filters: no parameter has two or more axes")
        return
    key, first = next(iter(weights.items()))
    linear, content = len(first.shape) == 2, ""
    if linear and shape is None:
        page.missing.append(f"filters: no input_shape is known, for pictures of the linear {key}")
    else:
        content = page.drawn(
            "filters",
            lambda: plotting.filters(first, shape=shape if linear else None),
            f"Weights of the first layer, {key}, as pictures",
            chart=False,
        )
    if content:
        page.sections.append(_html.section("Filters of the first layer", content))
    charts = [
        page.drawn(
            f"weights of {key}",
            lambda key=key: plotting.weight_histograms({key: weights[key]}),  # type: ignore[misc]
            f"Histogram of the weights {key}",
            chart=True,
        )
        for key in weights
    ]
    if any(charts):
        page.sections.append(_section_of_charts("Weights", charts))


def _words(column: str) -> str:
    """A column's name for people: "validation loss" for val_loss."""
    if column in ("loss", "accuracy"):
        return f"training {column}"
    if column == "lr":
        return "learning rate"
    name = f"validation {column[4:]}" if column.startswith("val_") else column
    return name.replace("_", " ")


def _cell(column: str, value: Any) -> str:
    """A value of the history: shares in percent, four digits of what is no whole number."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if not _is_number(value):
        return str(value)
    if column.endswith("accuracy"):
        return f"{value:.2%}"
    if value == int(value) or column == "images_per_second":
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _option(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)
