"""Times fastnn beside its peers, each in a process of its own, the processes taking turns.

python -m bench                                  everything, as a table
python -m bench --filter step --filter epoch     training
python -m bench --filter matmul --threads 1 --out bench/results/matmul.json
python -m bench --device cuda --precision high   on a GPU, products in TF32
python -m bench.report bench/results/matmul.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench.cases import all_cases
from bench.peers import DEVICE, PEERS, PRECISION, Peer, suits_machine
from bench.ratios import Result, grouped, median, ratios, share_of_peak, speed, verdict
from bench.timed import Timed


def machine(threads: int, device: str, precision: str) -> dict[str, Any]:
    """What the times were measured on."""
    from fastnn._C import config

    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (x.partition(":")[2].strip() for x in lines if x.startswith("model name")), model
        )
    gpu = {}
    if device != "cpu":
        from fastnn import cuda

        gpu = {"gpu": cuda.get_device_name(device), "precision": precision}
    return gpu | {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "fastnn": config(),
        "date": time.strftime("%Y-%m-%d"),
    }


def time_case(case: Timed, peers: list[Peer], rounds: int, seconds: float) -> Result:
    """The peers in turns: minimum and median of the rounds, and each round's median."""
    replies: dict[str, list[Any]] = {peer.name: [] for peer in peers}
    without: set[str] = set()
    for _ in range(rounds):
        for peer in peers:
            if peer.name in without:
                continue
            reply = peer.time(case.name, seconds)
            if "median" in reply:
                replies[peer.name].append(reply)
                continue
            without.add(peer.name)
            if "error" in reply:
                why = reply["error"].partition("\n")[0]
                print(f"{case.name}: {peer.name} failed: {why}", file=sys.stderr)
    result: Result = {
        "case": case.name,
        "group": case.group,
        "flops": case.flops,
        "bytes": case.bytes,
        "seconds": {
            name: {
                "min": min(r["min"] for r in got),
                "median": statistics.median(r["median"] for r in got),
                "rounds": [r["median"] for r in got],
            }
            for name, got in replies.items()
            if got and name not in without
        },
    }
    peaks = [r["peak"] for r in replies["fastnn"] if "peak" in r]
    return result | ({"peak": max(peaks)} if peaks else {})


def row(result: Result, names: list[str]) -> str:
    """One line: fastnn's time and speed, then every peer's time over fastnn's."""
    others = ratios(result)
    cells = [f"{others[n]:9.2f}x" if n in others else f"{'-':>10}" for n in names if n != "fastnn"]
    ours = f"{median(result) * 1e6:10.1f} us {speed(result):>15} {share_of_peak(result):>5}"
    return f"{result['case'][:64]:64} {ours} {' '.join(cells)}"


def run(cases: list[Timed], peers: list[Peer], rounds: int, seconds: float) -> list[Result]:
    """Times every case and prints it; cases in which fastnn failed are not in the results."""
    names = [peer.name for peer in peers]
    heads = " ".join(f"{n[:10]:>10}" for n in names if n != "fastnn")
    print(f"{'median of fastnn; times of the others over it':64} {'':35} {heads}")
    results = []
    for case in cases:
        result = time_case(case, peers, rounds, seconds)
        if "fastnn" in result["seconds"]:
            results.append(result)
            print(row(result, names), flush=True)
    for group, members in grouped(results).items():
        if line := verdict(members):
            print(f"{group}: {line}")
    return results


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--filter", action="append", help="only cases whose name contains this; may be repeated"
    )
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="comma-separated; missing ones are left out"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each peer at each case")
    parser.add_argument("--seconds", type=float, default=0.2, help="of one turn")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--precision",
        choices=("highest", "high", "medium"),
        default="highest",
        help="of float32 products: float32, TF32 or bfloat16, as far as the device has them",
    )
    parser.add_argument("--out", type=Path, help="write all times and the machine as JSON")
    args = parser.parse_args(argv)
    filters = args.filter or [""]
    cases = [case for case in all_cases() if any(f in case.name for f in filters)]
    if not cases:
        parser.error(f"no case contains {' or '.join(map(repr, filters))}")
    wanted = args.peers.split(",")
    unknown = set(wanted) - set(PEERS)
    if unknown or "fastnn" not in wanted:
        parser.error(f"--peers takes fastnn and any of {', '.join(PEERS)}; got {args.peers}")
    environment = {DEVICE: args.device, PRECISION: args.precision}
    peers = [
        Peer(name, args.threads, environment) for name in wanted if suits_machine(name, args.device)
    ]
    try:
        versions = {peer.name: peer.version() for peer in peers}
        if left_out := [name for name in wanted if not versions.get(name)]:
            print(f"left out: {', '.join(left_out)}", file=sys.stderr)
        present = [peer for peer in peers if versions[peer.name]]
        results = run(cases, present, args.rounds, args.seconds)
    finally:
        for peer in peers:
            peer.close()
    if args.out:
        about = machine(args.threads, args.device, args.precision) | {
            "peers": {p.name: versions[p.name] for p in present}
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    if len(results) < len(cases):
        raise SystemExit(f"fastnn failed in {len(cases) - len(results)} of {len(cases)} cases")


if __name__ == "__main__":
    main()
