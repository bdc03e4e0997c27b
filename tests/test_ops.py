"""Every operation against its spec (csrc/ops/*/spec.py): values, gradients, layouts, threads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import place, skip_if_slow

import fastnn as fn
from fastnn.testing import Case, Spec, assert_close, load_specs

ROOT = Path(__file__).resolve().parents[1]
SPECS = load_specs(ROOT)
Array = np.ndarray

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EVERY_CASE = pytest.mark.parametrize(
    ("spec", "case"),
    [pytest.param(s, c, id=f"{s.name}-{c.name}") for s in SPECS for c in s.cases],
)
SMOOTH_CASES = pytest.mark.parametrize(
    ("spec", "case"),
    [
        pytest.param(s, c, id=f"{s.name}-{c.name}")
        for s in SPECS
        for c in s.cases
        if s.grad and c.grad
    ],
)


def tensors(spec: Spec, arrays: dict[str, Array | None], grad: bool = False) -> list[Any]:
    out = [None if x is None else place(x) for x in arrays.values()]
    for name, t in zip(arrays, out, strict=True):
        if grad and t is not None and name in spec.grad:
            t.requires_grad_()
    return out


def cotangent(shape: tuple[int, ...]) -> Array:
    """Weights of the outputs, exact in float32."""
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def gradients(spec: Spec, case: Case, arrays: dict[str, Array | None]) -> dict[str, Array]:
    """d(first result, weighted) / d(input) for the inputs that have one."""
    inputs = tensors(spec, arrays, grad=True)
    y = spec.call(*inputs, **case.attrs)[0]
    y.backward(fn.tensor(cotangent(y.shape).astype(y.dtype.name)))
    named = zip(arrays, inputs, strict=True)
    return {n: t.grad.cpu().numpy() for n, t in named if t is not None and n in spec.grad}


# --- values -----------------------------------------------------------------------------------


@DTYPES
@EVERY_CASE
def test_value(spec: Spec, case: Case, dtype: str) -> None:
    skip_if_slow(spec, case)
    arrays = case.arrays(dtype)
    expected = spec.expected(case, dtype)
    results = spec.call(*tensors(spec, arrays), **case.attrs)
    assert len(results) == len(expected)
    for i, (y, (value, scale)) in enumerate(zip(results, expected, strict=True)):
        assert_close(y, value, scale, spec.k, f"result {i}")
        if np.issubdtype(value.dtype, np.floating) and "dtype" not in case.attrs:
            assert y.dtype.name in (dtype, "float32")  # the latter from integers
    if not spec.in_place:
        for name, x in case.arrays(dtype).items():
            np.testing.assert_array_equal(arrays[name], x, f"{name} was changed")


# Memory that is not a plain row-major array of its own.
LAYOUTS = {
    "fortran": np.asfortranarray,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "every second": lambda x: embedded(x, 2),
    "inside a larger array": lambda x: embedded(x, 1),
    "one element off": lambda x: np.concatenate([x.ravel()[:1], x.ravel()])[-x.size or 1 :].reshape(
        x.shape
    ),
    "channels last": lambda x: (
        x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if x.ndim == 4 else x
    ),
}


def embedded(x: Array, step: int) -> Array:
    room = np.full([step * n + 3 for n in x.shape], 99, x.dtype)
    view = room[tuple(slice(1, 1 + step * n, step) for n in x.shape)]
    view[...] = x
    return view


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("spec", [pytest.param(s, id=s.name) for s in SPECS if s.layouts])
def test_layout(spec: Spec, layout: str, dtype: str) -> None:
    case = spec.cases[0]
    arrays = {
        name: None if x is None else LAYOUTS[layout](x) for name, x in case.arrays(dtype).items()
    }
    expected = spec.expected(case, dtype)
    for y, (value, scale) in zip(
        spec.call(*tensors(spec, arrays), **case.attrs), expected, strict=True
    ):
        assert_close(y, value, scale, spec.k)
    if not spec.grad:
        return
    plain = gradients(spec, case, case.arrays(dtype))
    for name, dx in gradients(spec, case, arrays).items():
        assert_close(dx, plain[name], largest(plain[name]), spec.grad_k, name)


# --- gradients --------------------------------------------------------------------------------


def largest(x: Array) -> float:
    return float(abs(x).max(initial=0.0))


@SMOOTH_CASES
def test_gradient_is_that_of_finite_differences(spec: Spec, case: Case) -> None:
    skip_if_slow(spec, case)
    arrays = case.arrays(np.float64)
    inputs = tensors(spec, arrays, grad=True)
    checked = [t for t in inputs if t is not None and t.requires_grad]
    if sum(t.numel() for t in checked) <= 150:
        assert fn.gradcheck(lambda *ts: spec.call(*ts, **case.attrs)[0], inputs)
        return
    # Larger inputs: the slope along random directions.
    grads = gradients(spec, case, arrays)
    rng = np.random.default_rng(3)
    eps = 1e-6
    for _ in range(2):
        direction = {name: rng.standard_normal(g.shape) for name, g in grads.items()}
        ends = []
        for sign in (eps, -eps):
            moved = {n: x + sign * direction[n] if n in grads else x for n, x in arrays.items()}
            y = spec.call(*tensors(spec, moved), **case.attrs)[0].cpu().numpy()
            ends.append(y * cotangent(y.shape))
        numeric = (ends[0] - ends[1]).sum() / (2 * eps)
        terms = [(g * direction[n]).ravel() for n, g in grads.items()]
        slope, scale = sum(t.sum() for t in terms), np.sqrt(sum((t**2).sum() for t in terms))
        assert abs(slope - numeric) <= 1e-5 * scale + 1e-8


@SMOOTH_CASES
def test_float32_gradient_is_the_float64_one(spec: Spec, case: Case) -> None:
    skip_if_slow(spec, case)
    single = case.arrays(np.float32)
    double = {
        n: x.astype(np.float64) if x is not None and x.dtype == np.float32 else x
        for n, x in single.items()
    }
    expected = gradients(spec, case, double)
    for name, dx in gradients(spec, case, single).items():
        assert dx.dtype == np.float32
        assert_close(dx, expected[name], largest(expected[name]), spec.grad_k, name)


# Where a function has a corner its gradient is PyTorch's.
CORNERS = {
    "abs": (lambda x: x.abs(), [-2, 0, 3], [-1, 0, 1]),
    "relu": (lambda x: x.relu(), [-1, 0, 1], [0, 0, 1]),
    "leaky_relu": (lambda x: x.leaky_relu(0.1), [-1, 0, 1], [0.1, 0.1, 1]),
    "clip": (lambda x: x.clip(-1, 1), [-2, -1, 0, 1, 2], [0, 1, 1, 1, 0]),
    "pow 0": (lambda x: x**0, [-1, 0, 1], [0, 0, 0]),
    "pow 1": (lambda x: x**1, [-1, 0, 1], [1, 1, 1]),
    "square": (lambda x: x**2, [-1, 0, 1], [-2, 0, 2]),
    "maximum": (lambda x: x.maximum(fn.zeros(3)), [-1, 0, 1], [0, 0.5, 1]),
    "minimum": (lambda x: x.minimum(fn.zeros(3)), [-1, 0, 1], [1, 0.5, 0]),
    "x maximum x": (lambda x: x.maximum(x), [-1, 0, 1], [1, 1, 1]),
    "max": (lambda x: x.max(0)[0], [1, 3, 3, 2], [0, 1, 0, 0]),
    "min": (lambda x: x.min(0)[0], [1, 3, 1, 2], [1, 0, 0, 0]),
    "sqrt": (lambda x: x.sqrt(), [0, 4], [np.inf, 0.25]),
    "max_pool2d": (
        lambda x: fn._C.max_pool2d(x.reshape(1, 1, 2, 3), (2, 2), 1),
        [5, 5, 5, 5, 5, 5],
        [1, 1, 0, 0, 0, 0],
    ),
    "l1_loss": (
        lambda x: fn._C.l1_loss(x, fn.zeros(3), reduction="sum"),
        [-2, 0, 2],
        [-1, 0, 1],
    ),
    "smooth_l1_loss": (
        lambda x: fn._C.smooth_l1_loss(x, fn.zeros(3), reduction="sum"),
        [-1, 0, 1],
        [-1, 0, 1],
    ),
    "huber_loss": (
        lambda x: fn._C.huber_loss(x, fn.zeros(3), reduction="sum"),
        [-1, 0, 1],
        [-1, 0, 1],
    ),
}


@pytest.mark.parametrize("name", CORNERS)
def test_gradient_at_a_corner(name: str) -> None:
    f, at, slopes = CORNERS[name]
    x = fn.tensor(at, dtype="float32", requires_grad=True)
    f(x).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), np.float32(slopes), rtol=1e-6)


# --- threads, and completeness ------------------------------------------------------------------


@pytest.fixture
def _threads_restored() -> Iterator[None]:
    before = fn.get_num_threads()
    yield
    fn.set_num_threads(before)


@EVERY_CASE
@pytest.mark.usefixtures("_threads_restored")
def test_same_bits_for_every_number_of_threads(
    spec: Spec, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_if_slow(spec, case)
    seen = []
    for threads in (1, 2, 3):
        fn.set_num_threads(threads)
        monkeypatch.setenv("FASTNN_CUDA_ORDER", str(threads))  # of the threads of an emulated GPU
        results = spec.call(*tensors(spec, case.arrays(np.float32)), **case.attrs)
        bits = [y.cpu().numpy().tobytes() for y in results]
        if spec.grad and case.grad:
            grads = gradients(spec, case, case.arrays(np.float32))
            bits += [g.tobytes() for g in grads.values()]
        seen.append(bits)
    assert seen[0] == seen[1] == seen[2]


def rows(folder: Path) -> set[str]:
    text = (folder / "kernels.inc").read_text() if (folder / "kernels.inc").exists() else ""
    return set(re.findall(r"^FNN_KERNEL\((\w+)", text, re.MULTILINE))


def test_every_kernel_has_a_spec() -> None:
    assert set(fn._C.kernel_names()) == {row for spec in SPECS for row in spec.kernels}


@pytest.mark.parametrize("folder", sorted((ROOT / "csrc" / "ops").iterdir()), ids=lambda f: f.name)
def test_every_folder_has_a_spec_of_its_kernels(folder: Path) -> None:
    own = [spec for spec in SPECS if spec.folder == folder.name]
    assert own
    assert rows(folder) <= {row for spec in own for row in spec.kernels}
