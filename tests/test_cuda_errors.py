"""Errors of CUDA: named, never lost, and for good where the context is gone."""

from __future__ import annotations

import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU, error_of, run

pytestmark = NEEDS_GPU


@NEEDS_EMULATION
def test_a_lost_context_is_named_at_every_call() -> None:
    program = """
        import os
        x = fn.ones(3, device="cuda")
        s = fn.cuda.Stream()
        os.environ["FASTNN_CUDA_LOST"] = "1"
        calls = [lambda: x * 2, lambda: x.cpu(), fn.cuda.synchronize, s.query,
                 lambda: fn.zeros(3, device="cuda"), fn.cuda.empty_cache, lambda: x.tolist()]
        def attempt(call):
            try:
                call()
            except RuntimeError as error:
                return str(error)
        print(attempt(fn.cuda.synchronize))
        del os.environ["FASTNN_CUDA_LOST"]
        for call in calls:
            message = attempt(call)
            if message:
                print("lost, and with it" in message or message)
        print((fn.ones(2) + 1).tolist())
        del x, s
    """
    first, *later, last = run(program).splitlines()
    assert first.startswith("[cuda] CUDA failed while")
    assert "cudaErrorIllegalAddress" in first
    assert later == ["True"] * 7
    assert last == "[2.0, 2.0]"


@NEEDS_EMULATION
def test_blocking_names_the_operation() -> None:
    program = """
        import os
        x = fn.ones(3, device="cuda")
        os.environ["FASTNN_CUDA_LOST"] = "1"
        x.relu()
    """
    assert "[unary_fwd] CUDA failed" in error_of(program, FASTNN_CUDA_BLOCKING=1)


@NEEDS_EMULATION
@pytest.mark.parametrize(
    "meets",
    [
        "y.cpu()",
        "y.sum().item()",
        "y * 2",
        "fn.zeros(3, device='cuda')",
        "fn.cuda.synchronize()",
        "fn.cuda.current_stream().synchronize()",
        "fn.cuda.Event().record()",
        "step(x)",
        "step.run_epoch(x, None, 1)",
    ],
)
def test_an_error_of_a_kernel_is_met_by_what_comes_next(meets: str) -> None:
    program = f"""
        import os
        x = fn.ones(3, device="cuda")
        step = fn.compile(lambda x: (x * 2).sum())
        for _ in range(3):
            step.run_epoch(x, None, 1)
        os.environ["FASTNN_CUDA_FAULT"] = "UnaryFwdArgs"
        y = x.relu()  # returns before its kernel is known to have failed
        {meets}
    """
    found = error_of(program)
    assert found.startswith("RuntimeError [")
    assert "an illegal memory access was encountered" in found


@NEEDS_EMULATION
def test_blocking_names_the_kernel_that_failed() -> None:
    program = """
        import os
        x = fn.ones(3, device="cuda")
        os.environ["FASTNN_CUDA_FAULT"] = "UnaryFwdArgs"
        x * 2
        x.relu()
    """
    found = error_of(program, FASTNN_CUDA_BLOCKING=1)
    assert "[unary_fwd] CUDA failed while running it" in found


@NEEDS_EMULATION
def test_an_error_inside_a_graph() -> None:
    program = """
        import os
        x = fn.ones(3, device="cuda")
        step = fn.compile(lambda x: (x.relu() * 2).sum())
        for _ in range(3):
            step.run_epoch(x, None, 1)
        os.environ["FASTNN_CUDA_FAULT"] = "UnaryFwdArgs"
        step.run_epoch(x, None, 1)
    """
    assert "an illegal memory access was encountered" in error_of(program)


def test_a_forked_child_is_told_what_to_do() -> None:
    program = """
        import os
        x = fn.ones(3, device="cuda")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = []
            for call in (lambda: x * 2, lambda: x.cpu(), fn.cuda.synchronize,
                         lambda: fn.zeros(2, device="cuda")):
                try:
                    call()
                    said.append("nothing")
                except RuntimeError as error:
                    said.append(str(error))
            del x
            said.append(str((fn.ones(2) + 1).tolist()))  # the CPU is as before
            os.write(write, "\\n".join(said).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        print(open(read).read())
        print((x * 2).tolist())
    """
    *said, on_cpu, parent = run(program).splitlines()
    assert len(said) == 4
    assert all("forked" in line and "'spawn'" in line for line in said)
    assert (on_cpu, parent) == ("[2.0, 2.0]", "[2.0, 2.0, 2.0]")


def test_a_child_forked_before_cuda_may_use_it() -> None:
    program = """
        import os
        child = os.fork()
        x = fn.ones(3, device="cuda") + 1
        os.write(1, f"{x.tolist()}\\n".encode())
        if child:
            os.waitpid(child, 0)
        else:
            os._exit(0)
    """
    assert run(program).splitlines() == ["[2.0, 2.0, 2.0]"] * 2


def test_tensors_of_a_gpu_at_the_end_of_a_process() -> None:
    program = """
        import builtins
        s = fn.cuda.Stream()
        with fn.cuda.stream(s):
            builtins.kept = [fn.ones(3, device="cuda"), s, fn.cuda.Event()]
        builtins.kept[2].record()
        print("done")
    """
    assert run(program) == "done"
