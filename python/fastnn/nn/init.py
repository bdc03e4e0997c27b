"""Start values for weights, in place, with PyTorch's names and formulas.

Sources: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming), LeCun et al. 1998 (the
1/sqrt(fan_in) start of linear and convolution layers). Numbers come from the generator that
`fastnn.manual_seed` seeds.
"""

from __future__ import annotations

import math
from typing import Any

from .._C import Tensor
from ..autograd import no_grad

_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "sigmoid"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much a nonlinearity shrinks its input's standard deviation, inverted.

    `param` is the negative slope of "leaky_relu" (0.01 if None). Raises ValueError for a name that
    is not known.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        names = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(
            f"[calculate_gain] nonlinearity must be one of {names}; got {nonlinearity!r}"
        )
    return _GAINS[nonlinearity]


def fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Inputs of one output unit and outputs of one input unit, of a weight (out, in, *kernel)."""
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(f"[init] expected a weight (out, in, ...); got shape {shape}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b)."""
    with no_grad():
        tensor.uniform_(a, b)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with the given mean and standard deviation."""
    with no_grad():
        tensor.normal_(mean, std)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same value everywhere."""
    with no_grad():
        tensor.fill_(val)
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def _uniform_with_std(tensor: Tensor, std: float) -> Tensor:
    bound = math.sqrt(3) * std  # the standard deviation of U(-b, b) is b / sqrt(3)
    return uniform_(tensor, -bound, bound)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * math.sqrt(2 / sum(fan_in_and_fan_out(tensor)))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"[kaiming] mode must be one of fan_in, fan_out; got {mode!r}")
    fan = fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return _uniform_with_std(tensor, _xavier_std(tensor, gain))


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Uniform with standard deviation gain / sqrt(fan), where `a` is the leaky slope."""
    return _uniform_with_std(tensor, _kaiming_std(tensor, a, mode, nonlinearity))


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan), where `a` is the leaky slope."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def linear_start_(weight: Tensor, bias: Any = None) -> None:
    """The default of linear and convolution layers: both uniform in +-1/sqrt(fan_in).

    PyTorch writes the weight's as kaiming_uniform_(a=sqrt(5)), which is the same interval.
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fan_in_and_fan_out(weight)[0])
        uniform_(bias, -bound, bound)
