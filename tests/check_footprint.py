"""Checks the size of a wheel of the installed package, and what its import costs beyond NumPy's."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import zipfile
from importlib.metadata import distribution

MAX_WHEEL, MAX_WITH_CUDA = 5_000_000, 10_000_000  # bytes
MAX_IMPORT = 0.060  # seconds beyond numpy's own


def import_seconds(module: str) -> float:
    """Wall-clock of a fresh interpreter that imports numpy and then the module, of it alone."""
    timed = f"t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    code = f"import numpy, time; {timed}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(out.stdout)


def wheel_size() -> int:
    """Bytes of the installed files packed as a wheel packs them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in distribution("fastnn").files or ():
            if file.suffix != ".pyc":
                archive.write(str(file.locate()), str(file))
    return packed.tell()


def main() -> None:
    size = wheel_size()
    import_seconds("fastnn")  # compiles bytecode, fills the file cache
    seconds = min(import_seconds("fastnn") for _ in range(7) if time.sleep(0.1) is None)
    files = distribution("fastnn").files or ()
    most = MAX_WITH_CUDA if any("fastnn_cuda" in file.name for file in files) else MAX_WHEEL
    print(f"wheel {size / 1e6:.2f} MB (at most {most / 1e6:.0f})")
    print(f"import fastnn {seconds * 1e3:.0f} ms beyond numpy (at most {MAX_IMPORT * 1e3:.0f})")
    if size > most:  # a time, on a shared machine, is only shown
        sys.exit("the wheel is too large")


if __name__ == "__main__":
    main()
