"""Python sugar on the Tensor class of the extension."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn import _C
from fastnn._C import Tensor


class device:  # noqa: N801 - PyTorch's name
    """Where a tensor lives: `device("cpu")`, `device("cuda:1")`, and `device("cuda")`, which is the
    first GPU. Equal to its names as a str. That there is such a GPU is checked where it is used.

    Raises ValueError for another name.
    """

    type_name: str

    def __init__(self, name: str | device, index: int | None = None) -> None:
        self.type_name = _C.device_name(str(name) if index is None else f"{name}:{index}")

    @property
    def type(self) -> str:
        """ "cpu" or "cuda"."""
        return self.type_name.partition(":")[0]

    @property
    def index(self) -> int | None:
        """Number of the GPU; None for the CPU."""
        return None if self.type == "cpu" else int(self.type_name.partition(":")[2])

    def __str__(self) -> str:
        return self.type_name

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (device, str)):
            return NotImplemented
        try:
            return bool(self.type_name == _C.device_name(str(other)))
        except ValueError:
            return False

    def __hash__(self) -> int:
        return hash(self.type_name)


_CPU = device("cpu")


def set_default_device(device: str | device) -> None:
    """Where factories (`zeros`, `tensor`, layers, ...) make tensors unless they are told.

    Raises RuntimeError where a GPU cannot be used, ValueError for an unknown name.
    """
    _C.set_default_device(str(device))


def get_default_device() -> device:
    """What `set_default_device` was told last, or the CPU."""
    return device(_C.get_default_device())


def _device(self: Tensor) -> device:
    return _CPU if self._gpu < 0 else device("cuda", self._gpu)


def _repr(self: Tensor) -> str:
    prefix = "Parameter containing:\ntensor(" if type(self) is not Tensor else "tensor("
    values = np.array2string(
        self.detach().cpu().numpy(), separator=", ", prefix="tensor(", precision=4, threshold=1000
    )
    parts = [values]
    if self.dtype not in (_C.float32, _C.int64, _C.bool):
        parts.append(f"dtype={self.dtype}")
    if self.is_cuda:
        parts.append(f"device='{self.device}'")
    if self.requires_grad:
        parts.append("requires_grad=True")
    return prefix + ", ".join(parts) + ")"


def gpu_name(which: int | device | None) -> str:
    """The name of a GPU that is given by its number or name; the first one for None."""
    return f"cuda:{which}" if isinstance(which, int) else str(which or "cuda")


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


def _rebuild(
    cls: type[Tensor], array: np.ndarray, requires_grad: bool, device: str = "cpu"
) -> Tensor:
    out = cls(_C.from_numpy(array).to(device))
    out.requires_grad = requires_grad
    return out


def _reduce(self: Tensor) -> Any:
    # Values, the leaf's flag and its device travel; the tape does not.
    array = self.detach().cpu().numpy()
    where = str(self.device)
    return _rebuild, (type(self), array.copy(), self.requires_grad, where)


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError("[deepcopy] only leaf tensors can be copied; use clone()")
    memo[id(self)] = out = type(self)(self.detach().clone())  # in the same order of memory
    out.requires_grad = self.requires_grad
    return out


Tensor.device = property(_device, doc="Where the tensor lives.")
Tensor.is_cuda = property(lambda self: self._gpu >= 0, doc="Whether it lives on a GPU.")
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
Tensor.tolist = lambda self: self.detach().cpu().numpy().tolist()
Tensor.cpu = lambda self: self.to("cpu")
Tensor.cuda = lambda self, device=None: self.to(gpu_name(device))
# NumPy leaves the operators to us: `array * tensor` is a Tensor.
Tensor.__array_priority__ = 1000
Tensor.__array_ufunc__ = None
