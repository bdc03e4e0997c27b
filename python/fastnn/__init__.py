"""fastnn: dense and convolutional networks from hand-written kernels, with PyTorch's names."""

from typing import Any

from fastnn import _C
from fastnn._C import (
    Tensor,
    abs,
    add,
    arange,
    argmax,
    argmin,
    bool,
    channels_last,
    clamp,
    clip,
    contiguous_format,
    cos,
    div,
    dtype,
    empty,
    eq,
    exp,
    flatten,
    float32,
    float64,
    from_dlpack,
    from_numpy,
    full,
    ge,
    get_num_threads,
    gt,
    index_select,
    initial_seed,
    int32,
    int64,
    is_grad_enabled,
    le,
    log,
    lt,
    manual_seed,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    ne,
    neg,
    ones,
    ones_like,
    pow,
    rand,
    randn,
    relu,
    reshape,
    set_num_threads,
    sigmoid,
    sin,
    softmax,
    sqrt,
    squeeze,
    sub,
    sum,
    tanh,
    tensor,
    transpose,
    uint8,
    unsqueeze,
    zeros,
    zeros_like,
)
from fastnn.autograd import enable_grad, gradcheck, no_grad
from fastnn.config import show_config
from fastnn._tensor import device

from fastnn import nn, optim  # isort: skip - they use what stands above

__version__ = _C.config()["version"]


def __getattr__(name: str) -> Any:
    # What only some programs use is imported when they use it.
    if name in ("data", "io", "testing", "train"):
        import importlib

        return importlib.import_module(f"fastnn.{name}")
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")
