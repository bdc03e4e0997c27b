"""Dense layers, and layers that only reshape."""

from __future__ import annotations

import math
from typing import Any

from .._C import Tensor, empty
from . import functional as F
from . import init
from ._checks import as_tensor, cast_like, integer
from .module import Module
from .parameter import Parameter


class Linear(Module):
    """y = x W^T + b for x of shape (..., in_features); W is (out_features, in_features).

    Weights and bias start uniform in +-1/sqrt(in_features), as in PyTorch. NumPy arrays, integer
    and float64 inputs are cast to the dtype of the weights.
    """

    weight: Parameter  # (out_features, in_features)
    bias: Parameter | None  # (out_features)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features)
        self.out_features = integer("Linear", "out_features", out_features)
        shape = (self.out_features, self.in_features)
        # Output features side by side in memory, as the kernel reads them.
        self.weight = Parameter(empty(shape[::-1], dtype=dtype, device=device).T)
        start = Parameter(empty(shape[:1], dtype=dtype, device=device)) if bias else None
        self.register_parameter("bias", start)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new start values."""
        init.linear_start_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        try:
            return F.linear(input, self.weight, self.bias)
        except TypeError:  # another dtype; the operation checks that, so it is not checked twice
            input = cast_like("Linear", input, self.weight)
        return F.linear(input, self.weight, self.bias)

    def _flops(self, output: Tensor) -> int:
        outputs: int = math.prod(output.shape)
        return 2 * self.in_features * outputs

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Identity(Module):
    """y = x; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Axes start_dim..end_dim made one: (N, C, H, W) becomes (N, C*H*W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = integer("Flatten", "start_dim", start_dim, -(1 << 31))
        self.end_dim = integer("Flatten", "end_dim", end_dim, -(1 << 31))

    def forward(self, input: Tensor) -> Tensor:
        return as_tensor("Flatten", input).flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
