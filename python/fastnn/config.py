"""What this build of fastnn is, and how it runs here."""

from __future__ import annotations

from typing import Any

from fastnn import _C
from fastnn.nn._checks import one_of


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Prints version, compiler, instruction sets found and chosen, and threads with the reason.

    With mode "dicts" they are returned instead, under the keys `version`, `compiler`, `isa_found`,
    `isa`, `bf16`, `threads`, `threads_reason` and `cuda`.
    """
    c: dict[str, Any] = _C.config()
    if one_of("show_config", "mode", mode, ("stdout", "dicts")) == "dicts":
        return c
    print(f"fastnn            {c['version']}")
    print(f"compiler          {c['compiler']}")
    print(f"instruction sets  found {', '.join(c['isa_found'])}; using {c['isa']}")
    print(f"bfloat16          matrix products {'' if c['bf16'] else 'not '}available")
    print(f"threads           {c['threads']} ({c['threads_reason']})")
    print(f"CUDA              {_cuda(c['cuda'])}")
    return None


def _cuda(built: str) -> str:
    if built == "not built":
        return built
    try:
        gpus = range(_C.cuda_device_count())
    except RuntimeError as error:
        return f"{built}; {error}"
    return f"{built}; {', '.join(_C.cuda_device_name(gpu) for gpu in gpus)}"
