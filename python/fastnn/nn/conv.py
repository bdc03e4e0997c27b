"""Convolution layers (cross-correlation: the kernel is not flipped)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._C import Tensor, empty
from . import functional as F
from . import init
from ._checks import cast_like, integer, integers, one_of
from .module import Module
from .parameter import Parameter

Size = int | Sequence[int]


class _Conv(Module):
    _spatial: int  # how many axes the kernel has

    weight: Parameter  # (out_channels, in_channels / groups, *kernel_size)
    bias: Parameter | None  # (out_channels)
    padding: str | tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        layer, axes = type(self).__name__, self._spatial
        self.in_channels = integer(layer, "in_channels", in_channels)
        self.out_channels = integer(layer, "out_channels", out_channels)
        self.groups = integer(layer, "groups", groups)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"[{layer}] {name} must be divisible by groups; "
                    f"got {getattr(self, name)} and groups {groups}"
                )
        self.kernel_size = integers(layer, "kernel_size", kernel_size, axes)
        self.stride = integers(layer, "stride", stride, axes)
        self.dilation = integers(layer, "dilation", dilation, axes)
        self.padding_mode = one_of(layer, "padding_mode", padding_mode, ("zeros",))
        if isinstance(padding, str):
            self.padding = one_of(layer, "padding", padding, ("same", "valid"))
            if padding == "same" and max(self.stride) > 1:
                raise ValueError(
                    f"[{layer}] padding 'same' must have stride 1; got stride {self.stride}"
                )
        else:
            self.padding = integers(layer, "padding", padding, axes, 0)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        # Output channels side by side in memory, as the kernel reads them.
        weight = empty(shape[::-1], dtype=dtype, device=device)
        self.weight = Parameter(weight.permute(*range(axes + 1, -1, -1)))
        start = Parameter(empty(shape[:1], dtype=dtype, device=device)) if bias else None
        self.register_parameter("bias", start)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new start values: uniform in +-1/sqrt(fan_in), as in PyTorch."""
        init.linear_start_(self.weight, self.bias)

    def _flops(self, output: Tensor) -> int:
        fan_in = self.in_channels // self.groups * math.prod(self.kernel_size)
        outputs: int = math.prod(output.shape)
        return 2 * fan_in * outputs

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        parts.append(f"stride={self.stride}")
        for name, default in (("padding", 0), ("dilation", 1)):
            if getattr(self, name) != (default,) * self._spatial:
                parts.append(f"{name}={getattr(self, name)}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class Conv1d(_Conv):
    """(N, in_channels, L) to (N, out_channels, L'): a sum over channels and a window, plus bias.

    L' = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1. `padding` may also be
    "same" (stride 1 only) or "valid".
    """

    _spatial = 1

    def forward(self, input: Tensor) -> Tensor:
        options = (self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        try:
            return F.conv1d(input, *options)
        except TypeError:  # another dtype; the operation checks that, so it is not checked twice
            input = cast_like("Conv1d", input, self.weight)
        return F.conv1d(input, *options)


class Conv2d(_Conv):
    """(N, in_channels, H, W) to (N, out_channels, H', W'): a sum over channels and a window.

    H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, and W' likewise. The
    weight is (out_channels, in_channels / groups, kh, kw), with one bias for each output channel.
    `padding` may also be "same" (stride 1 only) or "valid".
    """

    _spatial = 2

    def forward(self, input: Tensor) -> Tensor:
        options = (self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        try:
            return F.conv2d(input, *options)
        except TypeError:  # another dtype; the operation checks that, so it is not checked twice
            input = cast_like("Conv2d", input, self.weight)
        return F.conv2d(input, *options)
