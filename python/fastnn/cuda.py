"""NVIDIA's GPUs, in PyTorch's words. Nothing here, and nothing in `import fastnn`, touches the
driver before a GPU is asked for."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import fastnn._C as _C

from ._C import CudaEvent, CudaStream, OutOfMemoryError, Tensor
from ._tensor import device as _Device

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "as_tensor",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "is_available",
    "memory_allocated",
    "memory_reserved",
    "stream",
    "synchronize",
]

DeviceLike = int | str | _Device | None


def _index(device: DeviceLike) -> int:
    if device is None:
        return 0
    if isinstance(device, int):
        return device
    index = _Device(device).index
    if index is None:
        raise ValueError(f"[cuda] expected a GPU; got {device}")
    return index


def as_tensor(source: Any) -> Tensor:
    """A tensor that shares the memory of any object with `__cuda_array_interface__` (CuPy, Numba,
    PyTorch, ...). Work of the current stream waits for what the other library has queued.

    Raises TypeError for other objects and element types, ValueError for masked arrays.
    """
    return _C.from_cuda_array(source)


def is_available() -> bool:
    """Whether tensors can live on a GPU here. Never raises; `device_count` and any use of
    `device="cuda"` do, and say why not."""
    return device_count() > 0


def device_count() -> int:
    """How many GPUs there are; 0 where none can be used."""
    try:
        return int(_C.cuda_device_count())
    except RuntimeError:
        return 0


def get_device_name(device: DeviceLike = None) -> str:
    """What a GPU is called."""
    return str(_C.cuda_device_name(_index(device)))


def get_device_capability(device: DeviceLike = None) -> tuple[int, int]:
    """Its compute capability: (9, 0) for Hopper."""
    major, minor = _C.cuda_capability(_index(device))
    return int(major), int(minor)


def synchronize(device: DeviceLike = None) -> None:
    """Waits for all work of a GPU. Raises RuntimeError for what went wrong in it."""
    _C.cuda_synchronize(_index(device))


def memory_allocated(device: DeviceLike = None) -> int:
    """Bytes of a GPU that tensors hold."""
    return int(_C.cuda_memory(_index(device))[0])


def memory_reserved(device: DeviceLike = None) -> int:
    """Bytes of a GPU that fastnn holds: of tensors, and kept for later ones."""
    return int(_C.cuda_memory(_index(device))[1])


def empty_cache() -> None:
    """Gives back to CUDA, and so to other programs, what is kept for later tensors."""
    _C.cuda_empty_cache()


class Stream:
    """A queue of work of a GPU: what one stream is given runs in order, streams run side by side.

    A tensor that one stream makes and another uses needs `wait_stream` between them; its memory
    outlives the work of both.
    """

    _stream: CudaStream

    def __init__(self, device: DeviceLike = None) -> None:
        self._stream = CudaStream(_index(device))

    @classmethod
    def _of(cls, stream: CudaStream) -> Stream:
        self = cls.__new__(cls)
        self._stream = stream
        return self

    @property
    def device(self) -> _Device:
        """Its GPU."""
        return _Device("cuda", self._stream.gpu)

    @property
    def cuda_stream(self) -> int:
        """The cudaStream_t, for other libraries; 0 is the default stream."""
        return int(self._stream.cuda_stream)

    def synchronize(self) -> None:
        """Waits until its work is done."""
        self._stream.synchronize()

    def query(self) -> bool:
        """Whether its work is done."""
        return bool(self._stream.query())

    def wait_stream(self, stream: Stream) -> None:
        """Later work of this stream waits for what `stream` has been given so far."""
        self._stream.wait_stream(stream._stream)

    def wait_event(self, event: Event) -> None:
        """Later work of this stream waits for `event`."""
        self._stream.wait_event(event._event)

    def record_event(self, event: Event | None = None) -> Event:
        """Records `event`, or a new one, behind the work given so far."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stream):
            return NotImplemented
        return (self.device, self.cuda_stream) == (other.device, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.device, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<fastnn.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A mark in the work of a stream, to wait for or, with `enable_timing`, to measure between."""

    def __init__(self, enable_timing: bool = False) -> None:
        self._event = CudaEvent(bool(enable_timing))

    def record(self, stream: Stream | None = None) -> None:
        """Marks what `stream`, the current one when None, has been given so far."""
        self._event.record((stream or current_stream())._stream)

    def wait(self, stream: Stream | None = None) -> None:
        """Later work of `stream`, the current one when None, waits for this."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether the work before it is done; True before any record()."""
        return bool(self._event.query())

    def synchronize(self) -> None:
        """Waits until the work before it is done."""
        self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to `end_event`. Both need `enable_timing=True`."""
        return float(self._event.elapsed_time(end_event._event))


def current_stream(device: DeviceLike = None) -> Stream:
    """The stream that work of this thread on a GPU goes to."""
    return Stream._of(_C.cuda_current_stream(_index(device)))


class stream:  # noqa: N801 - PyTorch's name
    """Work of this thread goes to a stream: `with fn.cuda.stream(s): ...`. None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._before: list[Stream] = []

    def __enter__(self) -> stream:
        if self.stream is not None:
            self._before.append(current_stream(self.stream.device))
            _C.cuda_set_stream(self.stream._stream)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before:
            _C.cuda_set_stream(self._before.pop()._stream)
