"""Hyper-parameter search: candidates from scikit-learn, a log that a crash does not lose.

>>> def objective(params, seed):
...     trainer = make_trainer(params, seed)
...     trainer.fit(train, validation, epochs=5)
...     return trainer.history.best["val_accuracy"]
>>> results = run(objective, grid({"lr": [0.01, 0.1], "width": [30, 100]}), log="search.jsonl")
>>> results.best.params

For search that learns from its trials use Optuna, with `OptunaPruning` to end the poor ones early.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from ._extras import need
from .io import errors_saying, write_atomic
from .nn._checks import integer, one_of
from .train import Trainer
from .train.callbacks import Callback

Params = dict[str, Any]
Objective = Callable[[Params, int], float]


def grid(space: Mapping[str, Sequence[Any]]) -> list[Params]:
    """Every combination of the values of `space`, {name: values}, the names in alphabetical order.

    Raises ValueError or TypeError for values that are no sequence, or empty.
    """
    with _errors_named("grid"):
        return [_plain(params) for params in _sampler("grid", "ParameterGrid")(space)]


def random(space: Mapping[str, Any], trials: int, seed: int = 0) -> list[Params]:
    """`trials` random combinations of `space`: {name: values, or a distribution of scipy.stats}.

    More trials of the same space and seed begin with the same ones. Where all are values,
    combinations differ; there may then be fewer than `trials`, which a UserWarning says. For rates
    use `scipy.stats.loguniform`. Raises as `grid`.
    """
    integer("random", "trials", trials)
    seed = integer("random", "seed", seed, 0)
    values = space.values() if isinstance(space, Mapping) else ()
    with _errors_named("random"):
        if any(hasattr(v, "rvs") for v in values):
            sampler = _sampler("random", "ParameterSampler")
            return [_plain(params) for params in sampler(space, trials, random_state=seed)]
        _sampler("random", "ParameterGrid")(space)  # refuses what is no space
    if not isinstance(space, Mapping):
        raise TypeError("[random] expected one space, {name: values}; got several")
    sizes = {name: len(space[name]) for name in sorted(space)}
    count = math.prod(sizes.values())
    if count < trials:
        warnings.warn(f"[random] there are {count} combinations, not {trials}", stacklevel=2)
    drawn = []
    for number in _distinct(count, min(count, trials), seed):
        params = {}
        for name, size in sizes.items():
            number, i = divmod(number, size)
            params[name] = space[name][i]
        drawn.append(_plain(params))
    return drawn


def _distinct(count: int, draws: int, seed: int) -> Iterator[int]:
    """So many different numbers below `count`; more draws of one seed begin with the same.

    Fisher and Yates' shuffle, in which `moved` holds what is no longer in its place.
    """
    rng, moved = Random(seed), dict[int, int]()
    for i in range(draws):
        j = rng.randrange(i, count)
        yield moved.get(j, j)
        moved[j] = moved.get(i, i)


@dataclass(frozen=True)
class Trial:
    """A candidate and what came of it."""

    params: Params
    seed: int
    score: float
    """What the objective gave; NaN where that was not finite."""
    seconds: float


class Results(list[Trial]):
    """Trials, the best first, those with a score of NaN last."""

    @property
    def best(self) -> Trial:
        """The first; raises ValueError where no trial has a score."""
        if not self or math.isnan(self[0].score):
            raise ValueError("[best] no trial has a score")
        return self[0]


def run(
    objective: Objective,
    candidates: Iterable[Mapping[str, Any]],
    *,
    seed: int = 0,
    direction: str = "maximize",
    log: str | os.PathLike[str] | None = None,
    version: str = "1",
) -> Results:
    """Calls `objective(params, seed)` for each candidate and sorts them by the score it returns.

    `direction` is "maximize" or "minimize". Parameters are what JSON holds: numbers, text, lists;
    equal candidates are one trial. A score that is not finite counts as failed; an exception ends
    the search.

    With `log`, every finished trial is a line of that file, on the disk before the next begins. A
    later call with the same file takes from it the trials, of the same parameters and seed, that
    it holds: kill the search at any moment, and go on. Candidates may be added. One process at a
    time. Change `version` with what the objective does: a log of another objective, by its name
    and version, or of parameters with other names raises ValueError, as does a file that is
    something else.
    """
    if isinstance(candidates, Mapping):
        raise TypeError("[run] expected candidates, such as grid(space); got a space")
    integer("run", "seed", seed, 0)
    one_of("run", "direction", direction, ("minimize", "maximize"))
    wanted = {_key(params, seed): dict(params) for params in candidates}
    if not wanted:
        raise ValueError("[run] expected one or more candidates; got none")
    done: dict[str, Trial] = {}
    if log is not None:
        done = _read(Path(log), _header(objective, version, wanted.values()))
    trials = Results()
    for key, params in wanted.items():
        if key not in done:
            done[key] = _try(objective, params, seed)
            if log is not None:
                _append(Path(log), done[key])
        trials.append(Trial(params, seed, done[key].score, done[key].seconds))
    sign = 1 if direction == "minimize" else -1
    trials.sort(key=lambda t: (math.isnan(t.score), 0 if math.isnan(t.score) else sign * t.score))
    return trials


class OptunaPruning(Callback):
    """A callback of the Trainer that ends a trial of Optuna which its pruner finds hopeless.

    It reports row[monitor] of each validation, the first as step 0, and raises optuna.TrialPruned,
    which `Trainer.fit` lets pass and Optuna expects. Raises ValueError for a `monitor` that rows do
    not have, ImportError without optuna (extra ``optuna``).
    """

    def __init__(self, trial: Any, monitor: str = "val_loss") -> None:
        self._pruned = need("optuna", "optuna", "OptunaPruning").TrialPruned
        self.trial, self.monitor = trial, monitor

    def on_validation(self, trainer: Trainer, row: dict[str, float]) -> None:
        if self.monitor not in row:
            raise ValueError(
                f"[OptunaPruning] monitor must be one of {', '.join(row)}; got {self.monitor!r}"
            )
        step = len(trainer.history) - 1
        self.trial.report(row[self.monitor], step)
        if self.trial.should_prune():
            raise self._pruned(f"{self.monitor} {row[self.monitor]:g} at validation {step + 1}")


def _sampler(name: str, kind: str) -> Any:
    """One of scikit-learn's."""
    return getattr(need("sklearn.model_selection", "train", name), kind)


@contextlib.contextmanager
def _errors_named(name: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"[{name}] {error}") from None


def _plain(params: Params) -> Params:
    return {key: _number(value) for key, value in params.items()}


def _number(value: Any) -> Any:
    """A NumPy number as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _encoded(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"it doesn't hold {type(value).__name__}")


def _key(params: Mapping[str, Any], seed: int) -> str:
    try:
        return json.dumps([params, seed], sort_keys=True, allow_nan=False, default=_encoded)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"[run] expected parameters that JSON holds; got {params} ({error})"
        ) from None


def _try(objective: Objective, params: Params, seed: int) -> Trial:
    start = time.perf_counter()
    result = objective(copy.deepcopy(params), seed)
    seconds = time.perf_counter() - start
    try:
        score = float(result)
    except (TypeError, ValueError):
        raise TypeError(f"[run] expected a number from the objective; got {result!r}") from None
    return Trial(params, seed, score if math.isfinite(score) else math.nan, seconds)


# --- the log: a header, then a line a trial -----------------------------------------------------


def _header(objective: Objective, version: str, candidates: Iterable[Params]) -> dict[str, Any]:
    return {
        "format": "fastnn-search-1",
        "objective": getattr(objective, "__qualname__", type(objective).__qualname__),
        "version": str(version),
        "parameters": sorted({name for params in candidates for name in params}),
    }


def _read(path: Path, header: dict[str, Any]) -> dict[str, Trial]:
    """The trials of the file, without a last line that was cut off; makes the file if need be."""
    if not path.exists():
        write_atomic(path, _line(header))
        return {}
    content = path.read_bytes()
    whole, _, torn = content.rpartition(b"\n")
    records = []
    for number, line in enumerate(whole.split(b"\n"), 1):
        try:
            records.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"[run] line {number} of {path} is not of a log: {error}") from None
    found = records[0]
    if found.keys() != header.keys() or found["format"] != header["format"]:
        raise ValueError(f"[run] {path} is not a log of this format ({header['format']})")
    if found != header:
        raise ValueError(f"[run] {path} is of {_named(found)}; got {_named(header)}")
    trials = {}
    for number, record in enumerate(records[1:], 2):
        try:
            score = math.nan if record["score"] is None else float(record["score"])
            trial = Trial(record["params"], record["seed"], score, float(record["seconds"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"[run] line {number} of {path} is no trial: {error!r}") from None
        trials[_key(trial.params, trial.seed)] = trial
    if torn:
        os.truncate(path, len(content) - len(torn))
    return trials


def _named(header: dict[str, Any]) -> str:
    names = ", ".join(header["parameters"])
    return f"objective {header['objective']}, version {header['version']}, over {names}"


def _append(path: Path, trial: Trial) -> None:
    score = None if math.isnan(trial.score) else trial.score
    with errors_saying(f"cannot write {path}"), open(path, "ab") as file:
        file.write(_line(asdict(trial) | {"score": score}))
        file.flush()
        os.fsync(file.fileno())


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, default=_encoded).encode() + b"\n"
