"""The training loop: recorded steps, validation, schedules and callbacks between them."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .. import (
    Tensor,
    get_float32_matmul_precision,
    get_rng_state,
    manual_seed,
    nn,
    no_grad,
    optim,
    set_float32_matmul_precision,
    set_rng_state,
)
from ..compile import EpochResult, compile
from ..data import DataLoader
from ..nn._checks import integer, one_of
from . import checkpoint
from .callbacks import Callback, as_callbacks, named
from .evaluation import Metric, are_classes, device_of, predict, score
from .feed import Arrays, Feed, Means, as_arrays, as_loader, as_sets, check_finite, check_labels
from .history import History, Row
from .nonfinite import NonFiniteLossError, culprit, kept_buffers
from .schedule import Schedule

State = Mapping[str, Any]


class Trainer:
    """Trains a model with steps that are recorded and replayed from C++ (`fastnn.compile`).

    ``loss(outputs, targets)`` is the mean over a batch. Within the recorded step, in this order:
    ``augment`` makes a batch's inputs other ones (``augment(x)``), or inputs and targets
    (``augment(x, y)``); ``penalty(model)`` is added to the loss before its gradient is taken, but
    not reported; gradients are scaled to a norm of at most ``clip_norm``; after the optimizer's
    step ``constraint(model)`` may change the weights. ``average``, an
    `optim.swa_utils.AveragedModel`, follows them, with ``average_every`` "step" within the recorded
    step, or "epoch", from the end of epoch ``average_from`` on; then it is what is validated.

    ``scheduler`` steps once an epoch, `OneCycleLR` and `CyclicLR` once a batch, unless
    ``scheduler_interval`` is "step" or "epoch"; those that wait for an improvement are given the
    validation loss, or with mode "max" the accuracy. ``metrics`` are
    ``{name: f(outputs (N, ...), targets (N, ...)) -> float}``, of arrays and computed over all of a
    validation set; accuracy is there without asking where targets are class numbers. ``device`` is
    where the model is moved to and the data brought to, by default where the model is.
    ``precision`` is that of `fastnn.set_float32_matmul_precision` during training. ``seed`` starts
    the random generator anew and decides on the order of the data.

    ``callbacks`` are `callbacks.Callback` objects, or functions f(trainer, row) that are called at
    the end of each epoch.
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
        if precision is not None:
            one_of("Trainer", "precision", precision, ("highest", "high", "medium"))
        one_of("Trainer", "average_every", average_every, ("epoch", "step"))
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.device = device_of(model) if device is None else device
        self.model.to(self.device)
        if isinstance(loss, nn.Module):
            loss.to(self.device)
        self.metrics = dict(metrics or {})
        self.schedule: Schedule | None = None
        if scheduler is not None:
            self.schedule = Schedule(scheduler, optimizer, scheduler_interval)
        self.callbacks = as_callbacks(callbacks)
        self.precision, self.clip_norm, self.augment = precision, clip_norm, augment
        self.penalty, self.constraint = penalty, constraint
        self.average, self.average_every, self.average_from = average, average_every, average_from
        self._averaged = False
        self.seed = seed
        self.history = History()
        self.epoch = 0  # complete ones
        self.step = 0  # in all
        self._seconds = 0.0  # of fit(), in all
        self._begun: float | None = None
        self._feed: Feed | None = None
        self._at = 0  # batches done of this epoch
        self._fit_from = 0  # the epoch in which fit() began
        self._since = Means()
        self._stop_reason: str | None = None
        self._takes_targets = augment is not None and _arity(augment) > 1
        self._compiled = compile(self._train_step)

    # --- what is recorded -----------------------------------------------------------------------

    def _train_step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self._augmented(x, y)
        total, loss, output = self._losses(x, y)
        self.optimizer.zero_grad()
        total.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.constraint is not None:
            with no_grad():
                self.constraint(self.model)
        if self._averages("step"):
            self.average.update_parameters(self.model)
        return loss, output

    def _losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss that is minimised, the one that is reported, and the outputs."""
        output = self.model(x)
        loss = self.loss(output, y)
        return loss if self.penalty is None else loss + self.penalty(self.model), loss, output

    def _averages(self, every: str) -> bool:
        return (
            self.average is not None
            and self.average_every == every
            and self.epoch >= self.average_from
        )

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
        ``batch_size``. ``validation`` is (x, y), named "val" in the history, or {name: (x, y)}. It
        is looked at after each epoch, and after every ``validate_every`` steps. ``max_steps`` ends
        training after so many steps in all, as `stop` does.

        ``resume`` is a file of `callbacks.Checkpoint` or a `state_dict()`: the call that it was
        made in goes on, of a trainer made alike, with the same arguments, to the weights it would
        have come to without a stop, bit for bit (but where one kernel trains whole epochs on a GPU,
        see `CompiledStep.run_epoch`).

        Data are checked before any work. Raises TypeError and ValueError for what cannot be trained
        on: lengths that differ, NaN, labels that the model has no output for, a class that a part
        lacks (unless ``check_classes=False``), a schedule longer than training, a checkpoint of
        another model, optimizer or version. Raises `NonFiniteLossError`, a ValueError, where the
        loss is no longer finite: it names epoch, batch and layer, and the model is as it was before
        that batch. However training ends, Ctrl-C included, `on_fit_end` of the callbacks is called.
        """
        integer("fit", "epochs", epochs)
        for name, value in (("validate_every", validate_every), ("max_steps", max_steps)):
            if value is not None:
                integer("fit", name, value)
        sets = as_sets(validation)
        if self.seed is not None and self.step == 0 and resume is None:
            manual_seed(self.seed)
        self._feed = feed = Feed(as_loader(train, batch_size, self.seed), self.device)
        self._check(feed, sets, check_classes)
        if resume is None:
            self._fit_from, self._at, self._since = self.epoch, 0, Means()
        else:
            self._resume(resume)
        last = self._fit_from + epochs
        if self.schedule is not None:
            left = last - self.epoch
            self.schedule.check_length(left * len(feed) - self._at, left - (self._at > 0))

        self._stop_reason = None
        snapshot: Any = None
        with self._with_precision(), self._clock(), self._called_back():
            while self.epoch < last and not self._stops(max_steps):
                if self._at == 0 and self.schedule is not None:
                    self.schedule.before(by_step=False)
                if self._at == 0 or snapshot is None:
                    snapshot = self._at, checkpoint.copied(self._training_state())
                self._run(self._steps_to_stop(validate_every, max_steps), *snapshot)
                if self._at == len(feed):
                    self._end_epoch(sets)
                elif validate_every is not None and self.step % validate_every == 0:
                    self._validate(sets)
                for callback in self.callbacks:
                    if callback.every and self.step % callback.every == 0:
                        callback.on_step(self)
        return self.history

    def train_on(self, x: Tensor, y: Tensor) -> float:
        """One step on this batch; returns its loss."""
        self.model.train()
        loss: float = self._compiled(x, y)[0].item()
        return loss

    def stop(self, reason: str) -> None:
        """Ends training once the step under way, and what comes after it, is done."""
        self._stop_reason = reason

    @property
    def stop_reason(self) -> str | None:
        """Why the latest `fit` ended before its last epoch, or None."""
        return self._stop_reason

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
        """Also between ends of epochs."""
        return self.epoch + (self._at / self.steps_per_epoch if self._at else 0.0)

    def _stops(self, max_steps: int | None) -> bool:
        if max_steps is not None and self.step >= max_steps:
            self.stop(f"max_steps {max_steps} reached")
        return self._stop_reason is not None

    def _check(self, feed: Feed, sets: Mapping[str, Arrays], check_classes: bool) -> None:
        parts = dict(sets) if feed.arrays is None else {"train": feed.arrays, **sets}
        for name, part in parts.items():
            check_finite(name, part)
        labels = {name: y for name, (_, y) in parts.items() if y.ndim == 1 and y.dtype.kind in "iu"}
        if labels and len(labels) == len(parts):
            x, y = next(iter(parts.values()))
            outputs = predict(self.model, x[:1], self.device)  # the model takes such inputs
            if are_classes(outputs, y):
                check_labels(labels, outputs.shape[1], check_classes)

    def _steps_to_stop(self, validate_every: int | None, max_steps: int | None) -> int:
        """Steps to the end of the epoch, or to where something else is to happen first."""
        periods = [callback.every for callback in self.callbacks if callback.every]
        periods += [validate_every] if validate_every is not None else []
        steps = [period - self.step % period for period in periods]
        steps += [max_steps - self.step] if max_steps is not None else []
        return min([self.steps_per_epoch - self._at, *steps])

    def _run(self, steps: int, first: int, snapshot: State) -> None:
        assert self._feed is not None
        self.model.train()
        start = time.perf_counter()
        result = self._advance(steps)
        seconds = time.perf_counter() - start
        if not math.isfinite(result.loss):
            raise self._not_finite(result.loss, first, snapshot)
        self._since.add(result, self._feed.examples(self._at - steps, steps), seconds)

    def _advance(self, steps: int) -> EpochResult:
        """Trains on the next batches of the epoch."""
        assert self._feed is not None
        before = None
        if self.schedule is not None and self.schedule.by_step:
            schedule = self.schedule

            def before(number: int) -> None:
                schedule.before(by_step=True)

        result = self._feed.run(self._compiled, self._at, steps, before)
        self._averaged = self._averaged or self._averages("step")
        self._at += result.steps
        self.step += result.steps
        return result

    def _not_finite(self, loss: float, first: int, snapshot: State) -> NonFiniteLossError:
        """The error for the batch that was just trained on; goes back to before it."""
        assert self._feed is not None
        number, self.step = self._at - 1, self.step - (self._at - first)
        self._at = first
        self._load_training_state(snapshot)
        layer = None
        if number == first or math.isfinite(self._advance(number - first).loss):
            state = get_rng_state()
            with kept_buffers(self.model):
                layer = culprit(self.model, self.loss, *self._augmented(*self._feed.batch(number)))
            set_rng_state(state)
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        return NonFiniteLossError(loss, self.epoch + 1, number, layer, rate)

    def _augmented(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.augment is None:
            return x, y
        augmented: tuple[Tensor, Tensor] = (
            self.augment(x, y) if self._takes_targets else (self.augment(x), y)
        )
        return augmented

    def _end_epoch(self, sets: Mapping[str, Arrays]) -> None:
        assert self._feed is not None
        self._feed.loader.epoch += 1
        self.epoch += 1
        self._at = 0
        if self.epoch == self.average_from:
            self._compiled = compile(self._train_step)  # another one from here on
        if self._averages("epoch"):
            self.average.update_parameters(self.model)
            self._averaged = True
        row = self._validate(sets)
        if self.schedule is not None:
            self.schedule.end_epoch(row)
            if self.schedule.finished:
                self.stop(f"the schedule {self.schedule} has finished")
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)

    def _validate(self, sets: Mapping[str, Arrays]) -> Row:
        """Adds a row to the history."""
        row: Row = {"epoch": self.epochs_done, "step": self.step, **self._since.row()}
        images_per_second = row.pop("images_per_second")
        for name, part in sets.items():
            row |= {f"{name}_{key}": value for key, value in self.evaluate(part).items()}
        row |= {
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": self.seconds,
            "images_per_second": images_per_second,
        }
        self._since = Means()
        self.history.append(row)
        for callback in self.callbacks:
            callback.on_validation(self, row)
        return row

    # --- using what was trained -----------------------------------------------------------------

    @property
    def trained(self) -> nn.Module:
        """The model, or its average where there is one."""
        module: nn.Module = self.average.module if self._averaged else self.model
        return module

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        """The outputs (N, ...) of the trained model for inputs (N, ...), in evaluation mode."""
        return predict(self.trained, x, self.device)

    def evaluate(self, part: Sequence[ArrayLike]) -> dict[str, float]:
        """{"loss": ..., "accuracy": ..., metrics} of the trained model for arrays (x, y)."""
        x, y = as_arrays("evaluate", "data", part)
        return score(self.predict(x), y, self.loss, self.metrics, self.device)

    def gradients(self) -> dict[str, Tensor]:
        """{name: gradient} of the batch that training would take next; nothing else changes."""
        assert self._feed is not None
        self.model.train()
        state = get_rng_state()
        with kept_buffers(self.model):
            x, y = self._augmented(*self._feed.batch(self._at % len(self._feed)))
            self.model.zero_grad()
            self._losses(x, y)[0].backward()
            grads = {
                k: p.grad.clone() for k, p in self.model.named_parameters() if p.grad is not None
            }
            self.model.zero_grad()
        set_rng_state(state)
        return grads

    # --- its state ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that `fit(resume=...)` needs; tensors are those of the run, which goes on."""
        if self._feed is None:
            raise RuntimeError("[Trainer] there is no state before fit()")
        return {
            **self._training_state(),
            "kinds": self._kinds(),
            "data": self._feed.state_dict(),
            "epoch": self.epoch,
            "at": self._at,
            "step": self.step,
            "fit_from": self._fit_from,
            "seconds": self.seconds,
            "since": self._since.state_dict(),
            "history": list(self.history),
            "callbacks": {
                name: state
                for name, callback in named(self.callbacks).items()
                if (state := callback.state_dict())
            },
        }

    def _kinds(self) -> dict[str, str | None]:
        """What a checkpoint must be of."""
        schedule = None if self.schedule is None else str(self.schedule)
        return {"optimizer": type(self.optimizer).__name__, "scheduler": schedule}

    def _training_state(self) -> dict[str, Any]:
        """What a step changes."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "averaged": self._averaged,
            "rng": get_rng_state(),
        }

    def _load_training_state(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(_with_numbers(state["optimizer"]))
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self._averaged = state["averaged"]
        set_rng_state(tuple(state["rng"]))

    def _resume(self, resume: str | os.PathLike[str] | State) -> None:
        """Goes on from a checkpoint. A call that raises has changed nothing."""
        assert self._feed is not None
        given = isinstance(resume, Mapping)
        state = resume if isinstance(resume, Mapping) else checkpoint.read(resume)
        before = checkpoint.copied(self._training_state())
        try:
            for what, kind in self._kinds().items():
                if state["kinds"][what] != kind:
                    raise ValueError(f"expected {what} {state['kinds'][what]}; got {kind}")
            self._load_training_state(state)
            self._feed.load_state_dict(state["data"])
            for name, callback in named(self.callbacks).items():
                if name in state["callbacks"]:
                    callback.load_state_dict(state["callbacks"][name])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._load_training_state(before)
            where = "the state" if given else resume
            reason = f"lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(
                f"[fit] cannot resume from {where}, of another model or run: {reason}"
            ) from error
        self.epoch, self._at, self.step = state["epoch"], state["at"], state["step"]
        self._fit_from, self._seconds = state["fit_from"], state["seconds"]
        self._since = Means(**state["since"])
        self.history[:] = [dict(row) for row in state["history"]]

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """What trains within leaves weights, optimizer, schedule and random numbers as before."""
        before = checkpoint.copied(self._training_state())
        try:
            with self._with_precision():
                yield
        finally:
            self._load_training_state(before)

    # --- around training ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _called_back(self) -> Iterator[None]:
        try:
            for callback in self.callbacks:
                callback.on_fit_start(self)
            yield
        finally:
            for callback in self.callbacks:
                callback.on_fit_end(self)

    @contextlib.contextmanager
    def _clock(self) -> Iterator[None]:
        self._begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds, self._begun = self.seconds, None

    @contextlib.contextmanager
    def _with_precision(self) -> Iterator[None]:
        before = get_float32_matmul_precision()
        if self.precision is not None:
            set_float32_matmul_precision(self.precision)
        try:
            yield
        finally:
            set_float32_matmul_precision(before)


def _arity(f: Callable[..., Any]) -> int:
    """How many arguments it must be given."""
    parameters = inspect.signature(f).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters)


def _with_numbers(state: State) -> dict[str, Any]:
    """An optimizer's state as it was before JSON made the parameters' numbers texts."""
    return {**state, "state": {int(key): value for key, value in state["state"].items()}}
