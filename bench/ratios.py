"""What measured times say: speeds, the other peers' times over fastnn's, and groups of cases.

A result is what `python -m bench` writes about a case: its name, its group, arithmetic and bytes
of a run, perhaps the machine's peak in FLOP/s, and the seconds of each peer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from bench.peers import library

Result = dict[str, Any]


def median(result: Result) -> float:
    """fastnn's seconds."""
    return float(result["seconds"]["fastnn"]["median"])


def ratios(result: Result) -> dict[str, float]:
    """Every other peer's median over fastnn's: above 1 where fastnn is faster."""
    return {
        peer: times["median"] / median(result)
        for peer, times in result["seconds"].items()
        if peer != "fastnn"
    }


def best_rival(result: Result) -> tuple[float, str] | None:
    """(ratio, peer) of the fastest other library."""
    return min(((r, p) for p, r in ratios(result).items() if library(p) != "fastnn"), default=None)


def speed(result: Result) -> str:
    if result["flops"]:
        return f"{result['flops'] / median(result) / 1e9:.1f} GFLOP/s"
    return f"{result['bytes'] / median(result) / 1e9:.1f} GB/s" if result["bytes"] else ""


def share_of_peak(result: Result) -> str:
    if not result.get("peak"):
        return ""
    return f"{result['flops'] / median(result) / result['peak']:.0%}"


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def grouped(results: Iterable[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result["group"], []).append(result)
    return groups


def verdict(results: list[Result]) -> str:
    """The best rivals of a group in one line; "" where there are none."""
    best = [(rival, r["case"]) for r in results if (rival := best_rival(r))]
    if not best:
        return ""
    mean = geometric_mean(ratio for (ratio, _), _ in best)
    (ratio, peer), case = min(best)
    count = f"geometric mean of {len(best)}"
    return f"best rival {mean:.2f}x ({count}), worst {ratio:.2f}x ({peer}, {case})"
