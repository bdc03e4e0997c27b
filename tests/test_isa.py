"""The choice of the instruction set, and every operation under each that this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn as fn

pytestmark = pytest.mark.cpu_only("instruction sets")

ROOT = Path(__file__).resolve().parents[1]
FORCED = os.environ.get("FASTNN_ISA")
FOUND = fn._C.config()["isa_found"]
OTHERS = [] if FORCED else [isa for isa in FOUND if isa != fn._C.config()["isa"]]


def python(*args: str, isa: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        env={**os.environ, "FASTNN_ISA": isa},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_chosen_is_the_forced_one_or_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = fn._C.config()["isa"]
    assert chosen == (FORCED or FOUND[-1])
    fn.show_config()
    assert fn.show_config("dicts")["version"] == fn.__version__
    assert f"found {', '.join(FOUND)}; using {chosen}" in capsys.readouterr().out


def test_generic_is_always_there() -> None:
    assert FOUND[0] == "generic"


@pytest.mark.parametrize("isa", FOUND)
def test_forcing_works(isa: str) -> None:
    out = python("-c", "import fastnn as fn; print(fn._C.config()['isa'])", isa=isa)
    assert (out.returncode, out.stdout.strip()) == (0, isa), out.stderr


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx2,avx512", " "])
def test_unknown_name_is_an_error_that_lists_the_valid_ones(name: str) -> None:
    out = python("-c", "import fastnn", isa=name)
    assert out.returncode != 0
    message = out.stderr.strip().splitlines()[-1]
    assert "FASTNN_ISA" in message
    assert f"'{name}'" in message
    assert message.endswith(", ".join(FOUND))


@pytest.mark.parametrize("isa", OTHERS)
def test_operations_under_another_instruction_set(isa: str) -> None:
    suites = ["test_ops.py", "test_simd_math.py", f"test_isa.py::{_CHOSEN}"]
    options = ("-q", "--maxfail=5", *[f"tests/{suite}" for suite in suites])
    out = python("-m", "pytest", *options, isa=isa)
    assert out.returncode == 0, out.stdout[-4000:] + out.stderr[-2000:]


_CHOSEN = test_chosen_is_the_forced_one_or_the_best.__name__
