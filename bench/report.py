"""Markdown tables, and bar charts, of what `python -m bench --out` wrote.

python -m bench.report bench/results/*.json      prints the tables
python -m bench.report bench/results/*.json --readme README.md \\
    --docs docs/performance.md --plots docs/images
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.peers import PEERS, library
from bench.ratios import (
    Result,
    geometric_mean,
    grouped,
    median,
    ratios,
    share_of_peak,
    speed,
    verdict,
)

MARKERS = "<!-- benchmark -->", "<!-- /benchmark -->"
LIBRARIES = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX"}
SHORT = ("step ", "epoch ", "matmul: 256 x 256 x 256", "matmul: 1024 x 1024 x 1024")

Sections = dict[str, list[Result]]  # by machine


def load(paths: Iterable[Path]) -> Sections:
    """The results of every machine, thread count and instruction set; the later of two alike."""
    sections: dict[str, dict[str, Result]] = {}
    versions: dict[str, dict[str, str]] = {}
    for path in paths:
        written = json.loads(path.read_text())
        about = written["machine"]
        threads = f"{about['threads']} thread{'s' * (about['threads'] != 1)}"
        title = f"{about['processor']}, {threads}, {about['fastnn']['isa']}"
        if "gpu" in about:
            title = f"{about['gpu']}, precision '{about['precision']}'"
        sections.setdefault(title, {}).update({r["case"]: r for r in written["results"]})
        found = {library(peer): version for peer, version in about["peers"].items()}
        versions.setdefault(title, {}).update(found)
    return {
        f"{title}; {', '.join(map(' '.join, versions[title].items()))}": list(results.values())
        for title, results in sections.items()
    }


def duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def cell(ratio: float | None) -> str:
    """A rival's time over fastnn's, bold where the rival is faster."""
    if ratio is None:
        return "-"
    return f"{ratio:.2f}" if ratio >= 1 else f"**{ratio:.2f}**"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Numbers are set to the right, and columns without any left out."""
    kept = [i for i in range(len(heads)) if any(row[i] not in ("", "-") for row in rows)]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line[i] for i in kept) + " |" for line in lines)


def full_table(results: list[Result]) -> str:
    others = [peer for peer in PEERS if peer != "fastnn"]
    rows = []
    for result in results:
        times = ratios(result)
        name = result["case"].removeprefix(f"{result['group']}: ")
        ours = [duration(median(result)), speed(result), share_of_peak(result)]
        rows.append([name, *ours, *(cell(times.get(peer)) for peer in others)])
    return table(["case", "fastnn", "speed", "of peak", *others], rows)


def fastest(result: Result) -> dict[str, float]:
    """Each library's best ratio, whichever way it was used."""
    best: dict[str, float] = {}
    for peer, ratio in ratios(result).items():
        best[library(peer)] = min(ratio, best.get(library(peer), ratio))
    return best


def short_table(results: list[Result]) -> str:
    """Steps, two products, and the mean of all convolutions, beside each library at its best."""

    def row(name: str, time: str, best: dict[str, float]) -> list[str]:
        return [name, time, *(cell(best.get(key)) for key in LIBRARIES)]

    rows = [
        row(result["case"], duration(median(result)), fastest(result))
        for result in results
        if result["case"].startswith(SHORT)
    ]
    if convolutions := [r for r in results if r["group"].startswith("conv2d ")]:
        best = [fastest(result) for result in convolutions]
        shared = {key for key in LIBRARIES if all(key in b for b in best)}
        means = {key: geometric_mean(b[key] for b in best) for key in shared}
        rows.append(row(f"{len(convolutions)} convolutions, geometric mean", "", means))
    return table(["", "fastnn", *LIBRARIES.values()], rows) if rows else ""


def in_sections(sections: Sections, text: Callable[[int, list[Result]], str]) -> str:
    return "\n\n".join(
        f"{title}:\n\n{text(number, results)}"
        for number, (title, results) in enumerate(sections.items())
    )


def replace_marked(path: Path, text: str) -> None:
    """Puts the text between the two marker lines of a file."""
    before, after = (re.escape(marker) for marker in MARKERS)
    pattern = re.compile(rf"(?ms)^{before}$.*?^{after}$")
    old = path.read_text()
    if not pattern.search(old):
        raise SystemExit(f"{path} has no lines {' and '.join(MARKERS)}")
    new = f"{MARKERS[0]}\n\n{text}\n\n{MARKERS[1]}"
    path.write_text(pattern.sub(lambda _: new, old, count=1))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="bench.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--readme", type=Path, help="put a short table between its markers")
    parser.add_argument("--docs", type=Path, help="put all tables between its markers")
    parser.add_argument("--plots", type=Path, help="draw a bar chart a group into this folder")
    args = parser.parse_args(argv)
    sections = load(args.results)

    def everything(number: int, results: list[Result]) -> str:
        parts = []
        for group, members in grouped(results).items():
            parts += [f"### {group}", full_table(members), verdict(members)]
            if args.plots and any(ratios(result) for result in members):
                from bench.plots import bar_chart  # matplotlib is an extra

                suffix = f"-{number + 1}" if number else ""
                path = args.plots / f"{group.replace(' ', '-')}{suffix}.png"
                bar_chart(members, group, path)
                parts.append(picture(path, args.docs))
        return "\n\n".join(part for part in parts if part)

    def picture(path: Path, beside: Path | None) -> str:
        target = os.path.relpath(path, beside.parent) if beside else str(path)
        return f"![Times of the others over fastnn's]({target})"

    whole = in_sections(sections, everything)
    if args.readme:
        replace_marked(args.readme, in_sections(sections, lambda _, r: short_table(r)))
    if args.docs:
        replace_marked(args.docs, whole)
    if not args.readme and not args.docs:
        print(whole)


if __name__ == "__main__":
    main()
