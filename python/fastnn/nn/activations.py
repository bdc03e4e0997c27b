"""Layers without parameters, applied to each element or along one axis.

`inplace` is PyTorch's hint to save memory, which changes no result: it is taken and not needed.
"""

from __future__ import annotations

from .._C import Tensor
from . import functional as F
from ._checks import integer, number, one_of
from .module import Module


class ReLU(Module):
    """max(x, 0)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    forward = staticmethod(F.relu)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    forward = staticmethod(F.sigmoid)


class Tanh(Module):
    """The hyperbolic tangent."""

    forward = staticmethod(F.tanh)


class SiLU(Module):
    """x * sigmoid(x) (Elfwing et al. 2018), also called swish."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    forward = staticmethod(F.silu)


class LeakyReLU(Module):
    """x where positive, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = number("LeakyReLU", "negative_slope", negative_slope, "(-inf, inf)")

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class GELU(Module):
    """x * P(N(0,1) < x) (Hendrycks and Gimpel 2016); approximate="tanh" is their faster formula."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = one_of("GELU", "approximate", approximate, ("none", "tanh"))

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """exp(x) / sum exp(x) along axis `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = integer(type(self).__name__, "dim", dim, -(1 << 31))

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """x - log(sum exp(x)) along axis `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Dropout(Module):
    """While training: zero with probability p, else x / (1 - p). In evaluation: x.

    The mask depends on the seed alone, not on the number of threads (Srivastava et al. 2014).
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = number("Dropout", "p", p, "[0, 1]")

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
