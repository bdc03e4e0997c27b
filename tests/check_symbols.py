"""Checks that code for newer machines cannot be linked in for older ones.

The kernels are compiled once per instruction set. When such an object file defines an inline
function or template that other objects define too (std::max<float>, a helper from a header), each
copy is a weak symbol of the same name, and the linker keeps any one of them for the whole program.
Should it keep the copy compiled with AVX-512 flags, the extension crashes with an illegal
instruction on every older machine, in code that has nothing to do with AVX-512. Nothing shows
before that: it links, and passes every test on the machine that built it.

So each weak symbol in those objects must have `fnn::avx2::` (or `fnn::avx512::`) in its name: as
its namespace, or in a template argument or a parameter, which makes its name different from that
of every other instruction set just as well.

Usage: check_symbols.py BUILD_DIRECTORY
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

INSTRUCTION_SETS = ("avx2", "avx512")
CLOSED = "avx512bf16"  # one file for newer processors within avx512: no symbol may be shared at all
WEAK = "VWuvw"  # what nm calls symbols that the linker may merge


def belongs_to(isa: str, name: str) -> bool:
    """Whether a name mentions the namespace, also where nm could not demangle it."""
    return f"fnn::{isa}::" in name or bool(re.match(rf"_Z.*(3fnn|NS_){len(isa)}{isa}", name))


def weak_symbols(objects: list[Path]) -> Iterator[tuple[Path, str]]:
    """(object, demangled name) of every symbol that may be merged with another object's."""
    command = ["nm", "-C", "-A", "--defined-only", *map(str, objects)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        # path/to/cpu.cc.o:0000000000000000 W void fnn::avx2::sgd<float>(...)
        path, _, rest = line.partition(".o:")
        _, kind, name = rest.split(maxsplit=2)
        # DW.ref.* points to a function of exception handling: the same data in all.
        if kind in WEAK and not name.startswith("DW.ref."):
            yield Path(path + ".o"), name


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BUILD_DIRECTORY")
    build = Path(sys.argv[1])
    checked, shared = 0, []
    for isa in INSTRUCTION_SETS:
        objects = sorted((build / "CMakeFiles" / f"fnn_{isa}.dir").rglob("*.o"))
        symbols = list(weak_symbols(objects)) if objects else []
        if not symbols:  # kernels are weak templates: none at all means that nothing was looked at
            sys.exit(f"no object files with kernels for {isa} in {build}")
        checked += len(symbols)
        shared += [(path, name) for path, name in symbols if not belongs_to(isa, name)]
    objects = sorted((build / "CMakeFiles" / f"fnn_{CLOSED}.dir").rglob("*.o"))
    if not objects:
        sys.exit(f"no object files for {CLOSED} in {build}")
    shared += weak_symbols(objects)
    for path, name in shared:
        print(f"{path.relative_to(build)}: {name}")
    if shared:
        sys.exit(f"{len(shared)} symbols that the linker could pick for every machine")
    print(f"{checked} weak symbols, each of one instruction set alone")


if __name__ == "__main__":
    main()
