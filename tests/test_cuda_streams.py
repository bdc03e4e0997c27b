"""Streams and events."""

from __future__ import annotations

import threading

import pytest
from cuda_run import NEEDS_GPU, run

import fastnn as fn

pytestmark = NEEDS_GPU


def test_the_current_stream() -> None:
    default = fn.cuda.current_stream()
    assert default.cuda_stream == 0
    assert default == fn.cuda.current_stream("cuda:0")
    s = fn.cuda.Stream()
    assert s != default
    assert s.device == "cuda:0"
    with fn.cuda.stream(s) as entered:
        assert entered.stream is s
        assert fn.cuda.current_stream() == s
        with fn.cuda.stream(None):
            assert fn.cuda.current_stream() == s
        with fn.cuda.stream(default):
            assert fn.cuda.current_stream() == default
        assert fn.cuda.current_stream() == s
    assert fn.cuda.current_stream() == default
    assert "cuda:0" in repr(s)


def test_each_thread_has_its_own() -> None:
    seen = []
    with fn.cuda.stream(fn.cuda.Stream()):
        thread = threading.Thread(target=lambda: seen.append(fn.cuda.current_stream()))
        thread.start()
        thread.join()
    assert seen == [fn.cuda.current_stream()]


def test_work_of_two_streams_in_order() -> None:
    s = fn.cuda.Stream()
    x = fn.ones(1000, device="cuda")
    s.wait_stream(fn.cuda.current_stream())
    with fn.cuda.stream(s):
        y = x * 2
        event = s.record_event()
    event.wait()
    z = y + 1
    s.synchronize()
    assert s.query()
    assert z.sum().item() == 3000


def test_gradients_on_a_stream() -> None:
    s = fn.cuda.Stream()
    with fn.cuda.stream(s):
        x = fn.ones(4, device="cuda", requires_grad=True)
        (x * x).sum().backward()
        assert x.grad.tolist() == [2, 2, 2, 2]


def test_events_measure() -> None:
    start, end = fn.cuda.Event(enable_timing=True), fn.cuda.Event(enable_timing=True)
    assert start.query()
    with pytest.raises(RuntimeError, match="needs two events that were recorded"):
        start.elapsed_time(end)
    start.record()
    fn.zeros(1000, device="cuda")
    end.record()
    end.synchronize()
    assert end.query()
    assert start.elapsed_time(end) >= 0
    plain = fn.cuda.Event()
    plain.record()
    with pytest.raises(ValueError, match="enable_timing=True"):
        start.elapsed_time(plain)


def test_memory_that_another_stream_uses_outlives_its_work() -> None:
    program = """
        import gc
        s = fn.cuda.Stream()
        x = fn.ones(1000, device="cuda")
        where = x.data_ptr()
        s.wait_stream(fn.cuda.current_stream())
        with fn.cuda.stream(s):
            y = x * 2
        del x
        s.synchronize()  # only now may the block serve again
        print(fn.zeros(1000, device="cuda").data_ptr() == where, y.sum().item())
        with fn.cuda.stream(s):
            z = fn.zeros(1000, device="cuda")
        del z  # goes back to its own stream
        print(fn.cuda.memory_allocated())
    """
    assert run(program).splitlines() == ["True 2000.0", "4096"]


def test_devices() -> None:
    assert fn.cuda.device_count() >= 1
    assert fn.cuda.get_device_name()
    assert fn.cuda.get_device_name(0) == fn.cuda.get_device_name("cuda:0")
    major, _ = fn.cuda.get_device_capability()
    assert major >= 7
    fn.cuda.synchronize()
    fn.cuda.synchronize("cuda:0")
