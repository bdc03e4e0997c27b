"""The benchmark, end to end, on a budget of milliseconds. Nothing is asserted about speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cpu_only("the benchmark measures where it is told")

ROOT = Path(__file__).resolve().parents[1]
ABOUT = {
    "processor": "Abacus",
    "threads": 2,
    "fastnn": {"isa": "avx2"},
    "peers": {"fastnn": "1", "torch": "2", "torch-compile": "2"},
}
QUICK = ("--rounds", "2", "--seconds", "0.01", "--threads", "1")


def run(module: str, *args: object, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`python -m module args` in the source tree, `path` first among its imports."""
    given = os.environ.get("PYTHONPATH", "")
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, args)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{given}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_bench_prints_a_table_and_writes_what_it_measured(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    filters = ("--filter", "matmul: 32", "--filter", "step 784-30-10")
    done = run("bench", *filters, "--peers", "fastnn,fastnn-eager,numpy", *QUICK, "--out", out)
    assert done.returncode == 0, done.stderr
    for text in ("step 784-30-10, batch 10", "matmul: 32 x 32 x 32", "matmul: best rival"):
        assert text in done.stdout
    written = json.loads(out.read_text())
    step, product = written["results"]
    assert set(step["seconds"]) == {"fastnn", "fastnn-eager", "numpy"}
    assert product["group"] == "matmul"
    assert product["flops"] == 2 * 32**3
    assert set(product["seconds"]) == {"fastnn", "numpy"}
    for times in product["seconds"].values():
        assert 0 < times["min"] <= times["median"]
        assert min(times["rounds"]) <= times["median"] <= max(times["rounds"])
        assert len(times["rounds"]) == 2
    assert written["machine"]["threads"] == 1
    assert set(written["machine"]["peers"]) == {"fastnn", "fastnn-eager", "numpy"}


@pytest.mark.parametrize(
    ("jax", "said"),
    [
        ("raise ImportError", "left out: jax"),
        ("import os\n__version__ = '0'\ndef __getattr__(name): os._exit(1)", "its process died"),
        ("__version__ = '0'\ndef __getattr__(name): raise OSError(name)", "jax failed: OSError"),
    ],
    ids=["missing", "dies", "fails"],
)
def test_other_peers_go_on_without(tmp_path: Path, jax: str, said: str) -> None:
    (tmp_path / "jax.py").write_text(jax)
    out = tmp_path / "results.json"
    peers = ("--peers", "fastnn,jax", "--out", out)
    done = run("bench", "--filter", "matmul: 32", *peers, *QUICK, path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    (result,) = json.loads(out.read_text())["results"]
    assert set(result["seconds"]) == {"fastnn"}


@pytest.mark.parametrize(
    ("args", "said"),
    [(("--peers", "fastnn,abacus"), "abacus"), (("--filter", "no such case"), "no such case")],
)
def test_what_is_not_there_is_refused(args: tuple[str, str], said: str) -> None:
    done = run("bench", *args)
    assert done.returncode == 2
    assert said in done.stderr


def result(case: str, **milliseconds: float) -> dict[str, Any]:
    times = {peer.replace("_", "-"): {"median": ms / 1e3} for peer, ms in milliseconds.items()}
    name, colon, _ = case.partition(":")
    group = name if colon else case.split()[0]
    return {"case": case, "group": group, "flops": 4e6, "bytes": 0, "peak": 8e9, "seconds": times}


def test_report_makes_tables_and_charts(tmp_path: Path) -> None:
    results = [
        result("step 784-30-10, batch 10", fastnn=1, fastnn_eager=2, numpy=3, torch=4),
        result("matmul: 256 x 256 x 256", fastnn=1, numpy=0.5, torch=4, torch_compile=3),
        result("conv2d forward: a", fastnn=1, torch=4, torch_channels_last=2),
        result("conv2d input gradient: a", fastnn=1, torch=8),
    ]
    measured = tmp_path / "results.json"
    measured.write_text(json.dumps({"machine": ABOUT, "results": results}))
    readme, docs = tmp_path / "README.md", tmp_path / "performance.md"
    for file in (readme, docs):
        file.write_text("before\n\n<!-- benchmark -->\nold\n<!-- /benchmark -->\n\nafter\n")
    plots = tmp_path / "images"

    done = run("bench.report", measured, "--readme", readme, "--docs", docs, "--plots", plots)

    assert done.returncode == 0, done.stderr
    for file in (readme, docs):
        lines = file.read_text().splitlines()
        assert lines[:3] + lines[-3:] == [
            *("before", "", "<!-- benchmark -->"),
            *("<!-- /benchmark -->", "", "after"),
        ]
        assert "old" not in lines
        assert "Abacus, 2 threads, avx2; fastnn 1, torch 2:" in lines
    short, full = readme.read_text(), docs.read_text()
    assert "| matmul: 256 x 256 x 256 | 1.00 ms | **0.50** | 3.00 |" in short
    assert "| 2 convolutions, geometric mean |  | - | 4.00 |" in short
    assert "| 256 x 256 x 256 | 1.00 ms | 4.0 GFLOP/s | 50% | **0.50** | 4.00 | 3.00 |" in full
    assert "worst 0.50x (numpy, matmul: 256 x 256 x 256)" in full
    assert "](images/matmul.png)" in full
    names = {"step", "matmul", "conv2d-forward", "conv2d-input-gradient"}
    assert {plot.stem for plot in plots.glob("*.png")} == names


def test_report_refuses_a_file_without_markers(tmp_path: Path) -> None:
    measured, readme = tmp_path / "results.json", tmp_path / "README.md"
    measured.write_text(json.dumps({"machine": ABOUT, "results": []}))
    readme.write_text("<!-- benchmark --> in a line of its own\n")
    done = run("bench.report", measured, "--readme", readme)
    assert done.returncode == 1
    assert "has no lines" in done.stderr
