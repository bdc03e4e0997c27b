"""Where the arrays of a case lie, and how exact products there are: what `--device` and
`--precision` of `python -m bench` say to its workers."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from bench.peers import DEVICE, PRECISION, library


def device() -> str:
    return os.environ.get(DEVICE, "cpu")


def on_device(tensor: Any) -> Any:
    """A tensor or module of fastnn or PyTorch, there."""
    return tensor if device() == "cpu" else tensor.to(device())


def prepare(peer: str, module: Any) -> None:
    """Sets how exact the library's products and convolutions of float32 are."""
    precision = os.environ.get(PRECISION, "highest")
    if library(peer) not in ("fastnn", "torch"):
        return
    module.set_float32_matmul_precision(precision)
    if library(peer) == "torch":  # whose convolutions have a switch of their own
        module.backends.cudnn.allow_tf32 = precision != "highest"


def synchronizer(peer: str) -> Callable[[], None]:
    """Waits for the GPU, where the work is there."""
    if device() == "cpu":
        return lambda: None
    synchronize: Callable[[], None] = importlib.import_module(library(peer)).cuda.synchronize
    return synchronize
