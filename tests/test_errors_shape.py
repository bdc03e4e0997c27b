"""Bad input: shapes that do not fit, axes and indices out of range."""

from __future__ import annotations

import numpy as np
from refusals import Call, I, T, V, bn, ce, refuses, table

import fastnn as fn
from fastnn.nn import functional as F

# --- shapes -------------------------------------------------------------------------------------


@table(
    ("add", V, ("(2, 3)", "(4, 3)"), lambda z: z.a + z.b),
    ("mul", V, ("(2, 3)", "(2,)"), lambda z: z.v2 * z.a),
    ("div", V, ("(2, 3)", "(4,)"), lambda z: fn.div(z.a, z.v4)),
    ("maximum", V, ("(2, 3)", "(4,)"), lambda z: fn.maximum(z.a, z.v4)),
    ("eq", V, ("(2, 3)", "(4, 3)"), lambda z: z.a == z.b),
    ("lt", V, ("(2, 3)", "(4, 3)"), lambda z: z.a < z.b),
    ("matmul", V, ("(2, 3)", "(4, 3)"), lambda z: z.a @ z.b),
    ("matmul", V, ("(2, 3)", "(4,)"), lambda z: z.a @ z.v4),
    ("matmul", V, ("()", "(3,)"), lambda z: z.one @ z.v3),
    ("linear", V, ("input", "(4, 3)", "(2,)"), lambda z: F.linear(z.v2, z.b)),
    ("linear", V, ("weight", "(3,)"), lambda z: F.linear(z.a, z.v3)),
    ("linear", V, ("bias (4,)", "(3,)"), lambda z: F.linear(z.a, z.b, z.v3)),
    ("conv2d", V, ("input", "(2, 3)"), lambda z: F.conv2d(z.a, z.w)),
    ("conv2d", V, ("weight", "(4, 3)"), lambda z: F.conv2d(z.x, z.b)),
    ("conv2d", V, ("weight (O, 3,", "(4, 2, 3, 3)"), lambda z: F.conv2d(z.x, z.w[:, :2])),
    ("conv2d", V, ("bias (4,)", "(3,)"), lambda z: F.conv2d(z.x, z.w, z.v3)),
    ("conv2d", V, ("groups", "2"), lambda z: F.conv2d(z.x, z.w, groups=2)),
    ("conv1d", V, ("input", "(2, 3, 8, 8)"), lambda z: F.conv1d(z.x, z.wl)),
    ("conv1d", V, ("weight", "(4, 3, 3, 3)"), lambda z: F.conv1d(z.line, z.w)),
    ("max_pool2d", V, ("input", "(2, 3)"), lambda z: F.max_pool2d(z.a, 2)),
    ("avg_pool2d", V, ("input", "(3,)"), lambda z: F.avg_pool2d(z.v3, 2)),
    ("lp_pool2d", V, ("input", "(2, 3)"), lambda z: F.lp_pool2d(z.a, 2, 2)),
    ("adaptive_avg_pool2d", V, ("input", "(2, 3)"), lambda z: F.adaptive_avg_pool2d(z.a, 1)),
    ("batch_norm", V, ("input", "(3,)"), lambda z: F.batch_norm(z.v3, training=True)),
    ("batch_norm", V, ("weight", "(3,)", "(4,)"), lambda z: bn(z, weight=z.v4)),
    ("batch_norm", V, ("running_var", "(2,)"), lambda z: F.batch_norm(z.a, z.mean, z.v2)),
    ("batch_norm", V, ("running_mean", "needed"), lambda z: F.batch_norm(z.a)),
    ("batch_norm", V, ("more than one", "(1, 3)"), lambda z: F.batch_norm(z.a[:1], training=True)),
    ("cross_entropy", V, ("target", "(2,)", "(3,)"), lambda z: F.cross_entropy(z.a, z.i[0])),
    ("cross_entropy", V, ("weight", "(3,)", "(2,)"), lambda z: ce(z, weight=z.v2)),
    ("cross_entropy", V, ("probabilities", "(2, 3)", "(3,)"), lambda z: F.cross_entropy(z.a, z.v3)),
    ("cross_entropy", V, ("input", "()"), lambda z: F.cross_entropy(z.one, z.labels)),
    ("nll_loss", V, ("target", "(2,)", "(2, 3)"), lambda z: F.nll_loss(z.a, z.i)),
    ("mse_loss", V, ("target", "(2, 3)", "(3,)"), lambda z: F.mse_loss(z.a, z.v3)),
    ("l1_loss", V, ("target", "(2, 3)", "(2,)"), lambda z: F.l1_loss(z.a, z.v2)),
    ("kl_div", V, ("target", "(2, 3)", "(4, 3)"), lambda z: F.kl_div(z.a, z.b)),
    ("gaussian_nll_loss", V, ("var", "(4,)"), lambda z: F.gaussian_nll_loss(z.a, z.a, z.v4)),
    ("reshape", V, ("(4, 2)", "(2, 3)"), lambda z: z.a.reshape(4, 2)),
    ("reshape", V, ("-1", "(-1, -1)"), lambda z: z.a.reshape(-1, -1)),
    ("reshape", V, ("negative", "(-2, -3)"), lambda z: z.a.reshape(-2, -3)),
    ("reshape", V, ("(-1, 4)", "(2, 3)"), lambda z: z.a.reshape(-1, 4)),
    ("view", V, ("strides", "reshape"), lambda z: z.t.view(6)),
    ("permute", V, ("2", "(0,)"), lambda z: z.a.permute(0)),
    ("permute", V, ("dim 0", "twice"), lambda z: z.a.permute(0, 0)),
    ("flatten", V, ("start_dim 1", "end_dim 0"), lambda z: z.a.flatten(1, 0)),
    ("expand", V, ("(2, 3)", "(4, 3)"), lambda z: z.a.expand(4, 3)),
    ("expand", V, ("(2, 3)", "(3,)"), lambda z: z.a.expand(3)),
    ("expand", V, ("(3,)", "(-1, 3)"), lambda z: z.v3.expand(-1, 3)),
    ("expand", V, ("(-2, 2, 3)",), lambda z: z.a.expand(-2, 2, 3)),
    ("T", V, ("2-d", "(2, 3, 6)"), lambda z: z.line.T),
    ("item", V, ("one element", "(2, 3)"), lambda z: z.a.item()),
    ("item", V, ("one element", "(2,)"), lambda z: bool(z.v2)),
    ("contiguous", V, ("4-d", "(2, 3)"), lambda z: z.a.contiguous(memory_format=fn.channels_last)),
    ("zeros", V, ("negative", "(2, -1)"), lambda z: fn.zeros(2, -1)),
    ("full", V, ("negative", "(-3,)"), lambda z: fn.full((-3,), 1.0)),
    ("zeros", V, ("8 dimensions", "9"), lambda z: fn.zeros(*[1] * 9)),
    ("from_numpy", V, ("8 dimensions", "9"), lambda z: fn.from_numpy(np.zeros([1] * 9))),
    ("len", T, ("0 dimensions",), lambda z: len(z.one)),
    ("gradcheck", V, ("gradient",), lambda z: fn.gradcheck(fn.exp, z.d)),
)
def test_wrong_shape(op: str, error: type[Exception], says: tuple[str, ...], call: Call) -> None:
    refuses(call, error, op, *says)


# --- axes and indices ---------------------------------------------------------------------------


@table(
    ("sum", I, ("dim", "[-2, 1]", "2"), lambda z: z.a.sum(2)),
    ("mean", I, ("dim", "-3"), lambda z: z.a.mean(-3)),
    ("max", I, ("dim", "2"), lambda z: z.a.max(2)),
    ("argmin", I, ("dim", "5"), lambda z: z.a.argmin(5)),
    ("softmax", I, ("dim", "2"), lambda z: F.softmax(z.a, 2)),
    ("transpose", I, ("dim", "2"), lambda z: z.a.transpose(0, 2)),
    ("permute", I, ("dim", "2"), lambda z: z.a.permute(0, 2)),
    ("flatten", I, ("dim", "7"), lambda z: z.a.flatten(7)),
    ("squeeze", I, ("dim", "3"), lambda z: z.a.squeeze(3)),
    ("unsqueeze", I, ("dim", "-4"), lambda z: z.a.unsqueeze(-4)),
    ("sum", V, ("dim -2", "twice"), lambda z: z.a.sum((0, -2))),
    ("index", I, ("2", "size 2"), lambda z: z.a[2]),
    ("index", I, ("-3", "size 2"), lambda z: z.a[-3]),
    ("index", I, ("3", "dimension 1", "size 3"), lambda z: z.a[0, 3]),
    ("index", I, ("3 indices", "2 dimensions"), lambda z: z.a[0, 0, 0]),
    ("index", I, ("0 dimensions",), lambda z: z.one[0]),
    ("index", V, ("step", "-1"), lambda z: z.a[::-1]),
    ("index", T, ("float",), lambda z: z.a[1.0]),
    ("index", T, ("NoneType",), lambda z: z.a[None]),
    ("index", T, ("str",), lambda z: z.a["x"]),
    ("index", T, ("bool",), lambda z: z.a[True]),
    ("index_select", I, ("7", "2 rows"), lambda z: z.a[np.array([0, 7])]),
    ("index_select", I, ("-3", "2 rows"), lambda z: z.a[fn.tensor([-3])]),
    ("index_select", I, ("0", "0 rows"), lambda z: z.none[fn.tensor([0])]),
    ("index_select", T, ("index", "bool"), lambda z: z.a[z.mask]),
    ("index_select", T, ("index", "float32"), lambda z: z.a[z.v2]),
    ("index_select", V, ("dim 0", "1"), lambda z: z.a.index_select(1, z.labels)),
    ("index_select", V, ("0 dimensions",), lambda z: z.one.index_select(0, z.labels)),
    ("setitem|index", I, ("2", "size 2"), lambda z: z.a.__setitem__(2, 0.0)),
    ("setitem|index", T, ("float",), lambda z: z.a.__setitem__(0.5, 0.0)),
)
def test_axis_or_index_out_of_range(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


def test_assigning_by_an_integer_array_works_or_is_refused_clearly() -> None:
    x = fn.zeros(3)
    try:
        x[np.array([0, 2])] = 1.0
    except TypeError as error:
        assert "setitem" in str(error)  # noqa: PT017 - one of two right outcomes
        assert x.tolist() == [0, 0, 0]
    else:
        assert x.tolist() == [1, 0, 1]
