"""The training loop: recorded steps, validation, schedules and callbacks between them."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .. import (
    Tensor,
    enable_grad,
    get_float32_matmul_precision,
    manual_seed,
    nn,
    no_grad,
    optim,
    set_float32_matmul_precision,
)
from ..data import DataLoader
from ..nn._checks import integer, one_of
from . import checkpoint
from .callbacks.base import (
    Callback,
    after_step,
    as_callbacks,
    due_after,
    load_states,
    states,
    tell_end,
)
from .evaluation import Metric, device_of, predict, score
from .feed import Arrays, Feed, Means, as_arrays, as_loader, as_sets, check_data
from .history import History, Row
from .nonfinite import Snapshot
from .schedule import Schedule
from .step import TrainingStep

State = Mapping[str, Any]


class Trainer:
    """Trains a model with steps that are recorded and replayed from C++ (`fastnn.compile`).

    ``loss(outputs, targets)`` is the mean over a batch. Within the recorded step, in this order:
    ``augment`` makes a batch's inputs other ones (``augment(x)``), or inputs and targets
    (``augment(x, y)``); ``penalty(model)`` is added to the loss before its gradient is taken, but
    not reported; gradients are scaled to a norm of at most ``clip_norm``; after the optimizer's
    step ``constraint(model)`` may change the weights. ``average``, an
    `optim.swa_utils.AveragedModel`, follows them, with ``average_every`` "step" within the recorded
    step, or "epoch", at its end, once ``average_from`` epochs are over; then it is what is
    validated.

    ``scheduler`` steps once an epoch, `OneCycleLR` and `CyclicLR` once a batch, unless
    ``scheduler_interval`` is "step" or "epoch"; those that wait for an improvement are given the
    validation loss, or with mode "max" the accuracy. ``metrics`` are ``{name: f(outputs (N, ...),
    targets (N, ...)) -> float}``, of arrays and computed over all of a validation set; accuracy is
    there without asking where targets are class numbers, and leaves out the class
    ``loss.ignore_index``. ``device`` is where the model is moved to and the data brought to, by
    default where the model is. ``precision`` is that of `fastnn.set_float32_matmul_precision`
    during training. ``seed`` starts the random generator anew and decides on the order of the data.

    ``callbacks`` are `callbacks.Callback` objects, or functions f(trainer, row) that are called at
    the end of each epoch. Raises TypeError and ValueError for arguments of other kinds and ranges.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: optim.Optimizer,
        *,
        metrics: Mapping[str, Metric] | None = None,
        scheduler: Any = None,
        callbacks: Sequence[Callback | Callable[..., Any]] = (),
        device: str | None = None,
        precision: str | None = None,
        clip_norm: float | None = None,
        augment: Callable[..., Any] | None = None,
        penalty: Callable[[nn.Module], Tensor] | None = None,
        constraint: Callable[[nn.Module], Any] | None = None,
        average: Any = None,
        average_every: str = "epoch",
        average_from: int = 0,
        scheduler_interval: str | None = None,
        seed: int | None = None,
    ) -> None:
        for name, value, kind in (
            ("model", model, nn.Module),
            ("optimizer", optimizer, optim.Optimizer),
        ):
            if not isinstance(value, kind):
                wanted, got = kind.__name__, type(value).__name__
                raise TypeError(f"[Trainer] {name} must be a {wanted}; got {got}")
        if not isinstance(metrics, (Mapping, type(None))):
            raise TypeError(f"[Trainer] metrics must be {{name: function}}; got {metrics!r}")
        for name, metric in (metrics or {}).items():
            if not callable(metric):
                raise TypeError(f"[Trainer] metrics[{name!r}] must be a function; got {metric!r}")
        if taken := {"loss", "accuracy"} & set(metrics or ()):
            raise ValueError(f"[Trainer] the metric {taken.pop()!r} is there without asking")
        integer("Trainer", "average_from", average_from, 0)
        if seed is not None:
            integer("Trainer", "seed", seed, 0)
        if precision is not None:
            one_of("Trainer", "precision", precision, ("highest", "high", "medium"))
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.device = device_of(model) if device is None else device
        for module in (model, loss, average):
            if isinstance(module, nn.Module):
                module.to(self.device)
        self.metrics = dict(metrics or {})
        self.schedule: Schedule | None = None
        if scheduler is not None:
            self.schedule = Schedule(scheduler, optimizer, scheduler_interval)
        self.callbacks = as_callbacks(callbacks)
        self.precision, self.average, self.average_from = precision, average, average_from
        self._step = TrainingStep(
            *(model, loss, optimizer, self.schedule, clip_norm, augment, penalty, constraint),
            *(average, average_every),
        )
        self.seed = seed
        self.history = History()
        self.columns: list[str] = []  # that the history can have
        self.epoch = 0  # complete ones
        self.step = 0  # in all
        self._seconds = 0.0  # of fit(), in all
        self._begun: float | None = None
        self._feed: Feed | None = None
        self._at = 0  # batches done of this epoch
        self._fit_from = 0  # the epoch in which fit() began
        self._since = Means()
        self._stop_reason: str | None = None
        self._whole = True  # nothing was cut off
        self._over = False  # training has ended, and what follows is not the run's
        self._run_weights: State | None = None  # those of its end, where others have come after it
        self.resumed = False  # the latest fit() went on from a checkpoint

    # --- training -------------------------------------------------------------------------------

    def fit(
        self,
        train: DataLoader | Sequence[ArrayLike],
        validation: Any = None,
        epochs: int = 1,
        *,
        batch_size: int = 32,
        validate_every: int | None = None,
        max_steps: int | None = None,
        resume: str | os.PathLike[str] | State | None = None,
        check_classes: bool = True,
    ) -> History:
        """Trains for ``epochs`` epochs more and returns the history, of all calls.

        ``train`` is a `DataLoader`, or arrays (x, y) that are shuffled into batches of
        ``batch_size``. ``validation`` is (x, y), or a loader, all of whose dataset is then read at
        once, named "val" in the history; or {name: (x, y)}. It is looked at after each epoch, and
        after every ``validate_every`` steps, unless what is validated is an average that only ends
        of epochs change; of several sets the first is what schedules and `History.best` look at.
        ``max_steps`` ends training after so many steps in all, as `stop` does: an epoch that is cut
        short has no row in the history.

        ``resume`` is a file of `callbacks.Checkpoint` or a `state_dict()`: the call that it was
        made in goes on, of a trainer made alike, with the same arguments, to the weights it would
        have come to without a stop, bit for bit (but where one kernel trains whole epochs on a GPU,
        see `CompiledStep.run_epoch`).

        Arrays are checked before any work. Raises TypeError and ValueError for what cannot be
        trained on: lengths that differ, NaN, labels that the model has no output for, a class that
        a part lacks (unless ``check_classes=False``), a schedule longer than training, a checkpoint
        of another model, optimizer or version. Raises `NonFiniteLossError`, a ValueError, where the
        loss is no longer finite: it names epoch, batch and layer, and the model is as it was before
        that batch (of data that are drawn anew at every reading, before an earlier one). However
        training ends, Ctrl-C included, `on_fit_end` of the callbacks is called.
        """
        integer("fit", "epochs", epochs)
        for name, value in (("validate_every", validate_every), ("max_steps", max_steps)):
            if value is not None:
                integer("fit", name, value)
        sets = as_sets(validation)
        if self.seed is not None and self.step == 0 and resume is None:
            manual_seed(self.seed)
        feed, before = self.make_feed(train, batch_size), self._feed
        uncounted = self.check(feed, sets, check_classes)
        measures = ("loss", "accuracy", *self.metrics)
        columns = ["loss", "accuracy", "lr", *(f"{s}_{m}" for s in sets for m in measures)]
        absent = {"accuracy" if s == "train" else f"{s}_accuracy" for s in uncounted}
        columns = [name for name in columns if name not in absent]
        if self.schedule is not None:
            self.schedule.check_columns(columns)
        self._feed = feed
        try:
            if resume is None:
                self._check_length(epochs, 0, self.step, max_steps)
            else:
                self._resume(resume, epochs, max_steps)
        except BaseException:
            self._feed = before
            raise
        self.resumed, self.columns, self._stop_reason = resume is not None, columns, None
        if self.resumed:
            self._stop_if_finished()

        snapshot: Snapshot | None = None
        with self._modes(), self._clock(), self._called_back():
            if not self.resumed:
                self._fit_from, self._at, self._since = self.epoch, 0, Means()
            last = self._fit_from + epochs
            self._whole, self._over, self._run_weights = True, False, None
            while self.epoch < last and not self._stops(max_steps):
                if self._at == 0 or snapshot is None:
                    snapshot = Snapshot(self)
                if self._at == 0:
                    self._begin_epoch()
                self._run(self._steps_to_stop(validate_every, max_steps), snapshot)
                due = due_after(self.step, self.callbacks)
                row, mark = None, self._mark(due)
                if self._at == len(feed):
                    row = self._end_epoch(sets)
                elif validate_every is not None and self.step % validate_every == 0:
                    row = self._validate(sets)
                after_step(self.callbacks, due, self, row)
                if row is not None or mark != self._mark(due):
                    snapshot = None  # from the one before it, steps would go another way
            for callback in self.callbacks:
                callback.on_stop(self)
        return self.history

    def stop(self, reason: str) -> None:
        """Ends training once the step under way, and what comes after it, is done."""
        self._stop_reason = reason

    @property
    def stop_reason(self) -> str | None:
        """Why the latest `fit` ended before its last epoch, or None."""
        return self._stop_reason

    @property
    def is_new(self) -> bool:
        """Whether nothing was trained yet, of a run that is resumed either."""
        return self.step == 0 and not self.resumed

    @property
    def seconds(self) -> float:
        """The time that all calls of `fit` have taken, validation included."""
        running = 0.0 if self._begun is None else time.perf_counter() - self._begun
        return self._seconds + running

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch of the data that are trained on."""
        if self._feed is None:
            raise RuntimeError("[Trainer] steps_per_epoch is known once fit() was called")
        return len(self._feed)

    @property
    def epochs_done(self) -> float:
        """Epochs trained on, with the part that is done of the one under way."""
        return self.epoch + (self._at / self.steps_per_epoch if self._at else 0.0)

    def _stops(self, max_steps: int | None) -> bool:
        if max_steps is not None and self.step >= max_steps:
            self.stop(f"max_steps {max_steps} reached")
        return self._stop_reason is not None

    def make_feed(self, train: DataLoader | Sequence[ArrayLike], batch_size: int) -> Feed:
        """The batches of a loader, or of arrays (x, y) in the order of this trainer's seed."""
        loader = as_loader(train, batch_size, self.seed, self.epoch)
        return Feed(loader, self.device, getattr(self.loss, "ignore_index", None))

    def check(self, feed: Feed, sets: Mapping[str, Arrays], check_classes: bool) -> list[str]:
        """Raises ValueError for arrays that the model cannot be trained or validated on.

        Returns the parts that have no accuracy.
        """

        with self._step.aside(training=False), no_grad():
            return check_data(feed, sets, self._step, check_classes)

    def _check_length(self, epochs: int, at: int, step: int, max_steps: int | None) -> None:
        """Raises ValueError where the schedule does not fit these epochs, less `at` batches."""
        if self.schedule is not None:
            steps = epochs * self.steps_per_epoch - at
            done = steps if max_steps is None else min(steps, max_steps - step)
            self.schedule.check_length(steps, epochs - (at > 0), done)

    def _steps_to_stop(self, validate_every: int | None, max_steps: int | None) -> int:
        """Steps to the end of the epoch, or to where something else is to happen first."""
        periods = [callback.every for callback in self.callbacks if callback.every]
        periods += [validate_every] if validate_every is not None else []
        steps = [period - self.step % period for period in periods]
        steps += [max_steps - self.step] if max_steps is not None else []
        return min([self.steps_per_epoch - self._at, *steps])

    def _mark(self, due: Sequence[Callback]) -> tuple[Any, ...] | None:
        """Shows whether the callbacks after a step have changed what the next one depends on."""
        return None if all(c.only_looks for c in due) else self._step.fingerprint()

    def _run(self, steps: int, snapshot: Snapshot) -> None:
        self.model.train()
        self._whole = False
        loss = self._advance(steps)
        error = None if math.isfinite(loss) else snapshot.explain(loss)
        self._whole = True
        if error is not None:
            raise error

    def _advance(self, steps: int) -> float:
        """Trains on the next batches of the epoch, or until a loss is not finite; the mean loss."""
        assert self._feed is not None
        before = None
        if self.schedule is not None and self.schedule.by_step:
            schedule = self.schedule

            def before(number: int) -> None:
                schedule.before(by_step=True)

        start = time.perf_counter()
        result, labelled = self._feed.run(self._step.recorded, self._at, steps, before)
        seconds = time.perf_counter() - start
        if self._step.averages and self._step.average_every == "step":
            self._step.averaged = True
        if math.isfinite(result.loss):
            examples = self._feed.examples(self._at, result.steps)
            self._since.add(result, examples, labelled, seconds)
        self._at += result.steps
        self.step += result.steps
        return result.loss

    def _begin_epoch(self) -> None:
        if self.schedule is not None:
            self.schedule.before(by_step=False)
        if self.epoch >= self.average_from:
            self._step.begin_averaging()

    def _end_epoch(self, sets: Mapping[str, Arrays]) -> Row:
        assert self._feed is not None
        self._whole = False
        self._feed.loader.epoch += 1
        self.epoch += 1
        self._at = 0
        if self._step.averages and self._step.average_every == "epoch":
            self.average.update_parameters(self.model)
            self._step.averaged = True
        row = self._add_row(sets)
        if self.schedule is not None:
            self.schedule.end_epoch(row)
        self._stop_if_finished()
        self._whole = True
        return row

    def _stop_if_finished(self) -> None:
        if self.schedule is not None and self.schedule.finished:
            self.stop(f"the schedule {self.schedule} has finished")

    def _validate(self, sets: Mapping[str, Arrays]) -> Row | None:
        """Within an epoch."""
        if sets and self._step.averaged and self._step.average_every == "epoch":
            return None
        self._whole = False
        row = self._add_row(sets)
        self._whole = True
        return row

    def _add_row(self, sets: Mapping[str, Arrays]) -> Row:
        """What the history has of this moment."""
        row: Row = {"epoch": self.epochs_done, "step": self.step, **self._since.row()}
        images_per_second = row.pop("images_per_second")
        for name, part in sets.items():
            row |= {f"{name}_{key}": value for key, value in self.evaluate(part).items()}
        row |= {
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "seconds": self.seconds,
            "images_per_second": images_per_second,
        }
        self._since = Means()
        self.history.append(row)
        return row

    # --- using what was trained -----------------------------------------------------------------

    @property
    def trained(self) -> nn.Module:
        """The model, or its average where there is one."""
        module: nn.Module = self.average.module if self._step.averaged else self.model
        return module

    def weights(self) -> dict[str, Any]:
        """What `trained` is made of; the tensors are those of the run, which goes on."""
        average = None if self.average is None else self.average.state_dict()
        averaged = self._step.averaged
        return {**self._step.modules_state(), "average": average, "averaged": averaged}

    def set_weights(self, weights: State) -> None:
        """Goes back to a copy of `weights()`.

        After `fit` they are for use: `state_dict()` stays that of the run's end.
        """
        if self._over and self._run_weights is None:
            self._run_weights = checkpoint.copied(self.weights())
        self._step.load_modules(weights)
        if self.average is not None:
            self.average.load_state_dict(weights["average"])
        self._step.averaged = weights["averaged"]

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        """The outputs (N, ...) of the trained model for inputs (N, ...), in evaluation mode."""
        return predict(self.trained, x, self.device)

    def evaluate(self, part: Sequence[ArrayLike]) -> dict[str, float]:
        """{"loss": ..., "accuracy": ..., metrics} of the trained model for arrays (x, y)."""
        x, y = as_arrays("evaluate", "data", part)
        return score(self.predict(x), y, self.loss, self.metrics, self.device)

    def gradients(self) -> dict[str, Tensor]:
        """{name: gradient} of the batch that training would take next; nothing else changes."""
        if self._feed is None:
            raise RuntimeError("[Trainer] there are no gradients before fit()")
        with self._modes():
            return self._step.gradients(*self._feed.batch(self._at % len(self._feed)))

    # --- its state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that `fit(resume=...)` needs; tensors are those of the run, which goes on.

        Raises RuntimeError before `fit`, and after one that was cut off between steps.
        """
        if self._feed is None:
            raise RuntimeError("[Trainer] there is no state before fit()")
        if not self._whole:
            raise RuntimeError("[Trainer] training was cut off: resume from a checkpoint before")
        state = self._step.state_dict()
        if self._run_weights is not None:
            weights = dict(self._run_weights)
            averaged = weights.pop("averaged")
            state |= {**weights, "averages": [self._step.averages, averaged]}
        return {
            **state,
            "kinds": self._step.kinds(),
            "data": self._feed.state_dict(),
            "epoch": self.epoch,
            "at": self._at,
            "step": self.step,
            "fit_from": self._fit_from,
            "seconds": self.seconds,
            "since": self._since.state_dict(),
            "history": list(self.history),
            "callbacks": states(self.callbacks),
        }

    def _resume(
        self, resume: str | os.PathLike[str] | State, epochs: int, max_steps: int | None
    ) -> None:
        """Goes on from a checkpoint. A call that raises has changed nothing."""
        assert self._feed is not None
        given = isinstance(resume, Mapping)
        state = resume if isinstance(resume, Mapping) else checkpoint.read(resume)
        before = checkpoint.copied((self._step.state_dict(), states(self.callbacks)))
        try:
            checkpoint.check_kinds(state["kinds"], self._step.kinds())
            self._feed.check(state["data"])
            self._step.load_state_dict(state)
            load_states(self.callbacks, state["callbacks"])
            left = state["fit_from"] + epochs - state["epoch"]
            self._check_length(left, state["at"], state["step"], max_steps)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._step.load_state_dict(before[0])
            load_states(self.callbacks, before[1])
            where = "the state" if given else resume
            reason = f"lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(
                f"[fit] cannot resume from {where}, of another model or run: {reason}"
            ) from error
        self._feed.load_state_dict(state["data"])
        self.epoch, self._at, self.step = state["epoch"], state["at"], state["step"]
        self._fit_from, self._seconds = state["fit_from"], state["seconds"]
        self._since = Means(**state["since"])
        self.history[:] = [dict(row) for row in state["history"]]
        self._whole = True

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[Callable[[Tensor, Tensor], float]]:
        """`TrainingStep.unchanged`, with this trainer's precision."""
        with self._modes(), self._step.unchanged() as step:
            yield step

    # --- around training ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _called_back(self) -> Iterator[None]:
        begun = []
        try:
            for callback in self.callbacks:
                callback.on_fit_start(self)
                begun.append(callback)
            yield
        finally:
            self._over = True
            tell_end(begun, self)

    @contextlib.contextmanager
    def _clock(self) -> Iterator[None]:
        self._begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds, self._begun = self.seconds, None

    @contextlib.contextmanager
    def _modes(self) -> Iterator[None]:
        """This trainer's precision; gradients, which Ctrl-C in a no_grad() may have left off."""
        before = get_float32_matmul_precision()
        if self.precision is not None:
            set_float32_matmul_precision(self.precision)
        try:
            with enable_grad():
                yield
        finally:
            set_float32_matmul_precision(before)
