"""What is timed: training steps, products, convolutions and the bench cases of every spec.py."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import convolutions, products, steps
from bench.peers import library
from bench.timed import Run, Timed
from fastnn.testing import Case, Spec, load_specs


def _in(peer: str, what: str | Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The operation in the peer's library."""
    if what is None or callable(what):
        return what
    lib: Any = importlib.import_module(library(peer))
    found: Callable[..., Any] = functools.reduce(getattr, what.split("."), lib)
    return found


def _build(spec: Spec, case: Case, peer: str) -> Run | None:
    if peer in ("fastnn-eager", "torch-compile"):  # for training steps
        return None
    ours = spec.op or f"_C.{spec.name}"
    names = {"fastnn": ours, "numpy": spec.numpy, "torch": spec.torch, "jax": spec.jax}
    f = _in(peer, names[library(peer)])
    if f is None:
        return None
    arrays = list(case.arrays(np.float32).values())
    attrs = dict(case.attrs)
    if peer == "jax":
        jax: Any = importlib.import_module("jax")
        compiled = jax.jit(functools.partial(f, **attrs))
        on_device = [x if x is None else jax.numpy.asarray(x) for x in arrays]
        return lambda: compiled(*on_device).block_until_ready()
    inputs: list[Any] = arrays
    if library(peer) != "numpy":
        lib: Any = importlib.import_module(library(peer))
        inputs = [x if x is None else lib.tensor(x) for x in arrays]
        if peer == "torch-channels-last":
            if arrays[0] is None or arrays[0].ndim != 4:
                return None
            inputs = [
                x if x is None or x.ndim != 4 else x.contiguous(memory_format=lib.channels_last)
                for x in inputs
            ]
    return lambda: f(*inputs, **attrs)


def _work(spec: Spec, case: Case) -> tuple[float, float]:
    arrays, attrs = case.arrays(np.float32).values(), case.attrs
    flops = float(spec.flops(*arrays, **attrs)) if spec.flops else 0.0
    return flops, float(spec.bytes(*arrays, **attrs)) if spec.bytes else 0.0


def _of_spec(spec: Spec) -> list[Timed]:
    return [
        Timed(
            f"{spec.name}: {case.name}",
            spec.folder or spec.name,
            functools.partial(_work, spec, case),
            functools.partial(_build, spec, case),
        )
        for case in spec.bench
    ]


def _in_order(timed: Timed) -> tuple[str, str, list[int]]:
    operation, _, sizes = timed.name.partition(":")
    return timed.group, operation, [int(number) for number in re.findall(r"\d+", sizes)]


def all_cases() -> list[Timed]:
    """Every case, training steps first."""
    specs = [*load_specs(), *products.SPECS]
    operations = [timed for spec in specs for timed in _of_spec(spec)]
    return [*steps.CASES, *convolutions.CASES, *sorted(operations, key=_in_order)]
