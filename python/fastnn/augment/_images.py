"""The check that every transform of images begins with."""

from __future__ import annotations

from typing import Any

from .. import Tensor, float32, float64, is_grad_enabled
from ..nn._checks import as_tensor


def images(name: str, x: Any) -> Tensor:
    """`x` as a tensor of floating images (N, C, H, W)."""
    tensor = as_tensor(name, x)
    if tensor.dtype not in (float32, float64):
        raise TypeError(f"[{name}] images must be float32 or float64; got {tensor.dtype}")
    if tensor.ndim != 4:
        raise ValueError(f"[{name}] expected images (N, C, H, W); got shape {tensor.shape}")
    if tensor.requires_grad and is_grad_enabled():
        raise TypeError(f"[{name}] images have no gradient here: augment data, or use detach()")
    return tensor
