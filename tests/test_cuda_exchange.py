"""Memory of a GPU shared with other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_run import NEEDS_GPU

import fastnn as fn

pytestmark = NEEDS_GPU
DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]


class Foreign:
    """An array of another library: it has the protocols alone, and notes what it is asked."""

    def __init__(self, tensor: fn.Tensor) -> None:
        self._tensor = tensor
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._tensor.__dlpack_device__()

    def __dlpack__(self, stream: Any = None) -> Any:
        self.streams.append(stream)
        return self._tensor.__dlpack__(stream=stream)


class Interface:
    def __init__(self, tensor: fn.Tensor, **changes: Any) -> None:
        self._tensor = tensor
        self.__cuda_array_interface__ = tensor.__cuda_array_interface__ | changes


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_shares_memory(dtype: str) -> None:
    x = fn.tensor(np.arange(12).reshape(3, 4) % 2, dtype=dtype, device="cuda")
    assert x.__dlpack_device__() == (2, 0)
    for part in (x, x.T, x[1:, ::2]):
        y = fn.from_dlpack(Foreign(part))
        assert (y.device, y.dtype, y.shape) == ("cuda", part.dtype, part.shape)
        assert (y.stride(), y.data_ptr()) == (part.stride(), part.data_ptr())
        assert y.tolist() == part.tolist()
    fn.from_dlpack(Foreign(x)).fill_(1)
    assert x.tolist() == np.ones((3, 4), dtype).tolist()


def test_dlpack_names_the_stream() -> None:
    x = fn.ones(3, device="cuda")
    foreign = Foreign(x)
    fn.from_dlpack(foreign)
    s = fn.cuda.Stream()
    with fn.cuda.stream(s):
        y = fn.from_dlpack(foreign)
        assert (y + 1).tolist() == [2, 2, 2]
    assert foreign.streams == [1, s.cuda_stream]
    x.__dlpack__(stream=-1)
    x.__dlpack__(stream=None)
    with pytest.raises(ValueError, match="stream 0"):
        x.__dlpack__(stream=0)


def test_dlpack_to_the_cpu() -> None:
    x = fn.tensor([1.0, 2.0], device="cuda")
    y = np.from_dlpack(x.cpu())
    np.testing.assert_array_equal(y, [1, 2])
    assert x.__dlpack__(dl_device=(1, 0)) is not None


def test_dlpack_keeps_the_memory_alive() -> None:
    x = fn.ones(1000, device="cuda")
    y = fn.from_dlpack(Foreign(x))
    del x
    others = [fn.zeros(1000, device="cuda") for _ in range(3)]
    assert y.sum().item() == 1000
    assert len(others) == 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_cuda_array_interface(dtype: str) -> None:
    x = fn.tensor(np.arange(12).reshape(3, 4) % 2, dtype=dtype, device="cuda")
    for part in (x, x.T, x[1:, ::2]):
        said = part.__cuda_array_interface__
        assert said["shape"] == part.shape
        assert np.dtype(said["typestr"]).name == dtype
        assert said["data"] == (part.data_ptr(), False)
        assert (said["strides"] is None) == part.is_contiguous()
        assert (said["version"], said["stream"]) == (3, 1)
        y = fn.cuda.as_tensor(Interface(part))
        assert (y.stride(), y.data_ptr()) == (part.stride(), part.data_ptr())
        assert y.tolist() == part.tolist()
        z = fn.tensor(Interface(part))
        assert z.device == fn.get_default_device()
        assert z.tolist() == part.tolist()
    fn.cuda.as_tensor(Interface(x)).fill_(1)
    assert x.tolist() == np.ones((3, 4), dtype).tolist()


def test_the_stream_of_the_interface() -> None:
    x = fn.ones(3, device="cuda")
    s = fn.cuda.Stream()
    with fn.cuda.stream(s):
        assert x.__cuda_array_interface__["stream"] == s.cuda_stream
        assert fn.cuda.as_tensor(Interface(x, stream=1)).tolist() == [1, 1, 1]
    for stream in (None, s.cuda_stream, 1):
        assert fn.cuda.as_tensor(Interface(x, stream=stream)).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="stream 0"):
        fn.cuda.as_tensor(Interface(x, stream=0))


def test_what_cannot_be_shared() -> None:
    x = fn.ones(3, device="cuda")
    with pytest.raises(AttributeError, match="on the CPU"):
        _ = fn.ones(3, device="cpu").__cuda_array_interface__
    assert not hasattr(fn.ones(3, device="cpu"), "__cuda_array_interface__")
    with pytest.raises(RuntimeError, match=r"use detach\(\)"):
        _ = fn.ones(3, device="cuda", requires_grad=True).__cuda_array_interface__
    with pytest.raises(TypeError, match="'<c8' is not supported"):
        fn.cuda.as_tensor(Interface(x, typestr="<c8"))
    with pytest.raises(ValueError, match="masked"):
        fn.cuda.as_tensor(Interface(x, mask=x))
    with pytest.raises(TypeError, match="expected an object with __cuda_array_interface__; got"):
        fn.cuda.as_tensor(np.ones(3))
    with pytest.raises(ValueError, match="not that of a GPU"):
        fn.cuda.as_tensor(Interface(x, data=(np.ones(3).ctypes.data, False)))
    read_only = fn.cuda.as_tensor(Interface(x, data=(x.data_ptr(), True)))
    with pytest.raises(ValueError, match="read-only"):
        read_only.fill_(2)
