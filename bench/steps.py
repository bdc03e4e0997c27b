"""Training steps and epochs of the networks people train, as cases to time."""

from __future__ import annotations

import functools
import importlib
import itertools
from typing import Any

import numpy as np

from bench.networks import Net, jax_update, placed, training_step
from bench.peers import library
from bench.timed import Build, Run, Timed

BATCHES = 8  # different data each time, so that nothing trains to a standstill
EXAMPLES = 5000  # of an epoch


def _step(net: Net, peer: str) -> Run | None:
    step = training_step(net, peer)
    if step is None:
        return None
    x, y = (placed(a, peer) for a in net.examples(BATCHES * net.batch))
    cuts = [slice(i * net.batch, (i + 1) * net.batch) for i in range(BATCHES)]
    data = itertools.cycle([(x[cut], y[cut]) for cut in cuts])
    return lambda: step(*next(data))


def _epoch(net: Net, peer: str) -> Run | None:
    """An epoch in a new order: fastnn's and JAX's compiled, the others' a loop in Python."""
    if peer == "fastnn-eager":
        return None
    if peer == "jax":
        return _jax_epoch(net)
    step = training_step(net, peer)
    if step is None:
        return None
    x, y = (placed(a, peer) for a in net.examples(EXAMPLES))
    if peer == "fastnn":
        epochs = itertools.count()
        run_epoch: Any = step.run_epoch  # type: ignore[attr-defined]
        return lambda: run_epoch(x, y, net.batch, seed=(0, next(epochs)))
    rng = np.random.default_rng(0)
    torch: Any = importlib.import_module("torch") if library(peer) == "torch" else None

    def epoch() -> None:
        order = torch.randperm(len(x), device=x.device) if torch else rng.permutation(len(x))
        for start in range(0, len(x), net.batch):
            batch = order[start : start + net.batch]
            step(x[batch], y[batch])

    return epoch


def _jax_epoch(net: Net) -> Run:
    jax: Any = importlib.import_module("jax")
    params, update = jax_update(net)
    x, y = (placed(a, "jax") for a in net.examples(EXAMPLES))
    rng = np.random.default_rng(0)

    def steps(params: list[Any], x: Any, y: Any, order: Any) -> Any:
        return jax.lax.scan(lambda p, i: (update(p, x[i], y[i]), None), params, order)[0]

    compiled = jax.jit(steps)

    def epoch() -> None:
        nonlocal params
        params = compiled(params, x, y, rng.permutation(len(x)).reshape(-1, net.batch))
        params[0].block_until_ready()

    return epoch


_A3 = Net(30, 10, "Sigmoid")  # A3 and B4 are names of experiments: the digits of a course
_B4 = [Net(100, batch, convolutional=True) for batch in (64, 10)]
_NETS = [*(Net(128, batch) for batch in (10, 64, 256)), Net(100, 32), _A3, *_B4]


def _case(kind: str, net: Net, flops: float, build: Build) -> Timed:
    return Timed(f"{kind} {net.name}", kind, lambda: (flops, 0.0), build)


CASES = [
    *[_case("step", net, net.flops, functools.partial(_step, net)) for net in _NETS],
    _case("epoch", _A3, EXAMPLES / _A3.batch * _A3.flops, functools.partial(_epoch, _A3)),
]
