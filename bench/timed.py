"""What a case is, wherever it comes from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Run = Callable[[], Any]
Build = Callable[[str], Run | None]


@dataclass(frozen=True)
class Timed:
    """One case, built once for each peer into a function of no arguments.

    group: the table it stands in.
    work: (arithmetic, bytes of memory) of one run, 0 where not known.
    build: peer -> function, None where the peer has no such thing.
    """

    name: str
    group: str
    work: Callable[[], tuple[float, float]]
    build: Build

    @functools.cached_property
    def flops(self) -> float:
        return self.work()[0]

    @functools.cached_property
    def bytes(self) -> float:
        return self.work()[1]
