"""Bad input: values out of their range, sizes too small or too large, and integers."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from devices import place
from refusals import Call, I, T, V, bn, ce, inputs, refuses, table

import fastnn as fn
from fastnn.nn import functional as F

# --- values of arguments ------------------------------------------------------------------------


@table(
    ("conv2d", V, ("stride", "(0, 1)"), lambda z: F.conv2d(z.x, z.w, stride=(0, 1))),
    ("conv2d", V, ("dilation", "(0, 0)"), lambda z: F.conv2d(z.x, z.w, dilation=0)),
    ("conv2d", V, ("padding", "(-1, -1)"), lambda z: F.conv2d(z.x, z.w, padding=-1)),
    ("conv2d", V, ("padding", "'full'"), lambda z: F.conv2d(z.x, z.w, padding="full")),
    ("conv2d", V, ("'same'", "(2, 2)"), lambda z: F.conv2d(z.x, z.w, stride=2, padding="same")),
    ("conv2d", V, ("groups", "0"), lambda z: F.conv2d(z.x, z.w, groups=0)),
    ("conv2d", V, ("groups", "-1"), lambda z: F.conv2d(z.x, z.w, groups=-1)),
    ("max_pool2d", V, ("kernel_size", "0"), lambda z: F.max_pool2d(z.x, 0)),
    ("max_pool2d", V, ("stride", "-1"), lambda z: F.max_pool2d(z.x, 2, stride=-1)),
    ("max_pool2d", V, ("padding", "2"), lambda z: F.max_pool2d(z.x, 2, padding=2)),
    ("max_pool2d", V, ("dilation", "0"), lambda z: F.max_pool2d(z.x, 2, dilation=0)),
    ("avg_pool2d", V, ("divisor_override", "0"), lambda z: avg(z, divisor_override=0)),
    ("lp_pool2d", V, ("norm_type", "0"), lambda z: F.lp_pool2d(z.x, 0, 2)),
    ("lp_pool2d", V, ("norm_type", "nan"), lambda z: F.lp_pool2d(z.x, math.nan, 2)),
    ("adaptive_avg_pool2d", V, ("output_size", "(0, 0)"), lambda z: F.adaptive_avg_pool2d(z.x, 0)),
    ("linear", V, ("activation", "'swish'"), lambda z: F.linear(z.a, z.b, None, "swish")),
    ("gelu", V, ("approximate", "'erf'"), lambda z: F.gelu(z.a, approximate="erf")),
    ("dropout", V, ("p", "1.5"), lambda z: F.dropout(z.a, 1.5)),
    ("dropout", V, ("p", "nan"), lambda z: F.dropout(z.a, math.nan)),
    ("cross_entropy", V, ("label_smoothing", "nan"), lambda z: ce(z, label_smoothing=math.nan)),
    ("cross_entropy", V, ("label_smoothing", "-0.1"), lambda z: ce(z, label_smoothing=-0.1)),
    ("cross_entropy", V, ("reduction", "'avg'"), lambda z: ce(z, reduction="avg")),
    ("mse_loss", V, ("reduction", "'batchmean'"), lambda z: F.mse_loss(z.a, z.a, "batchmean")),
    ("huber_loss", V, ("delta", "0"), lambda z: F.huber_loss(z.a, z.a, delta=0.0)),
    ("smooth_l1_loss", V, ("beta", "-1"), lambda z: F.smooth_l1_loss(z.a, z.a, beta=-1.0)),
    ("gaussian_nll_loss", V, ("eps", "0"), lambda z: F.gaussian_nll_loss(z.a, z.a, z.a, eps=0.0)),
    ("batch_norm", V, ("eps", "-1"), lambda z: bn(z, eps=-1.0)),
    ("clip", V, ("min", "max"), lambda z: z.a.clip()),
    ("uniform_", V, ("low", "1 and 0"), lambda z: z.a.uniform_(1, 0)),
    ("uniform_", V, ("low", "nan"), lambda z: z.a.uniform_(math.nan, 0)),
    ("normal_", V, ("std", "-1"), lambda z: z.a.normal_(0, -1)),
    ("normal_", V, ("std", "nan"), lambda z: z.a.normal_(0, math.nan)),
    ("arange", V, ("step", "0"), lambda z: fn.arange(0, 3, 0)),
    ("arange", V, ("nan",), lambda z: fn.arange(math.nan)),
    ("arange", V, ("inf",), lambda z: fn.arange(math.inf)),
    ("arange", V, ("3", "0", "1"), lambda z: fn.arange(3, 0)),
    ("set_num_threads", V, ("256", "0"), lambda z: fn.set_num_threads(0)),
    ("set_num_threads", V, ("256", "257"), lambda z: fn.set_num_threads(257)),
    ("scalar|add", V, (str(2**80),), lambda z: z.a + 2**80),
)
def test_value_out_of_its_range(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


def avg(z: Any, **arguments: Any) -> fn.Tensor:
    return F.avg_pool2d(z.x, 2, **arguments)


@table(
    ("cross_entropy", I, ("target", "3", "3 classes"), lambda z: ce_to(z, [0, 3])),
    ("cross_entropy", I, ("target", "-1", "3 classes"), lambda z: ce_to(z, [-1, 0])),
    ("cross_entropy", I, ("target", "-100"), lambda z: ce_to(z, [0, -100], ignore_index=-1)),
    ("cross_entropy", I, ("target", "3"), lambda z: F.cross_entropy(z.v3, fn.tensor(3))),
    (
        "cross_entropy",
        I,
        ("target", "8", "3 classes"),
        lambda z: F.cross_entropy(z.x, fn.full((2, 8, 8), 8)),
    ),
    ("nll_loss", I, ("target", "9", "3 classes"), lambda z: F.nll_loss(z.a, fn.tensor([0, 9]))),
    ("nll_loss", I, ("target", "-2"), lambda z: F.nll_loss(z.a, fn.tensor([0, -2]))),
    ("binary_cross_entropy", V, ("input", "[0, 1]", "1.5"), lambda z: bce(z.a + 1.5 - z.a, z.a)),
    ("binary_cross_entropy", V, ("input", "[0, 1]", "-"), lambda z: bce(0 - z.a, z.a)),
    ("gaussian_nll_loss", V, ("var", "-"), lambda z: F.gaussian_nll_loss(z.a, z.a, 0 - z.a)),
)
def test_label_or_probability_out_of_range(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


def ce_to(z: Any, labels: list[int], **arguments: Any) -> fn.Tensor:
    return F.cross_entropy(z.a, fn.tensor(labels), **arguments)


bce = F.binary_cross_entropy


# --- sizes: too small, too large ----------------------------------------------------------------


@table(
    ("conv2d", V, ("height 9", "8"), lambda z: F.conv2d(z.x, fn.zeros(4, 3, 9, 3))),
    ("conv2d", V, ("width 11", "10"), lambda z: F.conv2d(z.x, fn.zeros(4, 3, 3, 11), padding=1)),
    ("conv2d", V, ("height 9", "dilation", "8"), lambda z: F.conv2d(z.x, z.w, dilation=4)),
    ("conv2d", V, ("at least 1 x 1", "(4, 3, 0, 3)"), lambda z: F.conv2d(z.x, z.w[:, :, :0])),
    ("conv1d", V, ("7", "6"), lambda z: F.conv1d(z.line, fn.zeros(4, 3, 7))),
    ("max_pool2d", V, ("height 9", "8"), lambda z: F.max_pool2d(z.x, 9)),
    ("avg_pool2d", V, ("width 13", "12"), lambda z: F.avg_pool2d(z.x, (2, 13), padding=(0, 2))),
    ("lp_pool2d", V, ("height 9", "8"), lambda z: F.lp_pool2d(z.x, 2, 9)),
)
def test_kernel_larger_than_its_padded_input(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


@table(
    ("max", V, ("empty", "(0, 3)"), lambda z: z.none.max()),
    ("min", V, ("empty", "(0, 3)"), lambda z: z.none.min(0)),
    ("argmax", V, ("empty", "(0, 3)"), lambda z: z.none.argmax()),
    ("argmin", V, ("empty", "(0, 3)"), lambda z: z.none.argmin(0)),
    ("item", V, ("one element", "(0, 3)"), lambda z: z.none.item()),
    ("cross_entropy", V, ("class", "(2, 0)"), lambda z: F.cross_entropy(z.a[:, :0], z.labels)),
    ("reshape", V, ("(-1, 0)", "(0, 3)"), lambda z: z.none.reshape(-1, 0)),
    ("batch_norm", V, ("more than one", "(0, 3)"), lambda z: F.batch_norm(z.none, training=True)),
    (
        "adaptive_avg_pool2d",
        V,
        ("empty", "(2, 3, 0, 8)"),
        lambda z: F.adaptive_avg_pool2d(z.x[:, :, :0], 2),
    ),
)
def test_empty_tensor_where_none_can_be(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


def test_empty_tensors_where_they_can_be() -> None:
    z = inputs()
    assert F.conv2d(z.x[:0], z.w).shape == (0, 4, 6, 6)
    assert F.max_pool2d(z.x[:0], 2).shape == (0, 3, 4, 4)
    assert F.linear(z.none, z.b).shape == (0, 4)
    assert (z.none @ z.b.T).shape == (0, 4)
    assert z.none.max(1).values.shape == (0,)
    assert F.softmax(z.none, 1).shape == (0, 3)
    assert math.isnan(z.none.mean().item())
    assert math.isnan(F.cross_entropy(z.none, fn.zeros(0, dtype=fn.int64)).item())


@pytest.mark.parametrize(
    "call",
    [
        "fn.ones(2, 0) @ fn.ones(0, 3)",
        "fn.ones(4, 2, 0) @ fn.ones(0, 3)",
        "F.linear(fn.ones(2, 0), fn.ones(3, 0), fn.zeros(3))",
        "F.conv2d(fn.ones(1, 0, 3, 3), fn.ones(2, 0, 2, 2), fn.zeros(2))",
    ],
)
def test_a_sum_of_no_products_is_zero(call: str) -> None:
    # In a process of its own: where a loop does not end, this test does.
    code = (
        "import fastnn as fn, fastnn.nn.functional as F\n"
        f"fn.set_default_device('{fn.get_default_device()}')\n"
        f"assert not ({call}).cpu().numpy().any()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


HUGE = (2**40, 2**40)


@table(
    ("zeros", V, ("overflow", str(HUGE)), lambda z: fn.zeros(HUGE)),
    ("empty", V, ("overflow", f"({2**61},)"), lambda z: fn.empty(2**61)),
    ("full", V, ("overflow", str(HUGE)), lambda z: fn.full(HUGE, 1.0)),
    ("rand", V, ("overflow", str(HUGE)), lambda z: fn.rand(HUGE)),
    ("reshape", V, ("overflow", str(HUGE)), lambda z: z.a.reshape(HUGE)),
    ("expand", V, ("overflow", str(HUGE)), lambda z: z.one.expand(HUGE)),
    ("conv2d", V, ("padding", str(2**40)), lambda z: F.conv2d(z.x, z.w, padding=2**40)),
    ("conv2d", V, ("padding", str(2**62)), lambda z: F.conv2d(z.x, z.w, padding=2**62)),
    ("conv2d", V, ("dilation", str(2**62)), lambda z: F.conv2d(z.x, z.w, dilation=2**62)),
    ("conv2d", T, ("stride", str(2**70)), lambda z: F.conv2d(z.x, z.w, stride=2**70)),
    ("max_pool2d", V, (str(2**62),), lambda z: F.max_pool2d(z.x, 2**62, padding=2**61)),
    ("max_pool2d", V, (str(2**62),), lambda z: F.max_pool2d(z.x, 3, dilation=2**62)),
    ("max_pool2d", T, (str(2**64),), lambda z: F.max_pool2d(z.x, 2**64)),
    ("adaptive_avg_pool2d", V, (str(2**62),), lambda z: F.adaptive_avg_pool2d(z.x, 2**62)),
    ("sum", T, (str(2**70),), lambda z: z.a.sum(2**70)),
    ("arange", V, ("e+18",), lambda z: fn.arange(2.0**60)),
)
def test_size_overflow(op: str, error: type[Exception], says: tuple[str, ...], call: Call) -> None:
    refuses(call, error, op, *says)


# --- conversion to integers ---------------------------------------------------------------------

NO_INTEGER = [
    (math.nan, "int32"),
    (math.nan, "int64"),
    (math.nan, "uint8"),
    (math.inf, "int64"),
    (-math.inf, "int32"),
    (2.0**63, "int64"),
    (-(2.0**64), "int64"),
    (2.0**31, "int32"),
    (-(2.0**31) - 256, "int32"),
    (256.0, "uint8"),
    (-1.0, "uint8"),
]


@pytest.mark.parametrize(("value", "dtype"), NO_INTEGER)
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_values_that_no_integer_holds(value: float, dtype: str, source: str) -> None:
    array = np.array([0.0, 1.0, value, 2.0], source)
    kept = array.tobytes()
    for op, call in (
        ("to", lambda z: place(array).to(dtype=dtype)),
        ("to", lambda z: place(array)[1:].to(getattr(fn, dtype))),
        ("tensor", lambda z: fn.tensor(array, dtype=dtype)),
        ("tensor", lambda z: fn.tensor(array.tolist(), dtype=dtype)),
        ("full", lambda z: fn.full((2,), value, dtype=dtype)),
    ):
        refuses(call, V, op, f"{value:g}", dtype)
    assert array.tobytes() == kept


def test_values_at_the_edge_of_an_integer_type_convert() -> None:
    for dtype, values in (
        ("int64", [-(2.0**63), 2.0**63 - 1024, -0.9, 0.9]),
        ("int32", [-(2.0**31), 2.0**31 - 1, -(2.0**31) - 0.5, 2.0**31 - 0.5]),
        ("uint8", [0.0, 255.0, 255.9, -0.9]),
    ):
        got = fn.tensor(np.array(values), dtype=dtype).tolist()
        assert got == [math.trunc(v) for v in values]
    assert fn.tensor([math.nan, 0.0, -0.0]).to(fn.bool).tolist() == [True, False, False]


def test_integers_that_the_dtype_cannot_hold() -> None:
    # PyTorch refuses these too; without a check 300 becomes 44.
    for op, call in (
        ("fill_", lambda z: z.u.fill_(300)),
        ("setitem", lambda z: z.u.__setitem__(0, 300)),
        ("full", lambda z: fn.full((2,), 300, dtype=fn.uint8)),
        ("full", lambda z: fn.full((2,), 2**31, dtype=fn.int32)),
        ("tensor", lambda z: fn.tensor([300], dtype=fn.uint8)),
    ):
        refuses(call, V, op)
