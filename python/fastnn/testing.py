"""How an operation is described for its tests and benchmarks, and how results are compared.

Every folder of csrc/ops has a spec.py with a list SPECS, one Spec an operation: a reference in
float64 NumPy, written for reading, and cases named by what they stress. The tests and
`python -m bench` do the rest. Tolerances are multiples of epsilon times a scale that the reference
gives with each value: the sum of the |terms| that were added up to it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Maker = Callable[[np.random.Generator], Array]

# --- inputs: a tuple is the shape of standard normal numbers, the rest is said by a function ----


def uniform(low: float, high: float, *shape: int) -> Maker:
    """Numbers in [low, high)."""
    return lambda rng: rng.uniform(low, high, shape)


def integers(low: int, high: int, *shape: int) -> Maker:
    """int64 in [low, high): class numbers, indices."""
    return lambda rng: rng.integers(low, high, shape)


def ties(*shape: int) -> Maker:
    """Numbers among -2, -1, 0, 1 and 2, so that many are equal."""
    return lambda rng: rng.integers(-2, 3, shape).astype(np.float64)


def given(values: Any) -> Maker:
    """These very values."""
    return lambda rng: np.array(values)


def specials(*shape: int) -> Maker:
    """Normal numbers, every third of them NaN, infinite or a zero of either sign."""
    odd = (np.nan, np.inf, -np.inf, -0.0, 0.0)

    def make(rng: np.random.Generator) -> Array:
        x = rng.standard_normal(shape)
        x.flat[::3] = rng.choice(odd, x.flat[::3].size)
        return x

    return make


# --- operations and cases -----------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One call of an operation: arrays in the order of its arguments, then keyword arguments.

    `grad=False` says that finite differences cannot check it: it holds NaN, infinities, ties or
    a corner of the function.
    """

    name: str
    inputs: Mapping[str, Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    grad: bool = True

    def arrays(self, dtype: Any = np.float64) -> dict[str, Array | None]:
        """The inputs, always the same: real numbers in `dtype`, others in a type of their own."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        made: dict[str, Array | None] = {}
        for name, maker in self.inputs.items():
            x = rng.standard_normal(maker) if isinstance(maker, tuple) else maker and maker(rng)
            if x is not None:  # the generator gives a number for a shape of ()
                x = np.asarray(x)
                x = x.astype(dtype) if _is(x, np.floating) else x
            made[name] = x
        return made


@dataclass(frozen=True)
class Spec:
    """An operation, its reference and its cases.

    reference: called like the operation, with float64 arrays; returns (value, scale), where a
        scale of None asks for equality. For an operation with several results value and scale are
        lists.
    cases: the first is a plain one.
    kernels: rows of kernels.inc that the cases run.
    grad: inputs that gradients flow to.
    op: the operation, fastnn._C.<name> when None. It gets tensors, and None for absent inputs.
        Gradients are those of its first result.
    in_place: whether it writes to its inputs.
    layouts: whether the first case runs in every memory layout.
    k: the tolerance is k * epsilon * scale.
    grad_k: the same for float32 gradients beside float64 ones, times the largest of them.
    bench: larger cases, to be timed. flops: called like the operation, gives their arithmetic;
        bytes: the same for memory; grad_bytes: of forward and backward together.
    numpy, torch, jax: the operation in other libraries, as a dotted name below "numpy", "torch"
        and "jax" or a function, to be timed beside.
    """

    name: str
    reference: Callable[..., Any]
    cases: Sequence[Case]
    kernels: Sequence[str] = ()
    grad: Sequence[str] = ()
    op: Callable[..., Any] | None = None
    in_place: bool = False
    layouts: bool = True
    k: float = 4
    grad_k: float = 32
    bench: Sequence[Case] = ()
    flops: Callable[..., float] | None = None
    bytes: Callable[..., float] | None = None
    grad_bytes: Callable[..., float] | None = None
    numpy: str | Callable[..., Any] | None = None
    torch: str | Callable[..., Any] | None = None
    jax: str | Callable[..., Any] | None = None
    folder: str = ""

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"[{self.name}] cases need names that differ; got {names}")

    def call(self, *tensors: Any, **attrs: Any) -> list[Any]:
        """Runs the operation; its results as a list."""
        op = self.op or getattr(importlib.import_module("fastnn._C"), self.name)
        y = op(*tensors, **attrs)
        return list(y) if isinstance(y, (tuple, list)) else [y]

    def expected(self, case: Case, dtype: Any) -> list[tuple[Array, Array | None]]:
        """(value, scale) of every result, for the inputs as `dtype` holds them."""
        wide = [
            x.astype(np.float64) if x is not None and _is(x, np.floating) else x
            for x in case.arrays(dtype).values()
        ]
        with np.errstate(all="ignore"):
            value, scale = self.reference(*wide, **case.attrs)
        if isinstance(value, list):
            return list(zip(map(np.asarray, value), scale, strict=True))
        return [(np.asarray(value), scale)]


def _is(x: Array, kind: Any) -> bool:
    return bool(np.issubdtype(x.dtype, kind))


def exact(f: Callable[..., Any]) -> Callable[..., Any]:
    """A reference whose only error is the rounding of the result itself."""

    def reference(*args: Any, **attrs: Any) -> Any:
        y = np.asarray(f(*args, **attrs))
        return y, abs(y) if _is(y, np.floating) else None

    return reference


def load_specs(root: str | os.PathLike[str] | None = None) -> list[Spec]:
    """The SPECS of every csrc/ops/*/spec.py below `root`, each with the name of its folder.

    `root` is the source tree: by default what FASTNN_SOURCE names, or the first folder with
    csrc/ops in it, from the working folder and from this file upwards.
    """
    asked = root or os.environ.get("FASTNN_SOURCE")
    starts = (Path.cwd(), Path(__file__).resolve())
    candidates = [Path(asked)] if asked else [d for s in starts for d in (s, *s.parents)]
    found = next((c for c in candidates if (c / "csrc" / "ops").is_dir()), None)
    if found is None:
        raise FileNotFoundError(f"[load_specs] no csrc/ops in {', '.join(map(str, candidates))}")
    specs = []
    for path in sorted((found / "csrc" / "ops").glob("*/spec.py")):
        module_spec = importlib.util.spec_from_file_location(f"spec_of_{path.parent.name}", path)
        assert module_spec
        assert module_spec.loader
        module = importlib.util.module_from_spec(module_spec)
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            module_spec.loader.exec_module(module)
        finally:
            sys.dont_write_bytecode = before
        specs += [replace(spec, folder=path.parent.name) for spec in module.SPECS]
    return specs


def assert_close(
    actual: Any, expected: Any, scale: Any = None, k: float = 4, what: str = "result"
) -> None:
    """Raises an AssertionError unless |actual - expected| <= k * epsilon(actual.dtype) * scale.

    Without a scale, and in integers, the two must be equal. Where NaN or an infinity is expected
    it must be there, and nowhere else.
    """
    a = actual.detach().cpu().numpy() if hasattr(actual, "detach") else np.asarray(actual)
    e = np.asarray(expected)
    if a.shape != e.shape:
        raise AssertionError(f"{what}: expected shape {e.shape}; got {a.shape}")
    tolerance = np.zeros(a.shape)
    with np.errstate(all="ignore"):
        if np.issubdtype(a.dtype, np.floating):
            info = np.finfo(a.dtype)
            # A result beyond the type's range is an infinity in it.
            same = (a == e.astype(a.dtype)) | (np.isnan(a) & np.isnan(e))
            if scale is not None:
                tolerance = k * (info.eps * np.asarray(scale, float) + info.smallest_subnormal)
        else:
            same = a == e
        error = abs(a.astype(np.float64) - e)
        # Written so that a NaN in any of them is a failure.
        bad = ~same & ~((error <= tolerance) & np.isfinite(tolerance) & np.isfinite(a))
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AssertionError(
            f"{what}: {int(bad.sum())} of {bad.size} wrong, first at {at}: "
            f"expected {e[at]!r}, got {a[at]!r}, error {error[at]:.3g}, "
            f"tolerance {np.broadcast_to(tolerance, a.shape)[at]:.3g}"
        )
