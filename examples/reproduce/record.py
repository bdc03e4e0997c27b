"""Results: a JSON file for each recipe, written after every seed, and the page made of them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np

import fastnn as fn
from fastnn.io import check_folder, write_atomic

from .recipe import Job, Recipe, prepare

RUNS = Path("runs", "reproduce")
PAGE = Path(__file__).parents[2] / "docs" / "reproductions.md"

Result = dict[str, Any]
TEXTS = ("id", "title", "reported", "metric", "changes", "difference")  # the recipe's


def measure(
    recipe: Recipe,
    seeds: Iterable[int],
    data_dir: Path,
    *,
    force: bool = False,
    results: Path | None = None,
    runs: Path = RUNS,
) -> Result:
    """Run the seeds that the result does not have yet, with `force` also those that it has.

    After every seed `results/<id>.json`, beside the recipe, is replaced by one that has it.
    """
    place = results or recipe.results
    check_folder("reproduce", place)
    result = _so_far(recipe, results, force)
    for seed in seeds:
        if seed in result["seeds"] and not force:
            at = result["seeds"].index(seed)
            shown = _shown({name: values[at] for name, values in result["values"].items()})
            print(f"{recipe.id} seed {seed}: {shown} (done before; --force does it again)")
            continue
        folder = runs / f"{recipe.id}-{seed}"
        if force:
            shutil.rmtree(folder, ignore_errors=True)  # a recipe may go on from what lies there
        prepare(folder, recipe)
        start = time.perf_counter()
        job = Job(seed, data_dir, folder)
        values = recipe.values(job)
        seconds = time.perf_counter() - start + sum(job.earlier)
        print(f"{recipe.id} seed {seed}: {_shown(values)} ({duration(seconds)})", flush=True)
        result = _so_far(recipe, results, force)  # another process may have done other seeds
        _enter(result, seed, values, seconds)
        save(result, place)
    return result


def _so_far(recipe: Recipe, results: Path | None, force: bool) -> Result:
    """The result on disk or a new one, which with `force` replaces what is not a result."""
    try:
        return load(recipe, results) or new_result(recipe)
    except ValueError:
        if not force:
            raise
        return new_result(recipe)


def _enter(result: Result, seed: int, values: Mapping[str, float], seconds: float) -> None:
    """Put what a seed came to into the result, in the place of what it came to before."""
    entry = {
        "seeds": seed,
        "seconds": round(seconds, 3),
        "versions": versions(),
        "machine": machine(),
    }
    columns = [(result[key], value) for key, value in entry.items()]
    columns += [(result["values"][name], value) for name, value in values.items()]
    at = result["seeds"].index(seed) if seed in result["seeds"] else len(result["seeds"])
    for column, value in columns:
        column[at : at + 1] = [value]
    result |= summary(result["values"])


def new_result(recipe: Recipe) -> Result:
    """A result without seeds. Lists have an entry for each seed, in the order of `seeds`."""
    return {
        **{key: getattr(recipe, key) for key in TEXTS},
        "seeds": [],
        "values": {name: [] for name in recipe.reported},
        "mean": {},
        "std": {},  # of the sample; None for a single seed
        "seconds": [],
        "versions": [],
        "machine": [],
    }


def summary(values: Mapping[str, list[float]]) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation of every measure."""
    return {
        "mean": {name: mean(v) for name, v in values.items()},
        "std": {name: stdev(v) if len(v) > 1 else None for name, v in values.items()},
    }


def load(recipe: Recipe, results: Path | None = None) -> Result | None:
    """The result so far, with the recipe's present texts; None where there is none.

    Raises ValueError for a file of other measures, or of something else.
    """
    path = (results or recipe.results) / f"{recipe.id}.json"
    if not path.is_file():
        return None
    new = new_result(recipe)
    try:
        old = json.loads(path.read_bytes())
        result = new | {key: old[key] for key in new if key not in TEXTS}
        measured = set(result["values"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"[reproduce] {path} is not a result: {error!r}; use --force") from None
    if measured != set(recipe.reported):
        raise ValueError(
            f"[reproduce] {path} must have the measures {sorted(recipe.reported)}; "
            f"got {sorted(measured)}: use --force to do it again"
        )
    return result


def save(result: Result, results: Path) -> None:
    """Replace the recipe's file, a line for each key."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    write_atomic(results / f"{result['id']}.json", text.encode())


def versions() -> dict[str, str]:
    return {
        "fastnn": fn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def machine() -> dict[str, Any]:
    cpu = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "isa": (fn.show_config("dicts") or {})["isa"],
        "threads": fn.get_num_threads(),
    }


# --- as text --------------------------------------------------------------------------------------


def number(value: float, like: float | None = None) -> str:
    """Whole numbers whole, others with two decimals, small ones to three digits.

    With `like`, to as many decimals as that number has.
    """
    if like is None and value == int(value) and abs(value) < 1e9:
        return f"{value:,.0f}"
    size = abs(value if like is None else like)
    if size >= 1:
        return f"{value:,.0f}" if size >= 1000 else f"{value:.2f}"
    return f"{value:.{2 - math.floor(math.log10(size))}f}" if size >= 0.001 else f"{value:.2e}"


def _shown(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


def ours(result: Result, name: str) -> str:
    """Mean and spread of a measure."""
    value, spread = result["mean"][name], result["std"][name]
    if not spread:
        return number(value)
    return f"{number(value, like=value)} ± {number(spread, like=value)}"


def duration(seconds: float) -> str:
    """To two digits or so: 0.4 s, 12 s, 3.5 min, 2.1 h."""
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds:.2g} s"


INTRODUCTION = """\
# Reproductions

Experiments from a course on neural networks and from Michael Nielsen's book *Neural Networks and
Deep Learning*, done again with fastnn: `python -m examples.reproduce --list` names them, and each
is a short file in [examples/reproduce](../examples/reproduce). *Reported* is the document's own
figure, mostly of one run; *the document* is the course or the book, whichever a row is from. *Ours*
is the mean over seeds ± the standard deviation of one seed. Where a network is chosen among those
of several epochs, the validation images choose it, and test images are looked at once; a row that
is the best or the worst of several figures on test data says so, and so does one whose recipe a
look at test images has changed. Pictures that a recipe draws are left in `runs/reproduce`. Times
are for one seed with everything in it, the median over seeds, on the threads that are named; they
were measured beside other work, and say what to expect rather than how fast it is.

At the end stand [records](../examples/records): what fastnn comes to where the recipe is free.

This page is made from [the results](../examples/reproduce/results) by
`python -m examples.reproduce --docs`.
"""


def page(known: Mapping[str, Recipe], results: Path | None = None) -> str:
    """docs/reproductions.md"""
    parts = [_part(recipe, load(recipe, results)) for recipe in known.values()]
    return "\n".join([INTRODUCTION, *parts])


def _part(recipe: Recipe, result: Result | None) -> str:
    how = "not run yet"
    if result:
        count = len(result["seeds"])
        machines = sorted({(m["threads"], m["isa"]) for m in result["machine"]})
        where = [f"{threads} thread{'s' * (threads != 1)} ({isa})" for threads, isa in machines]
        how = (
            f"{count} seed{'s' * (count > 1)}, {duration(median(result['seconds']))} each on "
            f"{' or '.join(where)}"
        )
    lines = [
        f"## [{recipe.id}](../{recipe.run.__module__.replace('.', '/')}.py)\n",
        f"{_sentence(recipe.title)} *{_sentence(recipe.metric)} {_sentence(how)}*\n",
        "|  | reported | ours |",
        "| --- | --- | ---: |",
    ]
    for name, reported in recipe.reported.items():
        found = ours(result, name) if result else ""
        lines.append(f"| {name} | {reported or '–'} | {found} |")
    notes = [note for note in (recipe.changes, recipe.difference) if note]
    return "\n".join([*lines, "", *notes, ""] if notes else [*lines, ""])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
