"""Programs of their own for tests of CUDA: what they do to the process, or need from it, must not
reach other tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import fastnn as fn

NEEDS_GPU = pytest.mark.skipif(not fn.cuda.is_available(), reason="no GPU, real or emulated")


def is_emulated() -> bool:
    return fn.cuda.is_available() and "emulated" in fn.cuda.get_device_name()


NEEDS_EMULATION = pytest.mark.skipif(not is_emulated(), reason="for an emulated GPU")


def run(program: str, package: Path | None = None, **environment: Any) -> str:
    """What the program prints; it must end well."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith("FASTNN_CUDA")}
    settings["PYTHONPATH"] = str(package or Path(fn.__file__).parents[1])
    settings |= {k: str(v) for k, v in environment.items()}
    done = subprocess.run(
        [sys.executable, "-c", "import fastnn as fn\n" + textwrap.dedent(program)],
        env=settings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def error_of(program: str, package: Path | None = None, **environment: Any) -> str:
    """Type and text of the fastnn error that the last lines of the program raise."""
    wrapped = (
        "try:\n" + textwrap.indent(textwrap.dedent(program), "    ") + "\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
        "else:\n    raise SystemExit('no error')\n"
    )
    return run(wrapped, package, **environment)
