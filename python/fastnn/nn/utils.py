"""What is done to the gradients of a model between backward() and step(), as in torch.nn.utils."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .. import maximum, no_grad, zeros
from .._C import Tensor
from ._checks import number


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales the gradients, taken as one vector, to a norm of at most max_norm, in place.

    Returns the norm that they had, a tensor of 0 dimensions. norm_type is p of the p-norm, inf for
    the largest size of a number. Works in recorded steps, where `error_if_nonfinite`, which raises
    RuntimeError for a norm that is no finite number, cannot look. Pascanu et al., 2013.
    """
    number("clip_grad_norm_", "max_norm", max_norm, "[0, inf]")
    number("clip_grad_norm_", "norm_type", norm_type, "(0, inf]")
    grads = _grads("clip_grad_norm_", parameters)
    if not grads:
        return zeros()
    with no_grad():
        total = _norm(grads, float(norm_type))
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise RuntimeError(
                f"[clip_grad_norm_] the norm of the gradients is {total.item()}; "
                f"it must be finite with error_if_nonfinite"
            )
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.to(grad.dtype))
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Brings each number of the gradients into [-clip_value, clip_value], in place."""
    number("clip_grad_value_", "clip_value", clip_value, "[0, inf]")
    with no_grad():
        for grad in _grads("clip_grad_value_", parameters):
            grad.copy_(grad.clamp(-clip_value, clip_value))


def _grads(function: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for p in given:
        if not isinstance(p, Tensor):
            raise TypeError(f"[{function}] parameters must be Tensors; got {type(p).__name__}")
    return [p.grad for p in given if p.grad is not None and p.grad.numel() > 0]


def _norm(grads: list[Tensor], p: float) -> Tensor:
    """In the dtype of the first."""
    total: Tensor | None = None
    for grad in grads:
        size = grad.abs()
        part = size.max() if math.isinf(p) else (size * size if p == 2 else size**p).sum()
        part = part.to(grads[0].dtype)
        if total is not None:
            part = maximum(total, part) if math.isinf(p) else total + part
        total = part
    assert total is not None
    if math.isinf(p) or p == 1:
        return total
    return total.sqrt() if p == 2 else total ** (1 / p)
