"""The benchmark, end to end, on a budget of milliseconds. Nothing is asserted about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_bench_prints_a_table_and_writes_what_it_measured(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "--filter", "matmul: 32", "--peers", "fastnn,numpy"),
            *("--rounds", "2", "--seconds", "0.01", "--threads", "1", "--out", str(out)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "matmul: 32 x 32 x 32" in run.stdout
    written = json.loads(out.read_text())
    (result,) = written["results"]
    assert result["flops"] == 2 * 32**3
    assert set(result["seconds"]) == {"fastnn", "numpy"}
    assert all(0 < t["min"] <= t["median"] for t in result["seconds"].values())
    assert written["machine"]["threads"] == 1
