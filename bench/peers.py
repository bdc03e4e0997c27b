"""The peers: libraries, and ways to use them, each in a process that is asked for one case at a
time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from typing import Any

PEERS = (
    "fastnn",
    "fastnn-eager",  # the same training steps without fn.compile
    "numpy",
    "numpy-skylakex",
    "torch",
    "torch-channels-last",
    "torch-compile",
    "torch-graph",  # the training steps as a CUDA graph
    "jax",
)
ON_GPU = ("fastnn", "fastnn-eager", "torch", "torch-channels-last", "torch-graph")
PATIENCE = 600  # seconds that a worker may take for one turn, compilation included

# Environment variables that tell a worker where arrays lie and how exact products are.
DEVICE, PRECISION = "BENCH_DEVICE", "BENCH_PRECISION"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS")
_ENVIRONMENT = {
    # OpenBLAS takes its AVX2 kernels on processors that it does not know
    "numpy-skylakex": {"OPENBLAS_CORETYPE": "SkylakeX"},
    # compiles in the worker, and leaves no processes behind
    "torch-compile": {"TORCHINDUCTOR_COMPILE_THREADS": "1"},
    "jax": {"JAX_PLATFORMS": "cpu"},
}


def library(peer: str) -> str:
    """The module that a peer uses."""
    return peer.partition("-")[0]


def suits_machine(peer: str, device: str) -> bool:
    from fastnn._C import config

    if device != "cpu":
        return peer in ON_GPU
    if peer == "torch-graph":
        return False
    return peer != "numpy-skylakex" or "avx512" in config()["isa_found"]


class Peer:
    """A worker process, started again where it died in an earlier case."""

    def __init__(self, name: str, threads: int, environment: dict[str, str]) -> None:
        self.name, self._threads, self._environment = name, threads, environment
        self._start()

    def _start(self) -> None:
        own = self._environment | _ENVIRONMENT.get(self.name, {})
        if self.name == "jax":
            own = own | {"NPROC": str(self._threads)}  # the size of XLA's thread pool
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {v: str(self._threads) for v in _THREADS} | own,
        )

    def version(self) -> str | None:
        """What the worker says when it has started; None where its library is missing."""
        return (self._read() or {}).get("version")

    def time(self, case: str, seconds: float) -> dict[str, Any]:
        """One turn: {} where the peer has no such case, {"error": why} where it failed."""
        if self._process.poll() is not None:
            self._start()
            self._read()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"case": case, "seconds": seconds}) + "\n")
            self._process.stdin.flush()
        reply = self._read()
        return {"error": "its process died"} if reply is None else reply

    def _read(self) -> dict[str, Any] | None:
        """The worker's next line; None where it died or says nothing, and it is then ended."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        self._end()
        return None

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def close(self) -> None:
        self._end()
