"""CompiledStep.run_epoch: Ctrl-C, and other threads, while an epoch runs in C++."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from steps import training_step

import fastnn as fn
from fastnn import nn, optim


def test_ctrl_c_ends_the_epoch_between_steps():
    model = nn.Linear(1, 2)
    opt = optim.SGD(model.parameters(), lr=1e-3)
    step = fn.compile(training_step(model, opt))
    x, y = fn.ones(1_000_000, 1), fn.zeros(1_000_000, dtype=fn.int64)

    def weight() -> np.ndarray:
        return model.weight.detach().cpu().numpy().copy()

    start = weight()

    def interrupt() -> None:
        while np.array_equal(weight(), start):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    killer = threading.Thread(target=interrupt, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        killer.start()
        with pytest.raises(KeyboardInterrupt):
            step.run_epoch(x, y, 1)
        killer.join(30)
    finally:
        signal.signal(signal.SIGINT, before)
    reached = weight()
    loss = step(x[:4], y[:4]).item()
    assert np.isfinite(loss)
    assert not np.array_equal(weight(), reached)
    assert step.run_epoch(x[:8], y[:8], 1).steps == 8


@pytest.mark.cpu_only("weights are looked at as they change")
def test_python_runs_meanwhile():
    seen: list[float] = []
    done = threading.Event()
    model = nn.Linear(1, 2)
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=1e-3)))
    x, y = np.ones((20_000, 1), np.float32), np.zeros(20_000, np.int64)
    weight = model.weight.detach().cpu().numpy()

    def look() -> None:
        while not done.is_set():
            seen.append(float(weight[0, 0]))
            time.sleep(0)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    for _ in range(100):
        step.run_epoch(x, y, 1)
        if len(set(seen)) > 5:
            break
    done.set()
    watcher.join(30)
    assert len(set(seen)) > 5  # weights in the middle of training


def test_the_step_is_taken_while_its_epoch_runs():
    model = nn.Linear(1, 2)
    step = fn.compile(training_step(model, optim.SGD(model.parameters(), lr=1e-3)))
    x, y = fn.ones(64, 1), fn.zeros(64, dtype=fn.int64)
    step.run_epoch(x, y, 4)
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(step.run_epoch(x, y, 4).steps)
        except RuntimeError as error:
            results.append("already running in another thread" in str(error))

    workers = [threading.Thread(target=run) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert all(result in (16, True) for result in results)
    assert len(results) == 4
