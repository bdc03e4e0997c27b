"""One step of every optimizer, over one large tensor and over the parameters of networks."""

from __future__ import annotations

import functools
import importlib
import time
from typing import Any

import numpy as np

from bench.device import on_device
from bench.peers import library
from bench.timed import Run, Timed

Shapes = tuple[tuple[int, ...], ...]

PARAMETERS: dict[str, Shapes] = {
    "1 million": ((1 << 20,),),
    "64 MB": ((1 << 24,),),
    "784-128-10": ((128, 784), (128,), (10, 128), (10,)),
    "conv 20-40, dense 100": (
        *((20, 1, 5, 5), (20,), (40, 20, 5, 5), (40,)),
        *((100, 640), (100,), (10, 100), (10,)),
    ),
}
# Options, and how many numbers a parameter and step are read and written: p, g, the state.
OPTIMIZERS: dict[str, tuple[str, dict[str, Any], int]] = {
    "SGD": ("SGD", {"lr": 1e-3}, 3),
    "SGD with momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}, 5),
    "Adam": ("Adam", {}, 7),
    "AdamW": ("AdamW", {}, 7),
    "RMSprop": ("RMSprop", {}, 5),
    "Adagrad": ("Adagrad", {}, 5),
    "Adadelta": ("Adadelta", {}, 7),
}


def _made(lib: Any, optim: Any, optimizer: str, shapes: Shapes, **how: bool) -> Run:
    name, options, _ = OPTIMIZERS[optimizer]
    rng = np.random.default_rng(0)
    params = []
    for shape in shapes:
        p = on_device(lib.tensor(rng.standard_normal(shape, np.float32)))
        p.requires_grad = True
        p.grad = on_device(lib.tensor(rng.standard_normal(shape, np.float32)))
        params.append(p)
    step: Run = getattr(optim, name)(params, **options, **how).step
    return step


def _build(optimizer: str, shapes: Shapes, peer: str) -> Run | None:
    if peer not in ("fastnn", "torch"):
        return None
    lib: Any = importlib.import_module(library(peer))
    optim: Any = importlib.import_module(f"{peer}.optim")
    if peer == "fastnn":
        return _made(lib, optim, optimizer, shapes)
    steps = []
    for how in ("foreach", "fused"):  # PyTorch's two ways: the faster one here is the rival
        try:
            step = _made(lib, optim, optimizer, shapes, **{how: True})
            step()
        except (TypeError, RuntimeError):  # not every optimizer has both
            continue
        steps.append((min(_seconds(step) for _ in range(5)), step))
    return min(steps, key=lambda timed: timed[0])[1]


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _work(optimizer: str, shapes: Shapes) -> tuple[float, float]:
    return 0.0, 4.0 * OPTIMIZERS[optimizer][2] * sum(int(np.prod(s)) for s in shapes)


CASES = [
    Timed(
        f"{optimizer} step: {name}",
        "optimizer",
        functools.partial(_work, optimizer, shapes),
        functools.partial(_build, optimizer, shapes),
    )
    for optimizer in OPTIMIZERS
    for name, shapes in PARAMETERS.items()
]
