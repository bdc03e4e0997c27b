"""Batch normalisation (Ioffe and Szegedy 2015)."""

from __future__ import annotations

from typing import Any

from .._C import Tensor, int64, ones, zeros, zeros_like
from . import functional as F
from . import init
from ._checks import cast_like, integer, number
from .module import Module
from .parameter import Parameter


class _BatchNorm(Module):
    _ndims: tuple[int, ...]
    _layout: str

    weight: Parameter | None  # (num_features)
    bias: Parameter | None  # (num_features)
    running_mean: Tensor | None  # (num_features)
    running_var: Tensor | None  # (num_features), of the unbiased variances
    num_batches_tracked: Tensor | None  # ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        self.num_features = integer(layer, "num_features", num_features)
        self.eps = number(layer, "eps", eps, "[0, inf)")
        self.momentum = momentum
        if momentum is not None:
            number(layer, "momentum", momentum, "[0, 1]")
        self.affine = bool(affine)
        self.track_running_stats = bool(track_running_stats)
        shape, kind = (self.num_features,), {"dtype": dtype, "device": device}
        self.register_parameter("weight", Parameter(ones(shape, **kind)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(shape, **kind)) if affine else None)
        track = self.track_running_stats
        self.register_buffer("running_mean", zeros(shape, **kind) if track else None)
        self.register_buffer("running_var", ones(shape, **kind) if track else None)
        count = zeros((), dtype=int64, device=device) if track else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forgets the statistics seen so far."""
        for tensor, value in (
            (self.running_mean, 0.0),
            (self.running_var, 1.0),
            (self.num_batches_tracked, 0),
        ):
            if tensor is not None:
                tensor.fill_(value)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, no statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        weight, mean, count = self.weight, self.running_mean, self.num_batches_tracked
        like = weight if weight is not None else mean
        if type(input) is not Tensor or (like is not None and input.dtype is not like.dtype):
            input = cast_like(type(self).__name__, input, like)
        if input.ndim not in self._ndims:
            raise ValueError(
                f"[{type(self).__name__}] expected input {self._layout}; got {tuple(input.shape)}"
            )
        training = self.training or mean is None
        running = mean, self.running_var
        # Without a momentum the plain average of all batches, of which each is 1 / count.
        averages = self.momentum is None and training and count is not None
        batch = tuple(zeros_like(r) for r in running) if averages else running
        momentum = 1.0 if averages else self.momentum or 0.0
        output = F.batch_norm(input, *batch, weight, self.bias, training, momentum, self.eps)
        if training and count is not None:  # last, so that a refused input changes nothing
            count.add_(1)
            if averages:
                for r, b in zip(running, batch, strict=True):
                    assert r is not None  # where batches are counted
                    r.add_((b - r) / count.to(r.dtype))
        return output

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias per channel, of (N, C) or (N, C, L).

    While training, mean and variance are the batch's, and the running ones move towards them by
    `momentum` (None: their plain average); in evaluation the running ones are used.
    """

    _ndims = (2, 3)
    _layout = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias per channel, of (N, C, H, W).

    While training, mean and variance are the batch's, and the running ones move towards them by
    `momentum` (None: their plain average); in evaluation the running ones are used.
    """

    _ndims = (4,)
    _layout = "(N, C, H, W)"
