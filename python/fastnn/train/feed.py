"""The data of a training run: checked, on the device, and an epoch run in parts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import Tensor, from_numpy
from ..compile import CompiledStep, EpochResult
from ..data import DataLoader, TensorDataset
from ..data.loader import shuffled
from .evaluation import are_classes, outputs_of

if TYPE_CHECKING:
    from .step import TrainingStep

Arrays = tuple[NDArray[Any], NDArray[Any]]


class Means:
    """Sums over the batches since the history's last row."""

    def __init__(
        self,
        loss: float = 0.0,
        correct: float | None = None,
        examples: int = 0,
        labelled: int = 0,
        seconds: float = 0.0,
    ) -> None:
        self.loss, self.correct, self.seconds = loss, correct, seconds
        self.examples, self.labelled = examples, labelled

    def add(self, result: EpochResult, examples: int, labelled: int, seconds: float) -> None:
        self.loss += result.loss * examples
        if result.accuracy is not None:
            self.correct = (self.correct or 0) + round(result.accuracy * examples)
        self.examples += examples
        self.labelled += labelled
        self.seconds += seconds

    def row(self) -> dict[str, float]:
        if not self.examples:
            return {"loss": math.nan, "images_per_second": 0.0}
        row = {"loss": self.loss / self.examples}
        if self.correct is not None:
            row["accuracy"] = self.correct / max(self.labelled, 1)
        return row | {"images_per_second": self.examples / self.seconds}

    def state_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


class Feed:
    """The batches of a loader, for a step that returns (loss, output).

    Targets `ignored` do not count for the accuracy.
    """

    def __init__(self, loader: DataLoader, device: str, ignored: int | None = None) -> None:
        self.loader, self.device, self.ignored = loader, device, ignored
        if len(loader) == 0:
            raise ValueError(
                f"[fit] train has no whole batch: {len(loader.dataset)} examples, batch_size "
                f"{loader.batch_size}, drop_last"
            )
        self.arrays: Arrays | None = None
        self._resident: tuple[Tensor, Tensor] | None = None
        if type(loader.dataset) is TensorDataset:
            if len(loader.dataset.arrays) != 2:
                count = len(loader.dataset.arrays)
                raise ValueError(f"[fit] train must be inputs and targets; got {count} arrays")
            x, y = self.arrays = loader.dataset.arrays
            self._resident = from_numpy(x).to(device), from_numpy(y).to(device)
            self._ignores = ignored is not None and bool((y == ignored).any())

    def __len__(self) -> int:
        return len(self.loader)

    def examples(self, first: int, steps: int) -> int:
        """How many there are in these batches."""
        size, count = self.loader.batch_size, len(self.loader.dataset)
        return min((first + steps) * size, count) - min(first * size, count)

    def _labelled(self, first: int, steps: int) -> int:
        """How many of these, of arrays, count for the accuracy."""
        assert self.arrays is not None
        loader, y = self.loader, self.arrays[1]
        if not self._ignores:
            return self.examples(first, steps)
        part = slice(first * loader.batch_size, (first + steps) * loader.batch_size)
        y = y[shuffled(len(y), loader.seed, loader.epoch)[part]] if loader.shuffle else y[part]
        return int((y != self.ignored).sum())

    def run(
        self, step: CompiledStep, first: int, steps: int, before: Callable[[int], None] | None
    ) -> tuple[EpochResult, int]:
        """`steps` batches of this epoch from number `first` on, or as many as have a finite loss.

        And how many of their examples count for the accuracy. From C++ where the data are two
        arrays, batch by batch otherwise.
        """
        loader = self.loader
        if self._resident is not None:
            result = step.run_epoch(
                *self._resident,
                loader.batch_size,
                loader.shuffle,
                (loader.seed, loader.epoch),
                drop_last=loader.drop_last,
                first=first,
                steps=steps,
                before_step=before,
            )
            counted = self._counted(result, self._resident[1])
            return counted, self._labelled(first, result.steps)
        total, correct, labelled, done = 0.0, 0, 0, 0
        for number, batch in enumerate(loader.batches(first, steps), start=first):
            if before is not None:
                before(number)
            value = step(*self._pair(batch))[0].item()
            y = batch[1]
            total += value * len(y)
            correct += step.correct or 0
            labelled += len(y) if self.ignored is None else int((y.numpy() != self.ignored).sum())
            done += 1
            if not np.isfinite(value):
                break
        seen = max(self.examples(first, done), 1)
        accuracy = None if step.correct is None else correct / seen
        return self._counted(EpochResult(total / seen, accuracy, done), y), labelled

    def _counted(self, result: EpochResult, y: Tensor) -> EpochResult:
        """With an accuracy where there is one, of targets such as y."""
        return result if y.ndim == 1 else result._replace(accuracy=None)

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one batch of this epoch, on the device."""
        return self._pair(next(self.loader.batches(number, 1)))

    def _pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        if len(batch) != 2:
            raise ValueError(f"[fit] train must be inputs and targets; got {len(batch)} arrays")
        x, y = batch
        return x.to(self.device), y.to(self.device)

    def state_dict(self) -> dict[str, Any]:
        """What decides on the order of the data."""
        loader = self.loader
        return {
            "examples": len(loader.dataset),
            "batch_size": loader.batch_size,
            "shuffle": loader.shuffle,
            "drop_last": loader.drop_last,
            "seed": loader.seed,
            "epoch": loader.epoch,
        }

    def check(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError where a state is of other data."""
        own = self.state_dict()
        for key in ("examples", "batch_size", "shuffle", "drop_last"):
            if state[key] != own[key]:
                raise ValueError(f"[fit] expected train with {key} {state[key]}; got {own[key]}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on in that order."""
        self.loader.seed, self.loader.epoch = state["seed"], state["epoch"]


def as_loader(
    train: DataLoader | Sequence[ArrayLike], batch_size: int, seed: int | None, epoch: int = 0
) -> DataLoader:
    """A loader as it is, and of arrays (x, y) one that shuffles as an epoch of that number."""
    if isinstance(train, DataLoader):
        return train
    if not isinstance(train, (tuple, list)) or len(train) != 2:
        raise TypeError(
            f"[fit] train must be a DataLoader or a pair of arrays (x, y); "
            f"got {type(train).__name__}"
        )
    loader = DataLoader(as_arrays("fit", "train", train), batch_size, shuffle=True, seed=seed)
    loader.epoch = epoch
    return loader


def as_sets(validation: Any) -> dict[str, Arrays]:
    """{name: (x, y)} of the data to validate on."""
    if validation is None:
        return {}
    named = validation if isinstance(validation, Mapping) else {"val": validation}
    if "train" in named:
        raise ValueError("[fit] a set to validate on cannot be named 'train'")
    return {str(name): as_arrays("fit", str(name), part) for name, part in named.items()}


def as_arrays(operation: str, name: str, part: Any) -> Arrays:
    """Inputs (N, ...) and targets (N, ...), at least one; labels as int64.

    Of a loader they are all examples of its dataset, in their own order.
    """
    if isinstance(part, DataLoader):
        dataset = part.dataset
        if isinstance(dataset, TensorDataset):
            part = dataset.arrays
        else:
            part = dataset.batch(np.arange(len(dataset)))
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise TypeError(
            f"[{operation}] {name} must be a DataLoader or a pair of arrays (x, y); "
            f"got {type(part).__name__}"
            + (f" of {len(part)}" if isinstance(part, (tuple, list)) else "")
        )
    shapes = [np.shape(a) for a in part]
    if not all(shapes) or shapes[0][0] != shapes[1][0]:
        raise ValueError(
            f"[{operation}] {name} inputs and targets must have one length; got {shapes}"
        )
    x, y = TensorDataset(*part).arrays
    if len(x) == 0:
        raise ValueError(f"[{operation}] {name} is empty: shapes {x.shape}, {y.shape}")
    return x, y


def check_data(
    feed: Feed, sets: Mapping[str, Arrays], step: TrainingStep, same_classes: bool
) -> list[str]:
    """Raises ValueError for arrays that the model cannot be trained or validated on.

    A batch of each part goes through model and loss, that of training augmented. Returns the parts
    that have no accuracy, which is of class numbers.
    """
    parts = dict(sets) if feed.arrays is None else {"train": feed.arrays, **sets}
    for name, part in parts.items():
        check_finite(name, part)
    tried = {name: _tried(name, part, feed, step) for name, part in parts.items()}
    labels = {name: y for name, (_, y) in parts.items() if y.ndim == 1 and y.dtype.kind in "iu"}
    numbers = [name for name, (_, y) in parts.items() if y.ndim == 1 and name not in labels]
    uncounted = [name for name in parts if name not in labels]
    if "train" in labels and step.takes_targets:
        target = tried["train"][1].to("cpu").numpy()
        if target.ndim > 1:  # mixed
            uncounted.append("train")
        elif (target != labels["train"][: len(target)]).any():  # there may be other classes
            del labels["train"]
    regression = "train" in numbers if "train" in parts else bool(numbers)
    if labels and not regression:
        name, y = next(iter(labels.items()))
        output = tried[name][0]
        if isinstance(output, Tensor) and are_classes(output.to("cpu").numpy(), y):
            check_labels(labels, output.shape[1], same_classes, feed.ignored)
        else:
            uncounted = list(parts)
    for name, (output, target) in tried.items():
        with _errors_of(name, parts[name]):
            loss = step.loss(output, target)
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise TypeError(f"the loss must be a tensor of one number; got {got}")
    return uncounted


def _tried(name: str, part: Arrays, feed: Feed, step: TrainingStep) -> tuple[Any, Tensor]:
    """The outputs for a batch, and its targets."""
    with _errors_of(name, part):
        x, y = (from_numpy(a[: feed.loader.batch_size].copy()).to(feed.device) for a in part)
        if name == "train":
            x, y = step.augmented(x, y)
            return step.model(x), y
        return outputs_of(step.model, x), y


@contextlib.contextmanager
def _errors_of(name: str, part: Arrays) -> Iterator[None]:
    """An error within says of what part of the data it is."""
    try:
        yield
    except (IndexError, TypeError, ValueError) as error:
        x, y = (a.shape for a in part)
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"[fit] {name} does not suit model and loss, {x} and {y}: {error}") from error


def check_finite(name: str, part: Arrays) -> None:
    """Raises ValueError that names the first example with a NaN or an infinity."""
    for what, array in zip(("inputs", "targets"), part, strict=True):
        if array.dtype.kind == "f" and not np.isfinite(array.sum()):  # a sum needs no memory
            rows = np.isfinite(array).reshape(len(array), -1).all(1)
            if not rows.all():
                bad = np.flatnonzero(~rows)
                raise ValueError(
                    f"[fit] {name} {what} must be finite; {len(bad)} of {len(array)} examples hold "
                    f"NaN or inf, the first is number {bad[0]}"
                )


def check_labels(
    parts: Mapping[str, NDArray[Any]],
    classes: int,
    same_classes: bool,
    ignored: int | None = None,
) -> None:
    """Raises ValueError for labels (N) out of 0..classes - 1, and for classes only some parts have.

    Examples with the label `ignored` do not count. A network cannot learn a class that it never
    sees, nor be measured on one that is not there: these are errors with `same_classes`.
    """
    present: dict[str, set[int]] = {}
    for name, y in parts.items():
        counts = y != ignored if ignored is not None else np.ones(len(y), bool)
        wrong = np.flatnonzero(counts & ((y < 0) | (y >= classes)))
        if len(wrong):
            raise ValueError(
                f"[fit] {name} labels must be in 0..{classes - 1}; {len(wrong)} of {len(y)} are "
                f"not, the first is {y[wrong[0]]} of example {wrong[0]}"
            )
        present[name] = set(np.unique(y[counts]).tolist())
    if not same_classes:
        return
    everything = set().union(*present.values())
    for name, seen in present.items():
        if absent := sorted(everything - seen):
            others = ", ".join(n for n in present if absent[0] in present[n])
            raise ValueError(
                f"[fit] {name} has no example of class {', '.join(map(str, absent))}, which "
                f"{others} has: split with stratify=y, or pass check_classes=False"
            )
