"""Start values for weights, in place, with PyTorch's names and formulas.

Sources: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming), LeCun et al. 1998 (lecun, and
the 1/sqrt(fan_in) start of linear and convolution layers), Saxe et al. 2014 (orthogonal), Martens
2010 (sparse). Numbers come from the generator that `fastnn.manual_seed` seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .._C import Tensor, float64, rand, randn
from ..autograd import no_grad
from ._checks import cast_state, integer, number, one_of

if TYPE_CHECKING:
    from .module import Module

AnyModule = TypeVar("AnyModule", bound="Module")
Start = str | Callable[[Tensor], Any]

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


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Normal, drawn again where it falls outside [a, b].

    Raises ValueError where that would keep less than a hundredth of what is drawn.
    """
    number("trunc_normal_", "std", std, "(0, inf)")
    low, high = (math.erf((end - mean) / std / math.sqrt(2)) for end in (a, b))
    share = (high - low) / 2
    if not share >= 0.01:
        raise ValueError(
            f"[trunc_normal_] [a, b] must hold a hundredth of the distribution; "
            f"got [{a}, {b}] for mean {mean} and std {std}"
        )
    kept = np.empty(0)
    while kept.size < tensor.numel():
        missing = tensor.numel() - kept.size
        draws = mean + std * _host(randn, math.ceil(missing / share))
        kept = np.concatenate([kept, draws[(a <= draws) & (draws <= b)]])
    return _assign(tensor, kept[: tensor.numel()])


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity, of a matrix of any two sizes: its outputs are its inputs."""
    return _assign(tensor, np.eye(*_matrix("eye_", tensor)))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The identity, of a kernel (out, in, *kernel): a convolution's outputs are its inputs.

    With `groups` that of each group; maps without an input to themselves are 0.
    """
    integer("dirac_", "groups", groups)
    shape = tuple(tensor.shape)
    if not 3 <= len(shape) <= 5 or shape[0] % groups:
        raise ValueError(
            f"[dirac_] expected a kernel (out, in, ...) with out a multiple of groups {groups}; "
            f"got shape {shape}"
        )
    values = np.zeros(shape)
    per_group = shape[0] // groups
    inputs = np.arange(min(per_group, shape[1]))
    for first in range(0, shape[0], per_group):
        values[(first + inputs, inputs, *(size // 2 for size in shape[2:]))] = 1
    return _assign(tensor, values)


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """A random orthogonal matrix (out, everything else) times gain: W W^T, or W^T W if W has more
    rows than columns, is gain^2 times the identity."""
    inputs, _ = fan_in_and_fan_out(tensor)
    outputs = tensor.shape[0]
    q, r = np.linalg.qr(_host(randn, max(inputs, outputs), min(inputs, outputs)))
    q *= np.sign(np.diag(r))  # else not every orthogonal matrix would be as probable
    return _assign(tensor, gain * (q.T if outputs < inputs else q))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Normal with mean 0, and in each column of the matrix a share `sparsity` of zeros."""
    number("sparse_", "sparsity", sparsity, "[0, 1]")
    rows, columns = _matrix("sparse_", tensor)
    values = std * _host(randn, rows, columns)
    zeros = _host(rand, rows, columns).argsort(0)[: math.ceil(sparsity * rows)]
    np.put_along_axis(values, zeros, 0.0, 0)
    return _assign(tensor, values)


def _matrix(name: str, tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim != 2:
        raise ValueError(f"[{name}] expected a matrix; got shape {tuple(tensor.shape)}")
    rows, columns = tensor.shape
    return rows, columns


def _host(draw: Callable[..., Tensor], *shape: int) -> Any:
    return draw(*shape, dtype=float64, device="cpu").numpy()


def _assign(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        tensor.copy_(cast_state(tensor, values.reshape(tuple(tensor.shape))))
    return tensor


def _uniform_with_std(tensor: Tensor, std: float) -> Tensor:
    bound = math.sqrt(3) * std  # the standard deviation of U(-b, b) is b / sqrt(3)
    return uniform_(tensor, -bound, bound)


def _xavier_std(tensor: Tensor, gain: float) -> float:
    return gain * math.sqrt(2 / sum(fan_in_and_fan_out(tensor)))


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    one_of("kaiming", "mode", mode, ("fan_in", "fan_out"))
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


def lecun_normal_(tensor: Tensor) -> Tensor:
    """Normal with standard deviation 1 / sqrt(fan_in), so that outputs vary as inputs do."""
    return normal_(tensor, 0.0, 1 / math.sqrt(fan_in_and_fan_out(tensor)[0]))


def linear_start_(weight: Tensor, bias: Any = None) -> None:
    """The default of linear and convolution layers: both uniform in +-1/sqrt(fan_in).

    PyTorch writes the weight's as kaiming_uniform_(a=sqrt(5)), which is the same interval.
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fan_in_and_fan_out(weight)[0])
        uniform_(bias, -bound, bound)


_NAMED: dict[str, Callable[[Tensor], Any]] = {
    start.__name__.removesuffix("_"): start
    for start in (
        *(uniform_, normal_, trunc_normal_, ones_, zeros_, eye_, dirac_, orthogonal_),
        *(xavier_uniform_, xavier_normal_, kaiming_uniform_, kaiming_normal_, lecun_normal_),
    )
}


def initialize(
    model: AnyModule, weight: Start | None = None, bias: Start | None = None
) -> AnyModule:
    """Draws new start values for the weights, biases or both of all dense and convolution layers.

    `weight` and `bias` are functions of a tensor, or names of those here that need no more:
    "normal" is N(0, 1), "lecun_normal" N(0, 1/fan_in) (the two starts of Nielsen's book, with
    "normal" biases), "xavier_uniform", "zeros" and so on. None leaves what there is. Returns the
    model. Raises ValueError for another name, and for a start that does not suit the shape.
    """
    starts = [
        _NAMED[one_of("initialize", name, start, list(_NAMED))] if isinstance(start, str) else start
        for name, start in (("weight", weight), ("bias", bias))
    ]
    for module in model.modules():
        kernel = module._parameters.get("weight")
        if kernel is None or kernel.ndim < 2:  # of no layer, or of a normalisation
            continue
        for start, tensor in zip(starts, (kernel, module._parameters.get("bias")), strict=True):
            if start is not None and tensor is not None:
                start(tensor)
    return model
