"""Training steps recorded once and replayed from C++, with no Python between their kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ._C import Plan, Recorder, Tensor, from_numpy, initial_seed, is_recording
from .nn._checks import integer


class EpochResult(NamedTuple):
    """Means over the examples of an epoch, each taken when its batch was trained on."""

    loss: float
    accuracy: float | None  # a share; None where no cross-entropy or nll_loss is of classes
    steps: int


class CompiledStep:
    """A function that is recorded when first called and replayed from then on; see `compile`."""

    def __init__(self, function: Callable[..., Any], keep_grads: bool = False) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._keep_grads = keep_grads
        # By what describes the arguments: the plan, and the structure of its result.
        self._plans: dict[Any, tuple[Plan, Any]] = {}
        self._last: Plan | None = None  # what the latest call ran or recorded
        self._structure: Any = None

    def __get__(self, instance: Any, owner: Any = None) -> CompiledStep:
        # A step for each object that it is a method of, found in its __dict__ from then on.
        if instance is None:
            return self
        bound = CompiledStep(self._function.__get__(instance, owner), self._keep_grads)
        instance.__dict__[self._function.__name__] = bound
        return bound

    def __call__(self, *args: Any) -> Any:
        """The function's result for these tensors or arrays."""
        if self._last is not None:
            result = self._last(*args)
            if result is not NotImplemented:
                return result if self._structure is Tensor else _rebuilt(self._structure, result)
        if is_recording():
            return self._function(*args)  # a part of the step around it
        tensors = [_as_argument(i, arg) for i, arg in enumerate(args)]
        key = tuple((t.shape, t.stride(), t.dtype, t._gpu) for t in tensors)
        if key in self._plans:
            self._last, self._structure = self._plans[key]
            result = self._last(*tensors)
            if result is not NotImplemented:
                return _rebuilt(self._structure, result)
        return self._record(key, tensors)

    def _record(self, key: Any, tensors: list[Tensor]) -> Any:
        self._plans.pop(key, None)
        self._last = None
        recorder = Recorder(tensors)
        try:
            flat: list[Tensor] = []
            structure = _flattened(self._function(*recorder.inputs), flat)
            self._last, flat = recorder.finish(flat, self._keep_grads)
        finally:
            recorder.close()
        self._structure = structure
        if not self._last.only_once:
            self._plans[key] = self._last, structure
        return _rebuilt(structure, flat[0] if len(flat) == 1 else tuple(flat))

    def run_epoch(
        self,
        x: Any,
        y: Any,
        batch_size: int,
        shuffle: bool = True,
        seed: int | tuple[int, int] | None = None,
        *,
        drop_last: bool = False,
        first: int = 0,
        steps: int | None = None,
        before_step: Callable[[int], Any] | None = None,
        on_step: Callable[[int, float], Any] | None = None,
    ) -> EpochResult:
        """Calls step(x, y) with every batch of inputs x (N, ...) and targets y (N, ...), from C++.

        The order is that of `DataLoader((x, y), batch_size, shuffle, seed=seed)` in its first
        epoch, and with `seed=(seed, epoch)` in a later one; no seed stands for that of
        `manual_seed`. The last batch may be smaller, unless `drop_last`. With `y=None` the step
        is given x alone. The step returns its loss, the mean over the batch, alone or first.
        With `first` and `steps` it is a part of the epoch, `steps` batches from number `first` on.
        It ends early after a step whose loss is not finite, which its result then counts last.

        `before_step(number)` is called before the learning rate and all else that changes from
        step to step is read for that step, `on_step(number, loss)` after it; what they raise ends
        the epoch, and so does Ctrl-C. On a GPU `before_step` is called many steps ahead, so that
        it must not call the step itself, and `on_step` makes it wait for every loss. Where
        `plan()` says that one kernel runs the epochs, its sums differ from those of single steps in
        their last bits.

        Raises ValueError for arrays of different lengths and a batch_size below 1, TypeError where
        the step does not return a loss.
        """
        from .data.loader import shuffled

        tensors = [_as_argument(i, a) for i, a in enumerate((x,) if y is None else (x, y))]
        count = len(tensors[0]) if tensors[0].ndim else 0
        if any(t.ndim == 0 or len(t) != count for t in tensors):
            shapes = [t.shape for t in tensors]
            raise ValueError(f"[run_epoch] x and y must have one length; got shapes {shapes}")
        integer("run_epoch", "batch_size", batch_size)
        integer("run_epoch", "first", first, 0)
        if steps is not None:
            integer("run_epoch", "steps", steps, 0)
        if count == 0:
            raise ValueError("[run_epoch] x is empty")
        tensors = [t.contiguous() for t in tensors]
        order = None
        if shuffle:
            seed = initial_seed() if seed is None else seed
            order = shuffled(count, *(seed if isinstance(seed, tuple) else (seed, 0)))

        start = at = first * batch_size
        if drop_last:
            count -= count % batch_size
        if steps is not None:
            count = min(count, at + steps * batch_size)
        loss, correct, number = 0.0, 0, first
        while at < count and math.isfinite(loss):
            rest = None if order is None else order[at:count]
            replays = self._last is not None and _is_loss(self._structure)
            if replays and at + batch_size <= count:  # as far as the plan goes
                views = tensors if order is not None else [t[at:count] for t in tensors]
                index = None if rest is None else from_numpy(rest)
                total, right, done = self._last.run_epoch(  # type: ignore[union-attr]
                    views, index, count - at, batch_size, number, before_step, on_step
                )
                loss, correct, number = loss + total, correct + right, number + done
                at += done * batch_size
                if done:
                    continue
            if before_step is not None:
                before_step(number)
            size = min(batch_size, count - at)
            index = slice(at, at + size) if rest is None else from_numpy(rest[:size])
            value = _loss_of(self(*(t[index] for t in tensors)))
            correct += self.correct or 0
            loss += value * size
            if on_step is not None:
                on_step(number, value)
            number += 1
            at += size
        seen = max(at - start, 1)
        accuracy = None if self.correct is None else correct / seen
        return EpochResult(loss / seen, accuracy, number - first)

    @property
    def correct(self) -> int | None:
        """How many answers of the latest call were right; None where none were classes.

        They are counted beside a cross-entropy or an nll_loss of class numbers.
        """
        counts = self._last is not None and self._last.counts_correct
        return self._last.correct if counts else None  # type: ignore[union-attr]

    def plan(self) -> str:
        """The plan of the latest call as a table, with times once `profile` was called."""
        if self._last is None:
            raise RuntimeError("[compile] there is no plan before the first call")
        return _table(self._last)

    def profile(self, *args: Any, repeats: int = 20) -> str:
        """Runs the step `repeats` times with these arguments, and returns `plan()` with its times.

        These are steps like any others: what the function trains goes on being trained.
        """
        self(*args)
        self(*args)  # the first may have been one that cannot be replayed
        tensors = [_as_argument(i, arg) for i, arg in enumerate(args)]
        if self._last is not None:
            self._last.profile(repeats, *tensors)
        return self.plan()


def compile(function: Callable[..., Any] | None = None, *, keep_grads: bool = False) -> Any:
    """Makes `function` a step that is recorded once and then replayed from C++.

    Its arguments are tensors or arrays; what it returns, tensors or tuples, lists and dicts of
    them. At the first call, and when shapes, dtypes, parameters or modes have changed, Python runs
    the function and every kernel it starts is written down; later calls run these kernels, fused
    and in memory laid out beforehand. Options of optimizers, step counts, dropout masks and the
    arguments are read anew each time. All else that Python computes in the function, a number
    drawn or a branch taken, is that of the recorded call.

    Results are new tensors, off the tape. `.grad` of the parameters is None after a step that
    clears gradients itself, unless `keep_grads`: then it is memory that every call overwrites.

    Raises RuntimeError where the function looks at a tensor's values (`item()`, `numpy()`), holds
    on to a tensor it does not return, or writes to its arguments.
    """
    if function is None:
        return lambda f: CompiledStep(f, keep_grads)
    return CompiledStep(function, keep_grads)


def _as_argument(number: int, value: Any) -> Tensor:
    tensor = from_numpy(value) if isinstance(value, np.ndarray) else value
    if not isinstance(tensor, Tensor):
        kind = type(value).__name__
        raise TypeError(f"[compile] argument {number} must be a tensor or an array; got {kind}")
    if tensor.requires_grad:
        raise ValueError(f"[compile] argument {number} requires a gradient; use detach()")
    return tensor


def _loss_of(result: Any) -> float:
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    if not isinstance(first, Tensor) or first.numel() != 1:
        kind = type(first).__name__
        raise TypeError(
            f"[run_epoch] the step must return its loss, a tensor of one element; got {kind}"
        )
    return float(first.item())


def _is_loss(structure: Any) -> bool:
    return structure is Tensor or (
        isinstance(structure, (tuple, list)) and bool(structure) and structure[0] is Tensor
    )


def _like(sequence: Any, items: Iterator[Any]) -> Any:
    kind = type(sequence)
    return kind(*items) if hasattr(kind, "_fields") else kind(items)  # a named tuple


def _flattened(result: Any, flat: list[Tensor]) -> Any:
    """Appends the tensors of `result` to `flat`; returns what `_rebuilt` needs."""
    if isinstance(result, Tensor):
        flat.append(result.detach())
        return Tensor
    if result is None:
        return None
    if isinstance(result, dict):
        return {key: _flattened(value, flat) for key, value in result.items()}
    if isinstance(result, (tuple, list)):
        return _like(result, (_flattened(value, flat) for value in result))
    raise TypeError(
        f"[compile] a step returns tensors, in tuples, lists and dicts; got {type(result).__name__}"
    )


def _rebuilt(structure: Any, result: Any) -> Any:
    return _filled(structure, iter((result,) if isinstance(result, Tensor) else result))


def _filled(structure: Any, tensors: Iterator[Tensor]) -> Any:
    if structure is Tensor:
        return next(tensors)
    if isinstance(structure, dict):
        return {key: _filled(value, tensors) for key, value in structure.items()}
    if isinstance(structure, (tuple, list)):
        return _like(structure, (_filled(value, tensors) for value in structure))
    return None


def _table(plan: Plan) -> str:
    if plan.only_once:
        return f"The latest call cannot be replayed: {plan.only_once}. The next one is recorded."
    lines = [f"{'kernel':28} {'MFLOP':>9} {'MB':>8} {'us':>9} {'GFLOP/s':>8} {'GB/s':>7}"]
    rows = plan.rows
    total = ("all", *(sum(row[i] for row in rows) for i in (1, 2, 3)))
    for name, flops, moved, seconds in [*rows, total]:
        speed = f"{flops / seconds / 1e9:8.1f} {moved / seconds / 1e9:7.1f}" if seconds else ""
        time = f"{seconds * 1e6:9.1f}" if seconds else " " * 9
        lines.append(f"{name:28} {flops / 1e6:9.3f} {moved / 1e6:8.3f} {time} {speed}".rstrip())
    lines.append(
        f"arena {plan.arena_bytes / 1e6:.3f} MB, where blocks of their own would take "
        f"{plan.bytes_without_reuse / 1e6:.3f} MB"
    )
    return "\n".join([*lines, *plan.notes])
