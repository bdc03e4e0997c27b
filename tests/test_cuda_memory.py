"""The memory of a GPU that fastnn keeps, and what happens when it runs out."""

from __future__ import annotations

import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU, run

import fastnn as fn

pytestmark = NEEDS_GPU


def test_memory_is_counted_and_kept() -> None:
    program = """
        a = lambda: fn.cuda.memory_allocated()
        r = lambda: fn.cuda.memory_reserved()
        print(a(), r())
        x = fn.zeros(1000, device="cuda")
        print(a(), r())
        y = fn.zeros(3 << 20, dtype="uint8", device="cuda")
        print(a(), r())
        del x, y
        print(a(), r())
        fn.cuda.empty_cache()
        print(a(), r())
    """
    small, large = 2 << 20, 20 << 20  # the segments that they come from
    assert run(program).splitlines() == [
        "0 0",
        f"4096 {small}",
        f"{4096 + (3 << 20)} {small + large}",
        f"0 {small + large}",
        "0 0",
    ]


def test_a_block_serves_again() -> None:
    program = """
        x = fn.zeros(1000, device="cuda")
        where = x.data_ptr()
        del x
        y = fn.ones(900, device="cuda")
        print(y.data_ptr() == where, y.sum().item())
    """
    assert run(program) == "True 900.0"


def test_neighbours_join() -> None:
    program = """
        sizes = [3 << 20, 4 << 20, 5 << 20]
        xs = [fn.zeros(n, dtype="uint8", device="cuda") for n in sizes]
        start = xs[0].data_ptr()
        print([x.data_ptr() - start for x in xs], fn.cuda.memory_reserved())
        del xs[1]
        del xs[0]
        print(fn.zeros(7 << 20, dtype="uint8", device="cuda").data_ptr() == start)
        del xs[0]
        print(fn.zeros(9 << 20, dtype="uint8", device="cuda").data_ptr() == start)
        print(fn.cuda.memory_reserved())
    """
    assert run(program).splitlines() == [
        f"{[0, 3 << 20, 7 << 20]} {20 << 20}",
        "True",
        "True",
        str(20 << 20),
    ]


def test_without_a_cache() -> None:
    program = """
        x = fn.zeros(1000, device="cuda")
        print(fn.cuda.memory_allocated(), fn.cuda.memory_reserved())
        del x
        print(fn.cuda.memory_allocated(), fn.cuda.memory_reserved())
    """
    assert run(program, FASTNN_CUDA_CACHE=0).splitlines() == ["4000 4000", "0 0"]


@NEEDS_EMULATION
def test_out_of_memory_says_what_there_is_and_all_goes_on() -> None:
    program = """
        kept = fn.zeros(1 << 20, dtype="uint8", device="cuda")
        passing = fn.zeros(40 << 20, dtype="uint8", device="cuda")
        del passing  # cached, and given back when it is in the way
        x = fn.zeros(56 << 20, dtype="uint8", device="cuda")
        try:
            fn.zeros(9 << 20, dtype="uint8", device="cuda")
        except fn.cuda.OutOfMemoryError as error:
            print(isinstance(error, RuntimeError), error)
        y = fn.zeros(100, device="cuda")
        del x
        z = fn.ones(50 << 20, dtype="uint8", device="cuda")
        print(z[-1].item(), y[9].item(), kept[5].item())
    """
    lines = run(program, FASTNN_CUDA_MEMORY=64 << 20).splitlines()
    assert lines[0].startswith("True [empty] out of memory on cuda:0: ")
    for part in (
        f"{9 << 20} bytes were asked for",
        f"of {64 << 20} bytes {6 << 20} are free",
        f"tensors hold {57 << 20}",
        f"{1 << 20} are cached",
    ):
        assert part in lines[0]
    assert lines[1] == "1 0.0 0"


def test_numbers_of_a_gpu_that_is_not_there() -> None:
    for ask in (fn.cuda.memory_allocated, fn.cuda.memory_reserved, fn.cuda.get_device_name):
        with pytest.raises(ValueError, match="there is no GPU 99"):
            ask(99)
    with pytest.raises(ValueError, match="expected a GPU; got cpu"):
        fn.cuda.memory_allocated("cpu")
