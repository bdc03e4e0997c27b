"""Clipped gradients, beside NumPy, in recorded steps too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import place
from steps import examples, mlp_without_dropout

import fastnn as fn
from fastnn import nn, optim
from fastnn.nn import functional as F
from fastnn.nn.utils import clip_grad_norm_, clip_grad_value_

SHAPES: list[tuple[int, ...]] = [(3, 4), (5,), (), (0, 2), (2, 1, 3)]


def parameters(scale: float = 1.0, dtypes: Any = (np.float32,)) -> tuple[list[Any], list[Any]]:
    """Parameters with gradients, one without, and the gradients as arrays."""
    rng = np.random.default_rng(0)
    grads = [
        np.asarray(scale * rng.standard_normal(s), dtypes[i % len(dtypes)])
        for i, s in enumerate(SHAPES)
    ]
    params = [
        nn.Parameter(fn.zeros(*s, dtype=str(g.dtype))) for s, g in zip(SHAPES, grads, strict=True)
    ]
    for p, g in zip(params, grads, strict=True):
        p.grad = place(g.copy())
    return [*params, nn.Parameter(fn.zeros(2))], grads


@pytest.mark.parametrize("norm", [0.5, 1, 2, 3.5, math.inf])
@pytest.mark.parametrize("most", [0.0, 0.1, 1.0, 1e6])
def test_norm(norm: float, most: float) -> None:
    params, grads = parameters()
    flat = np.concatenate([g.ravel() for g in grads]).astype(np.float64)
    wanted = abs(flat).max() if norm == math.inf else (abs(flat) ** norm).sum() ** (1 / norm)
    total = clip_grad_norm_(params, most, norm)
    assert total.shape == ()
    assert total.item() == pytest.approx(wanted, rel=1e-5)
    factor = min(1, most / (wanted + 1e-6))
    for p, g in zip(params, grads, strict=False):
        np.testing.assert_allclose(p.grad.cpu().numpy(), factor * g, rtol=1e-5, atol=0)
    assert params[-1].grad is None


def test_gradients_in_memory_stay_there() -> None:
    params, _ = parameters(10)
    before = [p.grad for p in params]
    clip_grad_norm_(params, 1)
    clip_grad_value_(params, 0.01)
    assert all(p.grad is g for p, g in zip(params, before, strict=True))


def test_both_floats_in_one_norm() -> None:
    params, grads = parameters(dtypes=(np.float32, np.float64))
    total = clip_grad_norm_(iter(params), 1)
    assert total.dtype == fn.float32
    assert total.item() == pytest.approx(math.sqrt(sum((g**2).sum() for g in grads)), rel=1e-6)


def test_values() -> None:
    params, grads = parameters(3)
    clip_grad_value_(params, 0.5)
    for p, g in zip(params, grads, strict=False):
        np.testing.assert_array_equal(p.grad.cpu().numpy(), np.clip(g, -0.5, 0.5))
    one = params[0]
    clip_grad_value_(one, 0)
    assert not one.grad.cpu().numpy().any()


def test_nothing_to_clip() -> None:
    total = clip_grad_norm_([nn.Parameter(fn.zeros(2))], 1)
    assert total.item() == 0


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_norm_that_is_no_number(bad: float) -> None:
    params, _ = parameters()
    params[1].grad.fill_(bad)
    with pytest.raises(RuntimeError, match=r"the norm of the gradients is (inf|nan)"):
        clip_grad_norm_(params, 1, error_if_nonfinite=True)
    assert np.isfinite(params[0].grad.cpu().numpy()).all()  # nothing has changed
    assert not math.isfinite(clip_grad_norm_(params, 1).item())


def test_in_a_recorded_step() -> None:
    batches = [(place(x), place(y)) for x, y in examples(5, 8, 12)]
    ends = []
    for compiled in (False, True):
        fn.manual_seed(0)
        model = mlp_without_dropout()
        opt = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)

        def step(x: Any, y: Any, model: Any = model, opt: Any = opt) -> Any:
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            norm = clip_grad_norm_(model.parameters(), 0.3)
            opt.step()
            return loss, norm

        run = fn.compile(step) if compiled else step
        seen = [[t.item() for t in run(x, y)] for x, y in batches]
        ends.append((seen, [p.detach().cpu().numpy().tolist() for p in model.parameters()]))
    assert ends[0] == ends[1]
    assert max(norm for _, norm in ends[0][0]) > 0.3


REFUSED: list[tuple[Callable[[], Any], type, str]] = [
    (lambda: clip_grad_norm_([], -1), ValueError, "max_norm must be in [0, inf]; got -1"),
    (lambda: clip_grad_norm_([], 1, 0), ValueError, "norm_type must be in (0, inf]; got 0"),
    (lambda: clip_grad_norm_([], "1"), TypeError, "max_norm must be a number; got '1'"),
    (lambda: clip_grad_norm_([1.0], 1), TypeError, "parameters must be Tensors; got float"),
    (lambda: clip_grad_value_([], math.nan), ValueError, "clip_value must be in [0, inf]; got nan"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
