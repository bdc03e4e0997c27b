"""Convolutions of ten layers, and three depthwise ones: the forward pass and the gradients of input
and of weight.

There is no bias. Channels are last where a library can choose: fastnn keeps activations so, and
JAX is fastest so; PyTorch is timed in both layouts.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.device import on_device
from bench.timed import Run, Timed

KERNELS = ("forward", "input gradient", "weight gradient")


@dataclass(frozen=True)
class Layer:
    name: str
    x: tuple[int, int, int, int]  # (N, C, H, W)
    w: tuple[int, int, int, int]  # (O, C / groups, kh, kw)
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def y(self) -> tuple[int, int, int, int]:  # (N, O, OH, OW)
        oh, ow = (
            (size + 2 * self.padding - kernel) // self.stride + 1
            for size, kernel in zip(self.x[2:], self.w[2:], strict=True)
        )
        return self.x[0], self.w[0], oh, ow

    @property
    def flops(self) -> float:
        """Of any of the three kernels, the zeros of the padding counted."""
        return 2.0 * float(np.prod(self.y)) * float(np.prod(self.w[1:]))

    def __str__(self) -> str:
        x = "x".join(map(str, self.x))
        options = f" stride {self.stride}" * (self.stride > 1) + f" pad {self.padding}" * (
            self.padding > 0
        )
        return f"{self.name} {x} to {self.w[0]}, {self.w[2]}x{self.w[3]}{options}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Input, weight and gradient of the output."""
        rng = np.random.default_rng(0)
        x, w, g = (rng.standard_normal(s, np.float32) for s in (self.x, self.w, self.y))
        return x, w, g


LAYERS = (
    Layer("LeNet 1", (64, 1, 28, 28), (6, 1, 5, 5)),
    Layer("LeNet 2", (64, 6, 12, 12), (16, 6, 5, 5)),
    Layer("B4 1", (64, 1, 28, 28), (20, 1, 5, 5)),
    Layer("B4 2", (64, 20, 12, 12), (40, 20, 5, 5)),
    Layer("CIFAR", (128, 3, 32, 32), (64, 3, 3, 3), padding=1),
    Layer("VGG", (64, 64, 16, 16), (64, 64, 3, 3), padding=1),
    Layer("VGG", (64, 128, 8, 8), (128, 128, 3, 3), padding=1),
    Layer("ResNet", (64, 64, 8, 8), (128, 64, 3, 3), stride=2, padding=1),
    Layer("ResNet", (64, 64, 16, 16), (128, 64, 1, 1)),
    Layer("ImageNet", (8, 3, 64, 64), (32, 3, 7, 7), stride=2, padding=3),
)

DEPTHWISE = (
    Layer("MobileNet", (32, 64, 28, 28), (64, 1, 3, 3), padding=1, groups=64),
    Layer("MobileNet", (64, 128, 14, 14), (128, 1, 3, 3), padding=1, groups=128),
    Layer("MobileNet", (64, 128, 14, 14), (128, 1, 3, 3), stride=2, padding=1, groups=128),
)


def _fastnn(layer: Layer, kernel: str) -> Run:
    fn: Any = importlib.import_module("fastnn")
    x, w, g = (on_device(fn.from_numpy(a)) for a in layer.arrays())
    x, g = (t.contiguous(memory_format=fn.channels_last) for t in (x, g))
    options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    conv = functools.partial(fn.nn.functional.conv2d, **options)
    if kernel == "forward":
        return lambda: conv(x, w)  # no input requires a gradient: nothing is recorded
    wanted = x if kernel == "input gradient" else w
    wanted.requires_grad = True
    y = conv(x, w)

    def backward() -> None:
        wanted.grad = None
        y.backward(g, retain_graph=True)

    return backward


def _torch(layer: Layer, kernel: str, channels_last: bool) -> Run:
    torch: Any = importlib.import_module("torch")
    x, w, g = (on_device(torch.from_numpy(a)) for a in layer.arrays())
    if channels_last:
        x, w, g = (t.contiguous(memory_format=torch.channels_last) for t in (x, w, g))
    stride, padding = [layer.stride] * 2, [layer.padding] * 2
    if kernel == "forward":
        return lambda: torch.nn.functional.conv2d(x, w, None, stride, padding, 1, layer.groups)
    mask = [kernel == "input gradient", kernel == "weight gradient", False]
    backward = torch.ops.aten.convolution_backward
    rest = (None, stride, padding, [1, 1], False, [0, 0], layer.groups, mask)
    return lambda: backward(g, x, w, *rest)


def _jax(layer: Layer, kernel: str) -> Run:
    jax: Any = importlib.import_module("jax")
    x, w, g = layer.arrays()
    x, w, g = x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0), g.transpose(0, 2, 3, 1)
    x, w, g = (jax.numpy.asarray(a) for a in (x, w, g))

    def conv(x: Any, w: Any) -> Any:
        border = [(layer.padding, layer.padding)] * 2
        kinds = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x,
            w,
            [layer.stride] * 2,
            border,
            dimension_numbers=kinds,
            feature_group_count=layer.groups,
        )

    def gradient(of: int) -> Any:
        return jax.jit(lambda x, w, g: jax.vjp(conv, x, w)[1](g)[of])

    if kernel == "forward":
        forward = jax.jit(conv)
        return lambda: forward(x, w).block_until_ready()
    backward = gradient(0 if kernel == "input gradient" else 1)
    return lambda: backward(x, w, g).block_until_ready()


def _build(layer: Layer, kernel: str, peer: str) -> Run | None:
    if peer == "fastnn":
        return _fastnn(layer, kernel)
    if peer in ("torch", "torch-channels-last"):
        return _torch(layer, kernel, peer == "torch-channels-last")
    return _jax(layer, kernel) if peer == "jax" else None


def _case(layer: Layer, kernel: str) -> Timed:
    group = f"{'depthwise ' * (layer.groups > 1)}conv2d {kernel}"
    build = functools.partial(_build, layer, kernel)
    return Timed(f"{group}: {layer}", group, lambda: (layer.flops, 0.0), build)


CASES = [
    _case(layer, kernel) for layers in (LAYERS, DEPTHWISE) for kernel in KERNELS for layer in layers
]
