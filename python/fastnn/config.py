"""What this build of fastnn is, and how it runs here."""

from __future__ import annotations

from fastnn import _C


def show_config() -> None:
    """Prints version, compiler, instruction sets found and chosen, and threads with the reason."""
    c = _C.config()
    print(f"fastnn            {c['version']}")
    print(f"compiler          {c['compiler']}")
    print(f"instruction sets  found {', '.join(c['isa_found'])}; using {c['isa']}")
    print(f"bfloat16          matrix products {'' if c['bf16'] else 'not '}available")
    print(f"threads           {c['threads']} ({c['threads_reason']})")
    print(f"CUDA              {_cuda(c['cuda'])}")


def _cuda(built: str) -> str:
    if built == "not built":
        return built
    try:
        gpus = range(_C.cuda_device_count())
    except RuntimeError as error:
        return f"{built}; {error}"
    return f"{built}; {', '.join(_C.cuda_device_name(gpu) for gpu in gpus)}"
