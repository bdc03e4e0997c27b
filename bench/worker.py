"""One peer, in a process of its own: a line of JSON in is a case to time, a line out the times.

Started by `python -m bench`. Peers that share a process slow each other down several times:
their threads wait for work by spinning on each other's cores.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

SAMPLE = 1e-4  # seconds: shorter runs are timed several at once


def measure(run: Any, seconds: float) -> list[float]:
    """Seconds a run, in samples, for about `seconds` in all and at least three samples."""
    run()
    start = time.perf_counter()
    run()
    repeats = max(1, int(SAMPLE / max(time.perf_counter() - start, 1e-9)))
    samples: list[float] = []
    begin = time.perf_counter()
    while len(samples) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        samples.append((time.perf_counter() - start) / repeats)
    return samples


def versions(peer: str) -> str:
    import importlib

    return str(importlib.import_module(peer.partition("-")[0]).__version__)


def main() -> None:
    peer, threads = sys.argv[1], int(sys.argv[2])
    if peer.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    from bench.cases import all_cases

    cases = {case.name: case for case in all_cases()}
    built: dict[str, Any] = {}
    print(json.dumps({"version": versions(peer)}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        name = request["case"]
        if name not in built:
            built[name] = cases[name].build(peer)
        if built[name] is None:
            print("null", flush=True)
            continue
        samples = measure(built[name], request["seconds"])
        reply = {"min": min(samples), "median": statistics.median(samples)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
