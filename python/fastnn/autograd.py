"""Turning the tape off and on, and checking gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from fastnn import _C
from fastnn._C import Tensor

F = TypeVar("F", bound=Callable[..., Any])


class _GradMode:
    """A context manager and a decorator that sets whether operations are put on the tape."""

    enabled: bool

    def __enter__(self) -> None:
        self._before: list[bool] = [*getattr(self, "_before", []), _C.is_grad_enabled()]
        _C.set_grad_enabled(self.enabled)

    def __exit__(self, *exc: object) -> None:
        _C.set_grad_enabled(self._before.pop())

    def __call__(self, f: F) -> F:
        @functools.wraps(f)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return f(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Nothing inside is put on the tape: `with no_grad(): ...` or `@no_grad()`."""

    enabled = False


class enable_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Operations inside are put on the tape again, within a no_grad()."""

    enabled = True


def gradcheck(
    f: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Tensor | Sequence[Tensor],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    seed: int = 0,
    raise_exception: bool = True,
) -> bool:
    """Compares the gradients of `f(*inputs)` with central finite differences.

    The outputs are weighted by a random cotangent, so that a backward function that is wrong
    but sums to the right value does not pass; NaN never passes.

    Args:
        f: a function of the inputs that returns a tensor or several; deterministic.
        inputs: float64 tensors; the ones with requires_grad are checked.
        eps: step of the differences.
        atol, rtol: |analytic - numeric| <= atol + rtol * |numeric|, element by element.
        raise_exception: raise a ValueError that names the worst element, or return False.

    Raises:
        TypeError: an input that requires a gradient is not float64.
        ValueError: no input requires a gradient, or a gradient is wrong.
    """
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, t in enumerate(tensors) if isinstance(t, Tensor) and t.requires_grad]
    if not checked:
        raise ValueError("[gradcheck] at least one input must require a gradient")
    for i in checked:
        if tensors[i].dtype is not _C.float64:
            raise TypeError(f"[gradcheck] input {i} must be float64; got {tensors[i].dtype}")
    rng = np.random.default_rng(seed)

    def outputs() -> list[Tensor]:
        out = f(*tensors)
        return [o for o in ([out] if isinstance(out, Tensor) else out) if o.dtype is _C.float64]

    before = [tensors[i].grad for i in checked]
    results = outputs()
    if not any(o.requires_grad for o in results):
        raise ValueError("[gradcheck] f must return a float64 tensor that depends on the inputs")
    cotangents = [rng.uniform(-1, 1, o.shape) for o in results]
    try:
        for i in checked:
            tensors[i].grad = None
        total = sum(
            (
                (o * _C.tensor(c, device=o.device)).sum()
                for o, c in zip(results, cotangents, strict=True)
            ),
            _C.zeros((), device=results[0].device),
        )
        total.backward()
        grads = [tensors[i].grad for i in checked]
    finally:
        for i, g in zip(checked, before, strict=True):
            tensors[i].grad = g

    def put(i: int, x: np.ndarray) -> None:
        if tensors[i].is_cuda:  # on the CPU x is the tensor's own memory
            tensors[i].detach().copy_(_C.from_numpy(x))

    def weighted(i: int, x: np.ndarray) -> float:
        put(i, x)
        with no_grad():
            values = [o.detach().cpu().numpy() for o in outputs()]
        return float(sum((v * c).sum() for v, c in zip(values, cotangents, strict=True)))

    def difference(i: int, x: np.ndarray, at: tuple[int, ...]) -> float:
        kept = x[at]
        try:
            x[at] = kept + eps
            up = weighted(i, x)
            x[at] = kept - eps
            return (up - weighted(i, x)) / (2 * eps)
        finally:
            x[at] = kept
            put(i, x)

    for i, grad in zip(checked, grads, strict=True):
        x = tensors[i].detach().cpu().numpy()
        analytic = np.zeros(x.shape) if grad is None else grad.cpu().numpy()
        for at in np.ndindex(*x.shape):
            numeric = difference(i, x, at)
            if not abs(analytic[at] - numeric) <= atol + rtol * abs(numeric):
                if not raise_exception:
                    return False
                raise ValueError(
                    f"[gradcheck] input {i} at {at}: gradient {analytic[at]!r}, "
                    f"finite differences {numeric!r}"
                )
    return True
