"""One peer, in a process of its own: a line of JSON in is a case to time, a line out the times.

Started by `python -m bench`. Peers that share a process slow each other down several times:
their threads wait for work by spinning on each other's cores.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.cases import all_cases
from bench.device import device, prepare, synchronizer
from bench.peers import library
from bench.timed import Run, Timed

SAMPLE = 1e-4  # seconds: shorter runs are timed several at once
PEAK_SECONDS = 0.02  # for measuring what the processor can do at the time


def measure(run: Run, synchronize: Callable[[], None], seconds: float) -> list[float]:
    """Seconds a run, in samples, for about `seconds` in all and at least three samples."""
    for _ in range(2):
        run()
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    repeats = max(1, int(SAMPLE / max(time.perf_counter() - start, 1e-9)))
    samples: list[float] = []
    begin = time.perf_counter()
    while len(samples) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        synchronize()
        samples.append((time.perf_counter() - start) / repeats)
    return samples


def settle() -> None:
    """Waits, a second at most, until the threads of this process sleep and leave the cores to the
    next peer: OpenBLAS's spin for a tenth of a second after their work."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.001:
            return


def peak_of(peer: str) -> Callable[[float], float] | None:
    """fastnn's measured loop of multiply-adds, where this peer is fastnn and has it."""
    if peer != "fastnn" or device() != "cpu":
        return None
    return getattr(importlib.import_module("fastnn")._C, "peak_flops", None)


def answer(case: Timed, run: Run, peer: str, seconds: float) -> dict[str, Any]:
    peak = peak_of(peer) if case.flops else None
    peaks = [peak(PEAK_SECONDS)] if peak else []
    samples = measure(run, synchronizer(peer), seconds)
    reply = {"min": min(samples), "median": statistics.median(samples)}
    if peak:
        reply["peak"] = max(*peaks, peak(PEAK_SECONDS))
    settle()
    return reply


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere

    def say(reply: dict[str, Any]) -> None:
        print(json.dumps(reply), file=replies, flush=True)

    peer = sys.argv[1]
    module = importlib.import_module(library(peer))
    if library(peer) == "torch":
        module.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    prepare(peer, module)
    cases = {case.name: case for case in all_cases()}
    say({"version": module.__version__})
    name, run = "", None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["case"] != name:
                name, run = request["case"], None  # the former case's memory goes first
                run = cases[name].build(peer)
            say(answer(cases[name], run, peer, request["seconds"]) if run else {})
        except Exception as error:  # no compiler, out of memory: the other cases go on
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
