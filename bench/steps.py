"""Whole training steps - forward, loss, backward, optimizer - of the networks people train.

fastnn and PyTorch run the same code with other imports; NumPy's is written by hand, as one
would without a library; JAX's is compiled.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Run = Callable[[], Any]
BATCHES = 8  # different data each time, so that nothing trains to a standstill


@dataclass(frozen=True)
class Step:
    name: str
    flops: float  # multiplications and additions of the matrix products
    build: Callable[[str], Run | None]


def _batches(batch: int, shape: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        (rng.random((batch, *shape), np.float32), rng.integers(0, 10, batch))
        for _ in range(BATCHES)
    ]


def _in_turn(step: Callable[[Any, Any], Any], data: list[tuple[Any, Any]]) -> Run:
    turn = 0

    def run() -> Any:
        nonlocal turn
        turn = (turn + 1) % len(data)
        return step(*data[turn])

    return run


def _layers(nn: Any, kind: str, hidden: int) -> Any:
    if kind == "mlp":
        return nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 40, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(640, hidden), nn.ReLU(), nn.Linear(hidden, 10)),
    )


def _like_pytorch(library: str, kind: str, hidden: int, batch: int, channels_last: bool) -> Run:
    lib = importlib.import_module(library)
    nn, optim = lib.nn, importlib.import_module(f"{library}.optim")
    model = _layers(nn, kind, hidden)
    shape = (784,) if kind == "mlp" else (1, 28, 28)
    data = [(lib.from_numpy(x), lib.from_numpy(y)) for x, y in _batches(batch, shape)]
    if channels_last:
        model = model.to(memory_format=lib.channels_last)
        data = [(x.to(memory_format=lib.channels_last), y) for x, y in data]
    loss_fn, opt = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return _in_turn(step, data)


def _numpy_mlp(hidden: int, batch: int) -> Run:
    rng = np.random.default_rng(1)
    w1 = rng.standard_normal((784, hidden), np.float32) / np.float32(28)
    w2 = rng.standard_normal((hidden, 10), np.float32) / np.float32(hidden**0.5)
    b1, b2 = np.zeros(hidden, np.float32), np.zeros(10, np.float32)
    lr, rows = np.float32(0.01), np.arange(batch)

    def step(x: np.ndarray, y: np.ndarray) -> None:
        h = np.maximum(x @ w1 + b1, 0)
        z = h @ w2 + b2
        z -= z.max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        p[rows, y] -= 1
        p /= np.float32(batch)
        dh = p @ w2.T
        dh[h <= 0] = 0
        for w, dw in ((w2, h.T @ p), (b2, p.sum(0)), (w1, x.T @ dh), (b1, dh.sum(0))):
            w -= lr * dw

    return _in_turn(step, _batches(batch, (784,)))


def _jax_mlp(hidden: int, batch: int) -> Run:
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(1)
    params = [
        jnp.asarray(rng.standard_normal((784, hidden), np.float32) / 28),
        jnp.zeros(hidden),
        jnp.asarray(rng.standard_normal((hidden, 10), np.float32) / hidden**0.5),
        jnp.zeros(10),
    ]

    def loss_fn(p: list[Any], x: Any, y: Any) -> Any:
        logits = jnp.maximum(x @ p[0] + p[1], 0) @ p[2] + p[3]
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(batch), y])

    @jax.jit
    def update(p: list[Any], x: Any, y: Any) -> list[Any]:
        return [w - 0.01 * g for w, g in zip(p, jax.grad(loss_fn)(p, x, y), strict=True)]

    def step(x: Any, y: Any) -> None:
        nonlocal params
        params = update(params, x, y)
        params[0].block_until_ready()

    return _in_turn(step, [(jnp.asarray(x), jnp.asarray(y)) for x, y in _batches(batch, (784,))])


def _build(kind: str, hidden: int, batch: int, peer: str) -> Run | None:
    if peer == "fastnn" or peer == "torch":
        return _like_pytorch(peer, kind, hidden, batch, False)
    if peer == "torch-channels-last":
        return _like_pytorch("torch", kind, hidden, batch, True) if kind == "conv" else None
    if kind == "mlp":
        return _numpy_mlp(hidden, batch) if peer == "numpy" else _jax_mlp(hidden, batch)
    return None


def _step(kind: str, hidden: int, batch: int) -> Step:
    if kind == "mlp":  # the first layer needs no gradient of its input
        name = f"step 784-{hidden}-10, batch {batch}"
        products = 2 * 784 * hidden + 3 * hidden * 10
    else:
        name = f"step conv 20-40, dense {hidden}, batch {batch}"
        first, second = 24 * 24 * 25 * 20, 8 * 8 * 500 * 40
        products = 2 * first + 3 * second + 3 * (640 * hidden + hidden * 10)
    return Step(name, 2.0 * batch * products, functools.partial(_build, kind, hidden, batch))


STEPS = [
    *(_step("mlp", 128, batch) for batch in (10, 64, 256)),
    _step("mlp", 100, 32),
    *(_step("conv", 100, batch) for batch in (64, 10)),
]
