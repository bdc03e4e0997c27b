"""How a refusal is tested: the type of the error, what its message names, nothing changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from devices import place

import fastnn as fn
from fastnn.nn import functional as F

Call = Callable[[Any], Any]
V, T, I, R = ValueError, TypeError, IndexError, RuntimeError  # noqa: E741


def inputs() -> SimpleNamespace:
    """Tensors to call operations with, in some of them a part of a larger memory."""
    rng = np.random.default_rng(0)

    def real(*shape: int) -> fn.Tensor:
        return place(rng.uniform(0.1, 0.9, shape).astype(np.float32))

    frozen = rng.uniform(size=3).astype(np.float32)
    frozen.flags.writeable = False
    return SimpleNamespace(
        x=real(2, 3, 8, 8),  # images
        w=real(4, 3, 3, 3),  # their kernels
        wd=real(4, 3, 3, 3).double(),
        line=real(2, 3, 6),
        wl=real(4, 3, 3),
        a=real(2, 3),
        b=real(4, 3),
        v2=real(2),
        v3=real(3),
        v4=real(4),
        one=fn.tensor(0.5),
        d=real(2, 3).double(),
        i=fn.tensor([[1, 2, 3], [4, 5, 6]]),
        labels=fn.tensor([0, 2]),
        u=fn.tensor([1, 2, 3], dtype=fn.uint8),
        mask=fn.tensor([True, False]),
        none=fn.zeros(0, 3),
        nan=fn.tensor([1.0, math.nan]),
        p=fn.tensor([1.0, 2.0, 3.0], requires_grad=True),
        t=real(3, 2).T,
        frozen=place(frozen),
        mean=real(3),
        var=real(3),
    )


def bytes_of(t: fn.Tensor) -> bytes:
    return t.detach().cpu().numpy().tobytes()


def bits(tensors: SimpleNamespace) -> dict[str, tuple[Any, ...]]:
    return {
        name: (t.shape, t.stride(), t.dtype, t.data_ptr(), t.requires_grad, t.grad, bytes_of(t))
        for name, t in vars(tensors).items()
    }


def refuses(call: Call, error: type[Exception], op: str, *says: str) -> None:
    """The call raises exactly that error, naming the operation and each of says; no side effect."""
    z = inputs()
    before, seed = bits(z), fn.initial_seed()
    # Ours read "[conv2d] ...", those about the kind of an argument "conv2d(): ...".
    with pytest.raises(Exception, match=rf"\[(?:{op})\]|\b_*(?:{op})_*\(\)") as caught:
        call(z)
    message = str(caught.value)
    assert caught.type is error, f"{caught.type.__name__}: {message}"
    for part in says:
        assert part in message, f"{part!r} is not in {message!r}"
    assert bits(z) == before
    assert fn.initial_seed() == seed


def table(*rows: tuple[str, type[Exception], Any, Call]) -> pytest.MarkDecorator:
    """Rows of (operation, error, what the message names, call)."""
    params = []
    for op, error, says, call in rows:
        parts = (says,) if isinstance(says, str) else says
        params.append(pytest.param(op, error, parts, call, id=f"{op}-{parts[-1]}"))
    return pytest.mark.parametrize(("op", "error", "says", "call"), params)


def bn(z: Any, **arguments: Any) -> fn.Tensor:
    return F.batch_norm(z.a, z.mean, z.var, training=True, **arguments)


def ce(z: Any, **arguments: Any) -> fn.Tensor:
    return F.cross_entropy(z.a, z.labels, **arguments)
