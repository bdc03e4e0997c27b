"""Networks and one training step of each - forward, loss, backward, optimizer - in every library.

fastnn and PyTorch run the same code with other imports; NumPy's is written by hand, as one
would without a library; JAX's is compiled.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.device import on_device
from bench.peers import library

Step = Callable[[Any, Any], Any]
RATE = 0.01  # of SGD


@dataclass(frozen=True)
class Net:
    """784-hidden-10, or convolutions of 20 and 40 maps and a dense layer of `hidden`."""

    hidden: int
    batch: int
    activation: str = "ReLU"
    convolutional: bool = False

    @property
    def name(self) -> str:
        kind = f"conv 20-40, dense {self.hidden}" if self.convolutional else f"784-{self.hidden}-10"
        return f"{kind}, batch {self.batch}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return (1, 28, 28) if self.convolutional else (784,)

    @property
    def flops(self) -> float:
        """Of one step's matrix products; the first layer needs no gradient of its input."""
        if not self.convolutional:
            return 2.0 * self.batch * (2 * 784 * self.hidden + 3 * self.hidden * 10)
        first, second = 24 * 24 * 25 * 20, 8 * 8 * 500 * 40
        dense = 640 * self.hidden + self.hidden * 10
        return 2.0 * self.batch * (2 * first + 3 * second + 3 * dense)

    def examples(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        return rng.random((count, *self.shape), np.float32), rng.integers(0, 10, count)


def layers(nn: Any, net: Net) -> Any:
    act = getattr(nn, net.activation)
    if not net.convolutional:
        return nn.Sequential(nn.Linear(784, net.hidden), act(), nn.Linear(net.hidden, 10))
    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 40, 5), act(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(640, net.hidden), act(), nn.Linear(net.hidden, 10)),
    )


def _like_pytorch(net: Net, peer: str) -> Step:
    lib: Any = importlib.import_module(library(peer))
    optim: Any = importlib.import_module(f"{library(peer)}.optim")
    model = on_device(layers(lib.nn, net))
    if peer == "torch-channels-last":
        model = model.to(memory_format=lib.channels_last)
    loss_fn, opt = lib.nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=RATE)

    def step(x: Any, y: Any) -> Any:
        loss = loss_fn(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    made: Step = step
    if peer == "fastnn":
        made = lib.compile(step)
    elif peer == "torch-graph":
        made = _graphed(lib, step)
    elif peer == "torch-compile":
        lib.compiler.reset()  # each case is compiled for its own shapes
        made = lib.compile(step, dynamic=False)
    return made


def _graphed(torch: Any, step: Step) -> Step:
    """The step as a CUDA graph, captured at its first call after three ahead of it, as PyTorch's
    notes ask for: later calls copy their batch to where it was and replay."""
    graph = held = None

    def replay(x: Any, y: Any) -> Any:
        nonlocal graph, held
        if graph is None:
            held = x.clone(), y.clone()
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    step(*held)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step(*held)
        for kept, given in zip(held, (x, y), strict=True):
            kept.copy_(given)
        return graph.replay()

    return replay


def _numpy(net: Net) -> Step:
    rng = np.random.default_rng(1)
    w1 = rng.standard_normal((784, net.hidden), np.float32) / np.float32(28)
    w2 = rng.standard_normal((net.hidden, 10), np.float32) / np.float32(net.hidden**0.5)
    b1, b2 = np.zeros(net.hidden, np.float32), np.zeros(10, np.float32)
    lr, rows = np.float32(RATE), np.arange(net.batch)

    def step(x: np.ndarray, y: np.ndarray) -> None:
        h = x @ w1 + b1
        h = np.maximum(h, 0) if net.activation == "ReLU" else 1 / (1 + np.exp(-h))
        z = h @ w2 + b2
        z -= z.max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        p[rows, y] -= 1
        p /= np.float32(len(x))
        dh = p @ w2.T
        if net.activation == "ReLU":
            dh[h <= 0] = 0
        else:
            dh *= h * (1 - h)
        for w, dw in ((w2, h.T @ p), (b2, p.sum(0)), (w1, x.T @ dh), (b1, dh.sum(0))):
            w -= lr * dw

    return step


def jax_update(net: Net) -> tuple[list[Any], Callable[[list[Any], Any, Any], list[Any]]]:
    """Parameters, and the function of (parameters, x, y) that returns better ones."""
    jax: Any = importlib.import_module("jax")
    jnp, lax = jax.numpy, jax.lax
    act = jax.nn.relu if net.activation == "ReLU" else jax.nn.sigmoid
    dense = [(640 if net.convolutional else 784, net.hidden), (net.hidden, 10)]
    maps = [(5, 5, 1, 20), (5, 5, 20, 40)] if net.convolutional else []  # (kh, kw, C, O)
    rng = np.random.default_rng(1)
    params = []
    for shape in (*maps, *dense):
        scale = float(np.prod(shape[:-1])) ** -0.5
        params += [scale * rng.standard_normal(shape, np.float32), np.zeros(shape[-1], np.float32)]

    def conv(x: Any, w: Any) -> Any:
        kinds = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=kinds)

    def loss_fn(p: list[Any], x: Any, y: Any) -> Any:
        if net.convolutional:
            x = x.reshape(len(x), 28, 28, 1)
            for w, b in (p[:2], p[2:4]):
                window = (1, 2, 2, 1)
                x = lax.reduce_window(
                    act(conv(x, w) + b), -jnp.inf, lax.max, window, window, "VALID"
                )
            x = x.reshape(len(x), -1)
        logits = act(x @ p[-4] + p[-3]) @ p[-2] + p[-1]
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(x)), y])

    def update(p: list[Any], x: Any, y: Any) -> list[Any]:
        return [w - RATE * g for w, g in zip(p, jax.grad(loss_fn)(p, x, y), strict=True)]

    return [jnp.asarray(p) for p in params], update


def _jax(net: Net) -> Step:
    jax: Any = importlib.import_module("jax")
    params, update = jax_update(net)
    compiled = jax.jit(update)

    def step(x: Any, y: Any) -> None:
        nonlocal params
        params = compiled(params, x, y)
        params[0].block_until_ready()

    return step


def training_step(net: Net, peer: str) -> Step | None:
    """step(x, y), which trains the network; None where the peer has none."""
    if library(peer) in ("fastnn", "torch"):
        useless = peer == "torch-channels-last" and not net.convolutional
        return None if useless else _like_pytorch(net, peer)
    if library(peer) == "jax":
        return _jax(net)
    return None if net.convolutional else _numpy(net)


def placed(array: np.ndarray, peer: str) -> Any:
    """The array as the peer's library wants it."""
    if library(peer) == "numpy":
        return array
    lib: Any = importlib.import_module(library(peer))
    if library(peer) == "jax":
        return lib.numpy.asarray(array)
    tensor = on_device(lib.from_numpy(array))
    if peer == "torch-channels-last" and tensor.ndim == 4:
        tensor = tensor.to(memory_format=lib.channels_last)
    return tensor
