"""Pooling layers: one number for each window of each channel of (N, C, H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._C import Tensor
from . import functional as F
from ._checks import int_or_pair, integer, integers, number
from .module import Module

Size = int | Sequence[int]


class _Pool(Module):
    """Windows of `kernel_size`, `stride` apart (None: side by side)."""

    _shown: tuple[str, ...]
    stride: int | tuple[int, int] | None

    def __init__(self, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool):
        super().__init__()
        layer = type(self).__name__
        self.kernel_size = int_or_pair(layer, "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else int_or_pair(layer, "stride", stride)
        self.padding = int_or_pair(layer, "padding", padding, 0)
        self.ceil_mode = bool(ceil_mode)
        windows = integers(layer, "kernel_size", kernel_size, 2)
        pads = integers(layer, "padding", padding, 2, 0)
        if any(2 * pad > window for pad, window in zip(pads, windows, strict=True)):
            raise ValueError(
                f"[{layer}] padding must be at most half of kernel_size; "
                f"got {padding} and kernel_size {kernel_size}"
            )

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)


class MaxPool2d(_Pool):
    """The largest value of each window; ties go to the first cell, NaN wins.

    With `return_indices`, also where in the (H, W) plane it was.
    """

    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = int_or_pair("MaxPool2d", "dilation", dilation)
        self.return_indices = bool(return_indices)

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool2d(_Pool):
    """The mean of each window.

    Padded cells count as zeros unless `count_include_pad=False`; `divisor_override` replaces the
    number of cells.
    """

    _shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        self.divisor_override = (
            None
            if divisor_override is None
            else integer("AvgPool2d", "divisor_override", divisor_override)
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class LPPool2d(_Pool):
    """(sum x^p)^(1/p) of each window, p = `norm_type`: 1 is a sum, 2 the L2-pooling of LeNet."""

    _shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, 0, ceil_mode)
        self.norm_type = number("LPPool2d", "norm_type", norm_type, "(0, inf)")
        self.stride = None if stride is None else self.stride  # PyTorch shows and keeps None here

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class AdaptiveAvgPool2d(Module):
    """Means of windows chosen so that the output is `output_size` (None: as the input)."""

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size
        self._pair = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * 2
        if len(self._pair) != 2:
            raise ValueError(
                f"[AdaptiveAvgPool2d] output_size must have 2 values; got {output_size!r}"
            )
        for size in self._pair:
            if size is not None:
                integer("AdaptiveAvgPool2d", "output_size", size)

    def forward(self, input: Tensor) -> Tensor:
        h, w = self._pair
        return F.adaptive_avg_pool2d(input, (h or input.shape[-2], w or input.shape[-1]))

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"
