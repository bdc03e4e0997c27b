"""fn.compile: steps with any number of threads, and in several Python threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest
from samples import normal
from steps import examples, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim

pytestmark = pytest.mark.cpu_only("threads of kernels")


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_the_same_bits_for_any_number_of_threads(
    threads: Callable[[int], None], compiled: bool
) -> None:
    def run() -> list[bytes]:
        fn.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 8, 3),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(8 * 8 * 8, 300),
            nn.GELU(),
            nn.Linear(300, 5),
        )
        step = training_step(model, optim.Adam(model.parameters(), lr=0.01))
        step = fn.compile(step) if compiled else step
        losses = [step(fn.from_numpy(x), fn.from_numpy(y)) for x, y in examples(4, 37, 1, 20, 20)]
        return [t.detach().numpy().tobytes() for t in (*losses, *model.state_dict().values())]

    threads(1)
    expected = run()
    for n in (1, 2, 3, 8):
        threads(n)
        assert run() == expected, f"{n} threads"


def test_the_number_of_threads_may_change_between_replays(threads: Callable[[int], None]) -> None:
    def train(compile):
        model = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 5))
        step = compile(training_step(model, optim.Adam(model.parameters())))
        for n, (x, y) in zip((1, 2, 3, 8, 2, 1), examples(6, 130, 64), strict=True):
            threads(n)
            step(x, y)
        return model.state_dict()

    same_bits(train, recordings=2)


def test_steps_in_several_python_threads():
    results: dict[int, list[float]] = {}

    def run(seed: int) -> None:
        w = fn.zeros(40, 40, dtype=fn.float64)

        @fn.compile
        def step(x):
            w.add_(x @ x)
            return w.mean()

        results[seed] = [step(normal(40, 40, seed=seed + i)).item() for i in range(20)]

    workers = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    at_once, results = results, {}
    for seed in range(4):
        run(seed)
    assert at_once == results


def test_a_step_runs_in_one_thread_at_a_time():
    step, failures = fn.compile(lambda x: (x @ x).sum()), []
    x = fn.ones(800, 800)
    expected = step(x).item()
    gate = threading.Barrier(3)

    def run() -> None:
        gate.wait(30)
        for _ in range(10):
            try:
                assert step(x).item() == expected
            except RuntimeError as error:
                failures.append(str(error))

    workers = [threading.Thread(target=run) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert all("already running in another thread" in failure for failure in failures)
    assert step(x).item() == expected


def test_python_runs_while_a_step_does():
    step, x = fn.compile(lambda x: (x @ x).sum()), fn.ones(700, 700)
    step(x)
    ticks, stop = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0)

    worker = threading.Thread(target=tick, daemon=True)
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1000)  # threads change only where one lets go of the GIL
        worker.start()
        for _ in range(100):
            before = ticks
            step(x)
            if ticks > before:
                break
        else:
            pytest.fail("no other thread ran")
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        worker.join(30)
