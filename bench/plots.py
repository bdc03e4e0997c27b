"""Bar charts of how long the other peers take beside fastnn. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from bench.peers import PEERS
from bench.ratios import Result, ratios

COLORS = dict(zip(PEERS, (f"C{i}" for i in range(len(PEERS))), strict=True))
INCHES = 0.13  # of a bar


def bar_chart(results: list[Result], title: str, path: Path) -> None:
    """A bar a case and peer, from 1 to its ratio: to the right where fastnn is faster."""
    times = [ratios(result) for result in results]
    peers = [peer for peer in PEERS if any(peer in t for t in times)]
    height = INCHES * len(results) * (len(peers) + 1) + 1.2
    figure = Figure((8, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    for number, peer in enumerate(peers):
        present = [(i, t[peer]) for i, t in enumerate(times) if peer in t]
        axes.barh(
            [i + (number + 1) / (len(peers) + 1) - 0.5 for i, _ in present],
            [ratio - 1 for _, ratio in present],
            height=1 / (len(peers) + 1),
            left=1,
            color=COLORS[peer],
            label=peer,
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    names = [result["case"].removeprefix(f"{result['group']}: ") for result in results]
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.invert_yaxis()
    axes.set(title=title, xlabel="time over fastnn's (above 1: fastnn is faster)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
