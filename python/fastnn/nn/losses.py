"""Losses. With reduction "mean" (the default) or "sum" the result is a scalar, with "none" it has
the shape of the target.

Targets may be NumPy arrays. Where a target has the shape of the input, it is cast to its dtype.
"""

from __future__ import annotations

from typing import Any

from .._C import Tensor, float32, float64
from . import functional as F
from ._checks import as_tensor, cast_like, number, one_of
from .module import Module


class _Loss(Module):
    def __init__(self, reduction: str) -> None:
        super().__init__()
        name = type(self).__name__
        self.reduction = one_of(name, "reduction", reduction, ("none", "mean", "sum"))

    def _buffer(self, name: str, value: Any) -> None:
        tensor = None if value is None else as_tensor(type(self).__name__, value).detach()
        self.register_buffer(name, tensor)

    def _weights(self, weight: Tensor | None, input: Tensor) -> Tensor | None:
        """Weights in the input's dtype."""
        return None if weight is None else weight.to(input.dtype)

    def _like(self, target: Any, input: Tensor) -> Tensor:
        """The target as a tensor of the input's dtype."""
        if type(target) is type(input) is Tensor and target.dtype is input.dtype:
            return target
        name = type(self).__name__
        return cast_like(name, target, as_tensor(name, input))


class CrossEntropyLoss(_Loss):
    """-log softmax(input)[target], of logits (N, C).

    The target holds class numbers (N) or probabilities (N, C); `weight` (C) weighs the classes,
    examples of class `ignore_index` do not count, and `label_smoothing` mixes every target with
    the uniform distribution. The mean is over the weights. Raises IndexError for a class number
    out of range.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self._buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = number(
            "CrossEntropyLoss", "label_smoothing", label_smoothing, "[0, 1]"
        )

    def forward(self, input: Tensor, target: Any) -> Tensor:
        if type(target) is not Tensor:
            target = as_tensor("CrossEntropyLoss", target)
        if target.dtype is float32 or target.dtype is float64:  # probabilities
            target = self._like(target, input)
        weight = self._weights(self.weight, input)
        return F.cross_entropy(
            input, target, weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(_Loss):
    """-input[target], of log-probabilities (N, C) and class numbers (N)."""

    weight: Tensor | None

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self._buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Any) -> Tensor:
        target, weight = as_tensor("NLLLoss", target), self._weights(self.weight, input)
        return F.nll_loss(input, target, weight, self.ignore_index, self.reduction)


class BCELoss(_Loss):
    """-(t log x + (1 - t) log(1 - x)), of probabilities x; logarithms are kept above -100."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._buffer("weight", weight)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        target, weight = self._like(target, input), self._weights(self.weight, input)
        return F.binary_cross_entropy(input, target, weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`BCELoss` of sigmoid(x), exact for large |x|; `pos_weight` weighs the positive examples."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(reduction)
        self._buffer("weight", weight)
        self._buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        target, weight = self._like(target, input), self._weights(self.weight, input)
        pos_weight = self._weights(self.pos_weight, input)
        return F.binary_cross_entropy_with_logits(input, target, weight, self.reduction, pos_weight)


class MSELoss(_Loss):
    """(x - t)^2; x and t must have one shape, which is not broadcast (ValueError)."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.mse_loss(input, self._like(target, input), self.reduction)


class L1Loss(MSELoss):
    """|x - t|; x and t must have one shape, which is not broadcast (ValueError)."""

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.l1_loss(input, self._like(target, input), self.reduction)


class SmoothL1Loss(_Loss):
    """(x - t)^2 / (2 beta) where |x - t| < beta, else |x - t| - beta / 2."""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number("SmoothL1Loss", "beta", beta, "[0, inf)")

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.smooth_l1_loss(input, self._like(target, input), self.reduction, self.beta)


class HuberLoss(_Loss):
    """(x - t)^2 / 2 where |x - t| <= delta, else delta (|x - t| - delta / 2) (Huber 1964)."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number("HuberLoss", "delta", delta, "(0, inf)")

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.huber_loss(input, self._like(target, input), self.reduction, self.delta)


class GaussianNLLLoss(_Loss):
    """(log v + (x - t)^2 / v) / 2 with v = max(var, eps); `full` adds log(2 pi) / 2."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = number("GaussianNLLLoss", "eps", eps, "(0, inf)")

    def forward(self, input: Tensor, target: Any, var: Any) -> Tensor:
        target, var = self._like(target, input), self._like(var, input)
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class KLDivLoss(_Loss):
    """t (log t - x) for log-probabilities x; with `log_target` the target is log t as well.

    The mean is over all elements; reduction "batchmean" divides the sum by the batch size, which
    is the Kullback-Leibler divergence.
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__("sum" if reduction == "batchmean" else reduction)
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Any) -> Tensor:
        return F.kl_div(input, self._like(target, input), self.reduction, self.log_target)
