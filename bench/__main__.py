"""Times fastnn beside its peers, each in a process of its own, the processes taking turns.

python -m bench                                  everything, as a table
python -m bench --filter step --rounds 5         training steps
python -m bench --filter matmul --threads 1 --out bench/results/matmul.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.cases import PEERS, Timed, all_cases


class Peer:
    """A worker process; asks it for one case at a time."""

    def __init__(self, name: str, threads: int) -> None:
        env = os.environ | {
            v: str(threads)
            for v in (
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "FASTNN_NUM_THREADS",
            )
        }
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )
        self.version = (self._read() or {}).get("version")

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def time(self, case: str, seconds: float) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"case": case, "seconds": seconds}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=30)


def machine(threads: int) -> dict[str, Any]:
    """What the times were measured on."""
    import fastnn as fn

    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (x.partition(":")[2].strip() for x in lines if x.startswith("model name")), model
        )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "fastnn": fn._C.config(),
    }


def run(cases: list[Timed], peers: list[Peer], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Times every case in turns; a result a case, with the minimum and median of the rounds."""
    results = []
    for case in cases:
        replies: dict[str, list[Any]] = {peer.name: [] for peer in peers}
        for _ in range(rounds):
            for peer in peers:
                reply = peer.time(case.name, seconds)
                if reply is not None:
                    replies[peer.name].append(reply)
        times = {
            name: {
                "min": min(r["min"] for r in got),
                "median": statistics.median(r["median"] for r in got),
            }
            for name, got in replies.items()
            if got
        }
        results.append(
            {"case": case.name, "flops": case.flops, "bytes": case.bytes, "seconds": times}
        )
        print(row(results[-1], [peer.name for peer in peers]), flush=True)
    return results


def row(result: dict[str, Any], names: list[str]) -> str:
    """One line: fastnn's time and speed, then every peer's time over fastnn's."""
    times, ours = result["seconds"], result["seconds"]["fastnn"]["median"]
    speed = ""
    if result["flops"]:
        speed = f"{result['flops'] / ours / 1e9:7.1f} GFLOP/s"
    elif result["bytes"]:
        speed = f"{result['bytes'] / ours / 1e9:7.1f} GB/s"
    ratios = [
        f"{times[n]['median'] / ours:9.2f}x" if n in times else " " * 9 + "-"
        for n in names
        if n != "fastnn"
    ]
    return f"{result['case'][:52]:52} {ours * 1e6:10.1f} us {speed:15} " + " ".join(ratios)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--filter", default="", help="only cases whose name contains this")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="comma-separated; missing ones are left out"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each peer at each case")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one turn")
    parser.add_argument("--out", type=Path, help="write all times and the machine as JSON")
    args = parser.parse_args(argv)
    cases = [case for case in all_cases() if args.filter in case.name]
    if not cases:
        parser.error(f"no case contains {args.filter!r}")
    wanted = args.peers.split(",")
    unknown = set(wanted) - set(PEERS)
    if unknown or "fastnn" not in wanted:
        parser.error(f"--peers takes fastnn and any of {', '.join(PEERS)}; got {args.peers}")
    peers = [Peer(name, args.threads) for name in wanted]
    present = [peer for peer in peers if peer.version]
    head = [f"{p.name[:10]:>10}" for p in present if p.name != "fastnn"]
    print(f"{'median of fastnn; times of the others over it':52} {'':13} {'':15} " + " ".join(head))
    try:
        results = run(cases, present, args.rounds, args.seconds)
    finally:
        for peer in peers:
            peer.close()
    if args.out:
        about = machine(args.threads) | {p.name: p.version for p in present if p.name != "fastnn"}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
