"""The emulation of CUDA (tests/cuda_emulation) must run correct kernels correctly in every order of
their threads, and catch incorrect ones: the tests that it carries rest on that."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu_only("the emulation itself")

ROOT = Path(__file__).parents[1]
EMULATION = ROOT / "tests/cuda_emulation"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    "flags",
    [("-O2",), ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")],
    ids=["plain", "sanitized"],
)
def test_emulation(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = tmp_path / "selftest"
    sources = [*EMULATION.glob("*.cc"), *EMULATION.glob("selftest/*.cc")]
    options = [
        "-std=c++20",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unknown-pragmas",
        "-DFNN_CUDA",
        "-DFNN_ISA=cuda",
        "-pthread",
    ]
    includes = [f"-I{EMULATION}", f"-I{ROOT / 'csrc'}"]
    subprocess.run([COMPILER, *options, *flags, *includes, *sources, "-o", program], check=True)
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("FASTNN_") and k != "LD_PRELOAD"
    }
    result = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(" ok\n") >= 20
