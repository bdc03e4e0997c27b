"""Python sugar on the Tensor class of the extension."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn import _C
from fastnn._C import Tensor


class device:  # noqa: N801 - PyTorch's name
    """Where a tensor lives: `device("cpu")`. Equal to its name as a str."""

    type_name: str

    def __init__(self, name: str | device) -> None:
        _C.check_device("device", str(name))
        self.type_name = str(name)

    @property
    def type(self) -> str:
        return self.type_name.partition(":")[0]

    def __str__(self) -> str:
        return self.type_name

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


_CPU = device("cpu")


def _repr(self: Tensor) -> str:
    prefix = "Parameter containing:\ntensor(" if type(self) is not Tensor else "tensor("
    values = np.array2string(
        self.detach().numpy(), separator=", ", prefix="tensor(", precision=4, threshold=1000
    )
    parts = [values]
    if self.dtype not in (_C.float32, _C.int64, _C.bool):
        parts.append(f"dtype={self.dtype}")
    if self.requires_grad:
        parts.append("requires_grad=True")
    return prefix + ", ".join(parts) + ")"


def _len(self: Tensor) -> int:
    if self.ndim == 0:
        raise TypeError("[len] a tensor of 0 dimensions has no length")
    return int(self.shape[0])


def _iter(self: Tensor) -> Iterator[Tensor]:
    return (self[i] for i in range(_len(self)))


def _size(self: Tensor, dim: int | None = None) -> Any:
    return self.shape if dim is None else self.shape[dim]


def _integer(self: Tensor) -> int:
    if self.numel() != 1 or self.dtype in (_C.float32, _C.float64):
        raise TypeError(f"[index] expected one integer; got {self.dtype} of shape {self.shape}")
    return int(self.item())


def _rebuild(cls: type[Tensor], array: np.ndarray, requires_grad: bool) -> Tensor:
    out = cls(_C.from_numpy(array))
    out.requires_grad = requires_grad
    return out


def _reduce(self: Tensor) -> Any:
    # Values and the leaf's flag travel; the tape does not.
    return _rebuild, (type(self), self.detach().numpy().copy(), self.requires_grad)


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError("[deepcopy] only leaf tensors can be copied; use clone()")
    rebuild, args = _reduce(self)
    memo[id(self)] = out = rebuild(*args)
    return out


Tensor.device = property(lambda self: _CPU, doc="Where the tensor lives.")
Tensor.__repr__ = _repr
Tensor.__len__ = _len
Tensor.__iter__ = _iter
Tensor.__hash__ = object.__hash__
Tensor.__float__ = lambda self: float(self.item())
Tensor.__int__ = lambda self: int(self.item())
Tensor.__bool__ = lambda self: bool(self.item())
Tensor.__index__ = _integer
Tensor.__matmul__ = Tensor.matmul
Tensor.__rmatmul__ = lambda self, other: _C.matmul(other, self)
Tensor.__reduce__ = _reduce
Tensor.__deepcopy__ = _deepcopy
Tensor.size = _size
Tensor.dim = lambda self: self.ndim
Tensor.float = lambda self: self.to(_C.float32)
Tensor.double = lambda self: self.to(_C.float64)
Tensor.long = lambda self: self.to(_C.int64)
Tensor.int = lambda self: self.to(_C.int32)
Tensor.tolist = lambda self: self.detach().numpy().tolist()
Tensor.cpu = lambda self: self
# NumPy leaves the operators to us: `array * tensor` is a Tensor.
Tensor.__array_priority__ = 1000
Tensor.__array_ufunc__ = None
