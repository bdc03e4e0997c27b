"""Threads: the same bits for any number of them, from several callers and in a fork."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from samples import normal

import fastnn as fn
from fastnn.nn import functional as F

pytestmark = pytest.mark.cpu_only("threads of kernels")

X, W = normal(4, 9, 17, 13).astype(np.float32), normal(10, 9, 3, 3, seed=1).astype(np.float32)
A, B = normal(201, 130).astype(np.float32), normal(130, 155, seed=1).astype(np.float32)
S = normal(17 * 17_649).astype(np.float32)


def work() -> list[bytes]:
    """Bits of results and gradients of kernels that use the thread pool."""
    a, b, x, w, d, s = (fn.tensor(v, requires_grad=True) for v in (A, B, X, W, W[:9, :1], S))
    bias = fn.ones(10, requires_grad=True)
    results = [a @ b, F.conv2d(x, w, bias, padding=1), F.conv2d(x, d, groups=9)]
    results += [s.sum(), s.reshape(17, -1)[:5].sum(0)]
    for y in results:
        y.backward(fn.from_numpy(normal(*y.shape, seed=2).astype(np.float32)))
    tensors = [*(y.detach() for y in results), *(t.grad for t in (a, b, x, w, d, bias, s))]
    return [t.numpy().tobytes() for t in tensors]


def test_results_are_the_same_bits_for_any_number_of_threads(
    threads: Callable[[int], None],
) -> None:
    threads(1)
    expected = work()
    reference = (A.astype(float) @ B).astype(np.float32)
    np.testing.assert_allclose(np.frombuffer(expected[0], np.float32), reference.ravel(), atol=1e-4)
    for n in (2, 3, 8, 1):
        threads(n)
        assert fn.get_num_threads() == n
        for _ in range(3):
            assert work() == expected, f"{n} threads"


def test_several_python_threads_at_once(threads: Callable[[int], None]) -> None:
    threads(2)
    expected = work()
    failures: list[Any] = []
    gate = threading.Barrier(4)

    def run() -> None:
        try:
            gate.wait(30)
            for _ in range(10):
                if work() != expected:
                    failures.append("wrong bits")
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=run, daemon=True) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join(60)
    assert not any(t.is_alive() for t in workers)
    assert failures == []


def run_in_fork(child: Callable[[], bool], seconds: float = 20) -> None:
    """Runs child in a forked process; fails when it returns False, dies or hangs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the point here
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if child() else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pytest.fail(f"the forked process did not end within {seconds} s")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kernels_work_in_a_forked_child(threads: Callable[[int], None]) -> None:
    threads(3)
    expected = work()  # the pool's threads exist here, and not in the child
    run_in_fork(lambda: work() == expected)
    assert work() == expected

    def change_threads() -> bool:
        fn.set_num_threads(2)
        return work() == expected

    run_in_fork(change_threads)
    fn.set_num_threads(2)
    assert work() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_another_thread_computes(threads: Callable[[int], None]) -> None:
    threads(2)
    expected = work()
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            work()

    busy = threading.Thread(target=keep_busy, daemon=True)
    busy.start()
    try:
        for _ in range(5):
            run_in_fork(lambda: work() == expected)
    finally:
        stop.set()
        busy.join(30)
    assert not busy.is_alive()
