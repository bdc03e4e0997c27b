"""What a recipe is, and where they are found."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

import fastnn as fn

T = TypeVar("T")

SHARED = ("book", "common", "convnets")  # modules that a recipe's text goes on in


@dataclass(frozen=True)
class Job:
    """One run of a recipe."""

    seed: int
    data_dir: Path  # holds MNIST/raw and MNIST1D
    folder: Path  # exists; for pictures and checkpoints of this recipe
    quick: bool = False  # only to see that it works: few examples, few steps
    earlier: list[float] = field(default_factory=list)  # seconds of runs that were cut off

    def pick(self, full: T, quick: T) -> T:
        """`full`, or `quick` in a quick run: `epochs = job.pick(60, 1)`."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Recipe:
    """An experiment: what was reported, and the function that does it again.

    `run(job)` takes a seed from the job and returns a number for every name in `reported`.
    """

    id: str  # B8
    title: str  # the recipe in one sentence
    reported: Mapping[str, str]  # {measure: the figure of the document, or "" where it has none}
    metric: str  # what the numbers are: "test accuracy, %"
    minutes: float  # about, for one seed on one core
    run: Callable[[Job], Mapping[str, float]]
    seeds: int = 3  # 1 where nothing is drawn at random
    changes: str = ""  # what we do otherwise than the document, and why
    difference: str = ""  # where our figure is not the reported one: how, and why

    @property
    def results(self) -> Path:
        """The folder of its result, beside the recipe."""
        return Path(self.run.__code__.co_filename).parent / "results"

    def values(self, job: Job) -> dict[str, float]:
        """What `run` returns, checked: a finite number for every measure and nothing else.

        fastnn's generator is seeded before it.
        """
        fn.manual_seed(job.seed)
        values = {name: float(value) for name, value in self.run(job).items()}
        if set(values) != set(self.reported):
            raise ValueError(f"[{self.id}] must measure {[*self.reported]}; got {[*values]}")
        wrong = {name: value for name, value in values.items() if not np.isfinite(value)}
        if wrong:
            raise ValueError(f"[{self.id}] must measure finite numbers; got {wrong}")
        return {name: values[name] for name in self.reported}


def recipe(
    id: str,
    title: str,
    *,
    reported: Mapping[str, str],
    metric: str,
    minutes: float,
    seeds: int = 3,
    changes: str = "",
    difference: str = "",
) -> Callable[[Callable[[Job], Mapping[str, float]]], Recipe]:
    """Makes the function below a `Recipe`; its module holds it under the name `run`."""
    return lambda run: Recipe(id, title, reported, metric, minutes, run, seeds, changes, difference)


def prepare(folder: Path, recipe: Recipe) -> None:
    """Makes the folder of a run; what another text of the recipe has left in it goes."""
    shared = (Path(__file__).with_name(f"{name}.py") for name in SHARED)
    source = b"".join(p.read_bytes() for p in (Path(recipe.run.__code__.co_filename), *shared))
    digest, note = hashlib.sha256(source).hexdigest(), folder / "recipe.sha256"
    if not note.is_file() or note.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        note.write_text(digest)


def member(job: Job, recipe: Recipe, seed: int, name: str = "") -> Job:
    """The job of another recipe, whose networks vote: where they were trained, they're only read.

    fastnn's generator is seeded, as for that recipe itself. `name` is for those of another form.
    """
    folder = job.folder.parent / f"{name or recipe.id}-{seed}"
    prepare(folder, recipe)
    fn.manual_seed(seed)
    return Job(seed, job.data_dir, folder, job.quick, job.earlier)


def recipes() -> dict[str, Recipe]:
    """All recipes by id, in the order A1, A2, ..., A10, ..., B1, ..., records after them."""
    found: list[Recipe] = []
    for package in ("examples.reproduce", "examples.records"):
        modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
        found += [
            importlib.import_module(f"{package}.{name}").run
            for name in sorted(module.name for module in modules)
            if re.match(r"[a-z]\d\d", name)
        ]
    return {r.id: r for r in found}


def select(known: Mapping[str, Recipe], names: Sequence[str]) -> list[Recipe]:
    """The recipes of these ids; a letter stands for a section, "all" for all of them."""
    chosen: dict[str, Recipe] = {}
    for name in names:
        found = [r for r in known.values() if name in (r.id, r.id[0], "all")]
        if not found:
            raise ValueError(f"[reproduce] no recipe {name!r}; known are {', '.join(known)}")
        chosen |= {r.id: r for r in found}
    return list(chosen.values())
