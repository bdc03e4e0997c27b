"""fn.compile: what a step may not do, and what a refused call leaves behind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from devices import place
from steps import examples, same_bits, training_step

import fastnn as fn
from fastnn import nn, optim

ONES = np.ones(3, np.float32)
HELD: list[fn.Tensor] = []
UNKNOWN = "is not known when a recorded step runs again"
REFUSED: dict[str, tuple[Callable, type[Exception], str]] = {
    "item": (lambda x: x * x.sum().item(), RuntimeError, rf"\[compile\] item.* {UNKNOWN}"),
    "float": (lambda x: x * float(x.sum()), RuntimeError, rf"item.* {UNKNOWN}"),
    "bool": (lambda x: x if x.sum() > 0 else -x, RuntimeError, rf"item.* {UNKNOWN}"),
    "numpy": (lambda x: (x.numpy(), x)[1], RuntimeError, rf"\[compile\] numpy.* {UNKNOWN}"),
    "tolist": (lambda x: (x.tolist(), x)[1], RuntimeError, rf"(numpy|cpu)\(\): .* {UNKNOWN}"),
    "repr": (lambda x: (repr(x), x)[1], RuntimeError, rf"(numpy|cpu)\(\): .* {UNKNOWN}"),
    "dlpack": (lambda x: fn.from_dlpack(x), RuntimeError, rf"from_dlpack.* {UNKNOWN}"),
    "from_numpy": (lambda x: x + fn.from_numpy(ONES), RuntimeError, rf"an array .* {UNKNOWN}"),
    "tensor": (lambda x: x + fn.tensor([1.0] * 3), RuntimeError, rf"an array .* {UNKNOWN}"),
    "array target": (lambda x: nn.MSELoss()(x, ONES), RuntimeError, rf"an array .* {UNKNOWN}"),
    "array index": (lambda x: x[np.array([0, 1])], RuntimeError, rf"an array .* {UNKNOWN}"),
    "manual_seed": (lambda x: fn.manual_seed(0), RuntimeError, rf"manual_seed.* {UNKNOWN}"),
    "data": (lambda x: setattr(x, "data", x * 2), RuntimeError, rf"assigning .data {UNKNOWN}"),
    "in place": (lambda x: x.mul_(2), RuntimeError, "the step writes to its argument 0"),
    "fill": (lambda x: x.zero_(), RuntimeError, "the step writes to its argument 0"),
    "setitem": (lambda x: x.__setitem__(1, 5), RuntimeError, "the step writes to its argument 0"),
    "random": (lambda x: x.normal_(), RuntimeError, "the step writes to its argument 0"),
    "held": (
        lambda x: HELD.append(x * 2),
        RuntimeError,
        "12 bytes that the step made is still held",
    ),
    "held view": (lambda x: HELD.append((x * 2)[1:]), RuntimeError, "is still held outside it"),
    "float result": (lambda x: (x, 1.5), TypeError, r"\[compile\] a step returns .*; got float"),
    "array result": (lambda x: ONES, TypeError, r"\[compile\] a step returns .*; got ndarray"),
    "an error": (lambda x: x @ fn.ones(4, 2), ValueError, r"\[matmul\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str):
    body, error, message = REFUSED[name]
    bad, calls = True, []

    @fn.compile
    def step(x):
        calls.append(1)
        return body(x) if bad else x * 2

    for _ in range(2):
        with pytest.raises(error, match=message):
            step(fn.ones(3))
        assert place(ONES).sum().item() == 3  # nobody watches any more
    HELD.clear()
    bad = False
    assert [step(fn.full((3,), float(i)))[0].item() for i in range(4)] == [0, 2, 4, 6]
    assert len(calls) == 3


def test_a_refused_call_forgets_the_plans_of_its_shape_alone():
    bad = False
    step = fn.compile(lambda x: HELD.append(x * 2) if bad else x * 2)
    assert step(fn.ones(2)).cpu().numpy().tolist() == [2, 2]
    bad = True
    with pytest.raises(RuntimeError, match="still held"):
        step(fn.ones(3))
    HELD.clear()
    assert step(fn.ones(2)).cpu().numpy().tolist() == [2, 2]  # replayed
    bad = False
    assert step(fn.ones(3)).cpu().numpy().tolist() == [2, 2, 2]


def test_what_the_refused_recording_did_stays_done():
    def train(compile):
        model = nn.Linear(12, 5)
        body = training_step(model, optim.Adam(model.parameters(), lr=0.1))

        def step(x, y):
            loss = body(x, y)
            if x.shape[0] == 4 and fn.is_grad_enabled():
                raise KeyError("stop")
            return loss

        step = compile(step)
        for n in (5, 5, 5, 4, 5, 4, 5):
            x, y = examples(1, n, 12)[0]
            if n == 4:
                with pytest.raises(KeyError):
                    step(x, y)
            else:
                step(x, y)
        return model.state_dict()

    same_bits(train)
