"""Bad input: writes in place, read-only memory, misuse of the tape."""

from __future__ import annotations

import numpy as np
import pytest
from devices import place
from refusals import Call, R, T, V, inputs, refuses, table

import fastnn as fn
from fastnn.nn import functional as F


@table(
    ("add", V, ("shape", "(3,)", "(2, 3)"), lambda z: z.v3.add_(z.a)),
    ("mul", V, ("shape", "(3,)", "(4, 3)"), lambda z: z.v3.__imul__(z.b)),
    ("add", V, ("shape", "(2, 3)", "(4, 3)"), lambda z: z.a.add_(z.b)),
    ("add", T, ("dtype", "float32", "float64"), lambda z: z.a.add_(z.d)),
    ("sub", T, ("dtype", "int64", "float32"), lambda z: z.i.sub_(0.5)),
    ("div", T, ("dtype", "int64", "float32"), lambda z: z.i.div_(2)),
    ("add", T, ("dtype", "uint8", "int64"), lambda z: z.u.add_(z.i[0])),
    ("copy_", V, ("(2, 3)", "(4, 3)"), lambda z: z.a.copy_(z.b)),
    ("copy_", V, ("(3,)", "(2, 3)"), lambda z: z.v3.copy_(z.a)),
    ("copy_", T, ("float64", "float32"), lambda z: z.a.copy_(z.d)),
    ("copy_", T, ("float32", "int64"), lambda z: z.i.copy_(z.a)),
    ("fill_", T, ("float", "int64"), lambda z: z.i.fill_(0.5)),
    ("setitem", T, ("float", "uint8"), lambda z: z.u.__setitem__(0, 0.5)),
    ("setitem", T, ("float64", "float32"), lambda z: z.a.__setitem__(0, z.d[0])),
    ("setitem", V, ("(4,)", "(3,)"), lambda z: z.a.__setitem__(0, z.v4)),
    ("setitem", V, ("(2, 3)", "(3,)"), lambda z: z.a.__setitem__(0, z.a)),
    ("setitem", T, ("None",), lambda z: z.a.__setitem__(0, None)),
    ("grad", V, ("(3,)", "(2,)"), lambda z: setattr(z.p, "grad", z.v2)),
    ("grad", T, ("float32", "float64"), lambda z: setattr(z.p, "grad", z.v3.double())),
    ("data", T, ("float", "int64"), lambda z: setattr(z.p, "data", z.i)),
    ("data", V, ("None",), lambda z: setattr(z.p, "data", None)),
    ("add", R, ("no_grad",), lambda z: z.p.add_(1)),
    ("add", R, ("no_grad",), lambda z: z.v3.add_(z.p)),
    ("setitem", R, ("no_grad",), lambda z: z.p.__setitem__(0, 1.0)),
    ("zero_|fill_", R, ("no_grad",), lambda z: z.p.zero_()),
    ("backward", R, ("gradient",), lambda z: z.a.backward()),
    ("backward", R, ("(3,)", "scalar"), lambda z: (z.p * 2).backward()),
    ("numpy", R, ("detach",), lambda z: z.p.cpu().numpy()),
)
def test_in_place_and_tape_misuse(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


@table(
    ("add", V, "read-only", lambda z: z.frozen.add_(1)),
    ("setitem", V, "read-only", lambda z: z.frozen.__setitem__(0, 1.0)),
    ("fill_", V, "read-only", lambda z: z.frozen[1:].fill_(1)),
    ("copy_", V, "read-only", lambda z: z.frozen.reshape(3, 1).copy_(z.v3.reshape(3, 1))),
    ("uniform_", V, "read-only", lambda z: z.frozen.detach().uniform_()),
    ("normal_", V, "read-only", lambda z: fn.Tensor(z.frozen).normal_()),
    ("batch_norm", V, "read-only", lambda z: F.batch_norm(z.a, z.mean, z.frozen, training=True)),
    ("__dlpack__", V, "read-only", lambda z: z.frozen.__dlpack__()),
)
def test_read_only_memory(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


@pytest.mark.cpu_only("NumPy's memory")
def test_read_only_memory_can_be_read() -> None:
    z = inputs()
    assert not z.frozen.cpu().numpy().flags.writeable
    assert (z.frozen * 2).cpu().numpy().flags.writeable
    assert place(np.frombuffer(b"\0" * 8, np.float32)).tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        z.frozen.cpu().numpy()[0] = 1


REFUSED_WRITES: dict[str, Call] = {
    "setitem_index": lambda c: c.__setitem__(5, 1.0),
    "setitem_shape": lambda c: c.__setitem__(0, fn.zeros(2)),
    "setitem_value": lambda c: c.__setitem__(0, "a"),
    "add_shape": lambda c: c.add_(fn.zeros(2, 3)),
    "mul_dtype": lambda c: c.mul_(fn.zeros(3, dtype=fn.float64)),
    "copy_shape": lambda c: c.copy_(fn.zeros(4)),
    "uniform_bounds": lambda c: c.uniform_(1, 0),
    "batch_norm_eps": lambda c: F.batch_norm(fn.ones(2, 3), c, fn.ones(3), eps=-1.0, training=True),
    "batch_norm_read_only": lambda c: F.batch_norm(
        fn.ones(2, 3), c, inputs().frozen, training=True
    ),
}


@pytest.mark.parametrize("name", REFUSED_WRITES)
def test_a_refused_write_does_not_disturb_the_tape(name: str) -> None:
    x, c = fn.tensor([1.0, 2.0, 3.0], requires_grad=True), fn.tensor([4.0, 5.0, 6.0])
    y = (x * c).sum()
    with pytest.raises((ValueError, TypeError, IndexError)):
        REFUSED_WRITES[name](c)
    y.backward()  # c is what it was: backward may read it
    assert x.grad.tolist() == [4, 5, 6]
