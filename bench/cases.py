"""What is timed: the bench cases of every spec.py, and whole training steps.

A case is built, once for each peer, into a function of no arguments.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import steps
from fastnn.testing import Case, Spec, load_specs

Run = Callable[[], Any]
PEERS = ("fastnn", "numpy", "torch", "torch-channels-last", "jax")


@dataclass(frozen=True)
class Timed:
    """name; arithmetic and memory of one run, 0 where not known; peer -> function or None."""

    name: str
    flops: float
    bytes: float
    build: Callable[[str], Run | None]


def _library(peer: str, what: str | Callable[..., Any] | None) -> Callable[..., Any] | None:
    if what is None or callable(what):
        return what
    return functools.reduce(getattr, what.split("."), importlib.import_module(peer))


def _build(spec: Spec, case: Case, peer: str) -> Run | None:
    arrays = list(case.arrays(np.float32).values())
    attrs = dict(case.attrs)
    if peer == "fastnn":
        import fastnn as fn

        tensors = [x if x is None else fn.tensor(x) for x in arrays]
        return lambda: spec.call(*tensors, **attrs)
    if peer == "numpy":
        f = _library("numpy", spec.numpy)
        return f and (lambda: f(*arrays, **attrs))
    if peer.startswith("torch"):
        import torch

        f = _library("torch", spec.torch)
        if f is None:
            return None
        copies = [x if x is None else torch.from_numpy(np.array(x)) for x in arrays]
        if peer == "torch-channels-last":
            if arrays[0] is None or arrays[0].ndim != 4:
                return None
            copies = [
                x.contiguous(memory_format=torch.channels_last)
                if x is not None and x.ndim == 4
                else x
                for x in copies
            ]
        return lambda: f(*copies, **attrs)
    f = _library("jax", spec.jax)
    if f is None:
        return None
    import jax

    compiled = jax.jit(functools.partial(f, **attrs))
    on_device = [x if x is None else jax.numpy.asarray(x) for x in arrays]
    return lambda: compiled(*on_device).block_until_ready()


def _of_spec(spec: Spec) -> list[Timed]:
    timed = []
    for case in spec.bench:
        arrays = list(case.arrays(np.float32).values())
        attrs = dict(case.attrs)
        flops = spec.flops(*arrays, **attrs) if spec.flops else 0.0
        moved = spec.bytes(*arrays, **attrs) if spec.bytes else 0.0
        build = functools.partial(_build, spec, case)
        timed.append(Timed(f"{spec.name}: {case.name}", float(flops), float(moved), build))
    return timed


def all_cases() -> list[Timed]:
    """Every case, training steps first."""
    specs = [timed for spec in load_specs() for timed in _of_spec(spec)]
    return [Timed(s.name, s.flops, 0.0, s.build) for s in steps.STEPS] + specs
