"""What is timed: training steps, products, convolutions and the bench cases of every spec.py."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import augment, convolutions, optimizers, products, steps
from bench.device import on_device
from bench.peers import library
from bench.timed import Run, Timed
from fastnn.testing import Case, Spec, load_specs

CHANNELS_LAST = ("fastnn", "torch-channels-last")  # who is given images so


def _in(peer: str, what: str | Callable[..., Any] | None) -> Callable[..., Any] | None:
    """The operation in the peer's library."""
    if what is None or callable(what):
        return what
    lib: Any = importlib.import_module(library(peer))
    found: Callable[..., Any] = functools.reduce(getattr, what.split("."), lib)
    return found


def _inputs(spec: Spec, case: Case, peer: str) -> list[Any]:
    """The arrays as the peer's library wants them; images channels-last where that is its way."""
    arrays = list(case.arrays(np.float32).values())
    if library(peer) == "numpy":
        return arrays
    lib: Any = importlib.import_module(library(peer))

    def make(array: Any) -> Any:
        return lib.numpy.asarray(array) if peer == "jax" else on_device(lib.tensor(array))

    last = {"memory_format": lib.channels_last} if peer in CHANNELS_LAST else None
    return [
        x if x is None else make(x).contiguous(**last) if last and x.ndim == 4 else make(x)
        for x in arrays
    ]


def _first(case: Case) -> Any:
    return next(iter(case.arrays().values()))


def _operation(spec: Spec, case: Case, peer: str) -> Callable[..., Any] | None:
    """The first result of the operation in the peer's library, as a function of its inputs."""
    if peer in ("fastnn-eager", "torch-compile", "torch-graph"):  # for training steps
        return None
    if peer == "torch-channels-last" and np.ndim(_first(case)) != 4:
        return None
    ours = spec.op or f"_C.{spec.name}"
    names = {"fastnn": ours, "numpy": spec.numpy, "torch": spec.torch, "jax": spec.jax}
    f = _in(peer, names[library(peer)])
    return f and functools.partial(f, **case.attrs)


def _forward(spec: Spec, case: Case, peer: str) -> Run | None:
    f = _operation(spec, case, peer)
    if f is None:
        return None
    inputs = _inputs(spec, case, peer)
    if peer == "jax":
        compiled = importlib.import_module("jax").jit(f)
        return lambda: compiled(*inputs).block_until_ready()
    return lambda: f(*inputs)


def _with_gradient(spec: Spec, case: Case, peer: str) -> Run | None:
    """Forward and backward, from a gradient of the result to those of the inputs."""
    f = _operation(spec, case, peer)
    if f is None or peer == "numpy":
        return None
    inputs = _inputs(spec, case, peer)
    wanted = [i for i, name in enumerate(case.inputs) if name in spec.grad]
    if peer == "jax":
        return _jax_gradient(f, inputs, wanted)
    lib: Any = importlib.import_module(library(peer))
    leaves = [inputs[i] for i in wanted if inputs[i] is not None]

    def result() -> Any:
        y = f(*inputs)
        return y[0] if isinstance(y, (tuple, list)) else y

    y = result()
    g = on_device(lib.tensor(np.random.default_rng(0).standard_normal(tuple(y.shape), np.float32)))
    if peer in CHANNELS_LAST and g.ndim == 4:
        g = g.contiguous(memory_format=lib.channels_last)
    for leaf in leaves:
        leaf.requires_grad = True

    def train() -> None:
        for leaf in leaves:
            leaf.grad = None
        result().backward(g)

    return train


def _jax_gradient(f: Callable[..., Any], inputs: list[Any], wanted: list[int]) -> Run:
    jax: Any = importlib.import_module("jax")

    def train(*leaves: Any) -> Any:
        def of_leaves(*xs: Any) -> Any:
            given = dict(zip(wanted, xs, strict=True))
            return f(*[given.get(i, x) for i, x in enumerate(inputs)])

        y, back = jax.vjp(of_leaves, *leaves)
        return y, back(jax.numpy.ones_like(y))

    compiled = jax.jit(train)
    leaves = [inputs[i] for i in wanted]
    return lambda: jax.block_until_ready(compiled(*leaves))


def _work(spec: Spec, case: Case) -> tuple[float, float]:
    arrays, attrs = case.arrays(np.float32).values(), case.attrs
    flops = float(spec.flops(*arrays, **attrs)) if spec.flops else 0.0
    return flops, float(spec.bytes(*arrays, **attrs)) if spec.bytes else 0.0


def _grad_work(spec: Spec, case: Case) -> tuple[float, float]:
    bytes = spec.grad_bytes and spec.grad_bytes(*case.arrays(np.float32).values(), **case.attrs)
    return 0.0, float(bytes or 0)


def _of_spec(spec: Spec) -> list[Timed]:
    kinds: list[tuple[str, Any, Any]] = [("", _work, _forward)]
    if spec.grad and spec.torch:
        kinds.append((" and gradient", _grad_work, _with_gradient))
    return [
        Timed(
            f"{spec.name}{kind}: {case.name}",
            spec.folder or spec.name,
            functools.partial(work, spec, case),
            functools.partial(build, spec, case),
        )
        for kind, work, build in kinds
        for case in spec.bench
    ]


def _in_order(timed: Timed) -> tuple[str, str, list[int]]:
    operation, _, sizes = timed.name.partition(":")
    return timed.group, operation, [int(number) for number in re.findall(r"\d+", sizes)]


def all_cases() -> list[Timed]:
    """Every case, training steps first."""
    specs = [*load_specs(), *products.SPECS]
    operations = [timed for spec in specs for timed in _of_spec(spec)]
    return [
        *steps.CASES,
        *convolutions.CASES,
        *optimizers.CASES,
        *augment.CASES,
        *sorted(operations, key=_in_order),
    ]
