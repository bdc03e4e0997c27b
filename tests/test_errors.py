"""Bad input: the type of the error, what its message names, and that nothing was changed.

Then operations on shapes and indices drawn at random, beside NumPy.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import fastnn as fn
from fastnn import nn
from fastnn.nn import functional as F

Array = np.ndarray
Call = Callable[[Any], Any]


def inputs() -> SimpleNamespace:
    """Tensors to call operations with, in some of them a part of a larger memory."""
    rng = np.random.default_rng(0)

    def real(*shape: int) -> fn.Tensor:
        return fn.from_numpy(rng.uniform(0.1, 0.9, shape).astype(np.float32))

    frozen = rng.uniform(size=3).astype(np.float32)
    frozen.flags.writeable = False
    return SimpleNamespace(
        x=real(2, 3, 8, 8),  # images
        w=real(4, 3, 3, 3),  # their kernels
        wd=real(4, 3, 3, 3).double(),
        line=real(2, 3, 6),
        wl=real(4, 3, 3),
        a=real(2, 3),
        b=real(4, 3),
        v2=real(2),
        v3=real(3),
        v4=real(4),
        one=fn.tensor(0.5),
        d=real(2, 3).double(),
        i=fn.tensor([[1, 2, 3], [4, 5, 6]]),
        labels=fn.tensor([0, 2]),
        u=fn.tensor([1, 2, 3], dtype=fn.uint8),
        mask=fn.tensor([True, False]),
        none=fn.zeros(0, 3),
        nan=fn.tensor([1.0, math.nan]),
        p=fn.tensor([1.0, 2.0, 3.0], requires_grad=True),
        t=real(3, 2).T,
        frozen=fn.from_numpy(frozen),
        mean=real(3),
        var=real(3),
    )


def bytes_of(t: fn.Tensor) -> bytes:
    return t.detach().numpy().tobytes()


def bits(tensors: SimpleNamespace) -> dict[str, tuple[Any, ...]]:
    return {
        name: (t.shape, t.stride(), t.dtype, t.data_ptr(), t.requires_grad, t.grad, bytes_of(t))
        for name, t in vars(tensors).items()
    }


def refuses(call: Call, error: type[Exception], op: str, *says: str) -> None:
    """The call raises exactly that error, naming the operation and each of says; no side effect."""
    z = inputs()
    before, seed = bits(z), fn.initial_seed()
    # Ours read "[conv2d] ...", those about the kind of an argument "conv2d(): ...".
    with pytest.raises(Exception, match=rf"\[(?:{op})\]|\b_*(?:{op})_*\(\)") as caught:
        call(z)
    message = str(caught.value)
    assert caught.type is error, f"{caught.type.__name__}: {message}"
    for part in says:
        assert part in message, f"{part!r} is not in {message!r}"
    assert bits(z) == before
    assert fn.initial_seed() == seed


def table(*rows: tuple[str, type[Exception], Any, Call]) -> pytest.MarkDecorator:
    """Rows of (operation, error, what the message names, call)."""
    params = []
    for op, error, says, call in rows:
        parts = (says,) if isinstance(says, str) else says
        params.append(pytest.param(op, error, parts, call, id=f"{op}-{parts[-1]}"))
    return pytest.mark.parametrize(("op", "error", "says", "call"), params)


V, T, I, R = ValueError, TypeError, IndexError, RuntimeError  # noqa: E741


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


def bn(z: Any, **arguments: Any) -> fn.Tensor:
    return F.batch_norm(z.a, z.mean, z.var, training=True, **arguments)


def ce(z: Any, **arguments: Any) -> fn.Tensor:
    return F.cross_entropy(z.a, z.labels, **arguments)


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


# --- dtypes and devices -------------------------------------------------------------------------


@table(
    ("matmul", T, ("float32", "float64"), lambda z: z.a @ z.d.T),
    ("matmul", T, ("int64",), lambda z: z.i @ z.i.T),
    ("linear", T, ("weight", "float64", "float32"), lambda z: F.linear(z.d, z.b)),
    ("linear", T, ("bias", "float32", "float64"), lambda z: F.linear(z.a, z.b, z.v4.double())),
    ("conv2d", T, ("weight", "float32", "float64"), lambda z: F.conv2d(z.x, z.wd)),
    ("conv2d", T, ("input", "int64"), lambda z: F.conv2d(z.x.long(), z.w.long())),
    ("max_pool2d", T, ("input", "int64"), lambda z: F.max_pool2d(z.x.long(), 2)),
    ("batch_norm", T, ("weight", "float32", "float64"), lambda z: bn(z, weight=z.v3.double())),
    ("batch_norm", T, ("input", "int64"), lambda z: F.batch_norm(z.i, training=True)),
    ("cross_entropy", T, ("integers", "bool"), lambda z: F.cross_entropy(z.a, z.mask)),
    ("cross_entropy", T, ("float32", "float64"), lambda z: F.cross_entropy(z.a, z.d)),
    ("cross_entropy", T, ("input", "int64"), lambda z: F.cross_entropy(z.i, z.labels)),
    ("nll_loss", T, ("integers", "float32"), lambda z: F.nll_loss(z.a, z.v2)),
    ("mse_loss", T, ("float32", "float64"), lambda z: F.mse_loss(z.a, z.d)),
    ("huber_loss", T, ("float32", "int64"), lambda z: F.huber_loss(z.a, z.i)),
    ("exp", T, ("input", "int64"), lambda z: z.i.exp()),
    ("relu", T, ("input", "uint8"), lambda z: fn.relu(z.u)),
    ("softmax", T, ("input", "int64"), lambda z: F.softmax(z.i, 0)),
    ("dropout", T, ("input", "int64"), lambda z: F.dropout(z.i)),
    ("mean", T, ("input", "int64"), lambda z: z.i.mean()),
    ("add", T, ("bool",), lambda z: z.mask + z.mask),
    ("uniform_", T, ("int64",), lambda z: z.i.uniform_()),
    ("normal_", T, ("uint8",), lambda z: z.u.normal_()),
    ("rand", T, ("int64",), lambda z: fn.rand(2, dtype=fn.int64)),
    ("requires_grad", T, ("int64",), lambda z: z.i.requires_grad_()),
    ("requires_grad", T, ("bool",), lambda z: fn.zeros(1, dtype=fn.bool, requires_grad=True)),
    ("dtype", T, ("float32", "complex64"), lambda z: fn.zeros(2, dtype=np.complex64)),
    ("dtype", T, ("float32", "float16"), lambda z: z.a.to(np.float16)),
    ("dtype", T, ("float32", "nonsense"), lambda z: fn.tensor(1, dtype="nonsense")),
    ("zeros", V, ("'cuda'", "not available"), lambda z: fn.zeros(2, device="cuda")),
    ("tensor", V, ("'cuda:1'", "not available"), lambda z: fn.tensor(2, device="cuda:1")),
    ("to", V, ("'cuda'", "not available"), lambda z: z.a.to("cuda")),
    ("to", V, ("'tpu'", "unknown"), lambda z: z.a.to(device="tpu")),
    ("device", V, ("'tpu'", "unknown"), lambda z: fn.device("tpu")),
)
def test_wrong_dtype_or_device(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


ALIEN: dict[str, Any] = {
    "object": np.array([1.5, None], dtype=object),
    "<U3": np.array(["3.5", "4.5"]),
    "|S3": np.array([b"3.5", b"4.5"]),
    "complex128": np.ones(2, complex),
    "float16": np.ones(2, np.float16),
    "uint16": np.ones(2, np.uint16),
    "uint64": np.ones(2, np.uint64),
    "datetime64[D]": np.array(["2020-01-01"] * 2, "M8[D]"),
    "[('a', '<f4')]": np.zeros(2, [("a", "f4")]),
}


@pytest.mark.parametrize("dtype", ALIEN)
def test_arrays_of_other_types(dtype: str) -> None:
    array = ALIEN[dtype]
    refuses(lambda z: fn.from_numpy(array), T, "from_numpy", dtype)
    refuses(lambda z: fn.tensor(array), T, "tensor", dtype)
    refuses(lambda z: fn.tensor(array, dtype=fn.float32), T, "tensor", dtype)
    refuses(lambda z: fn.Tensor(array), T, "tensor", dtype)
    for op in (fn.exp, fn.neg):
        refuses(lambda z, op=op: op(array), T, op.__name__, "array")
    for mix in (lambda z: z.v2 + array, lambda z: array * z.v2):
        with pytest.raises(TypeError):
            mix(inputs())
    with pytest.raises(TypeError):
        nn.Linear(2, 1)(array)


@pytest.mark.parametrize("data", [None, "3.5", 1j, object(), [None], ["a"], {"a": 1}, 2**63])
def test_python_values_that_are_no_numbers(data: Any) -> None:
    refuses(lambda z: fn.tensor(data), T, "tensor", "dtype")


def test_ragged_lists() -> None:
    refuses(lambda z: fn.tensor([[1.0, 2.0], [3.0]]), V, "tensor")


@pytest.mark.parametrize(
    "value", [None, "a", 1j, [1.0], object()], ids=["None", "str", "complex", "list", "object"]
)
def test_operators_with_values_that_are_no_numbers(value: Any) -> None:
    z = inputs()
    before = bits(z)
    for symbol in ("+", "-", "*", "/", "**", "<", ">=", "@"):
        for expression in (f"a {symbol} value", f"value {symbol} a"):
            with pytest.raises(TypeError):
                eval(expression, {"a": z.a, "value": value})
    for symbol in ("+", "-", "*", "/"):
        with pytest.raises(TypeError):
            exec(f"a {symbol}= value", {"a": z.a, "value": value})
    refuses(lambda z: fn.add(z.a, value), T, "add")
    refuses(lambda z: z.a.mul_(value), T, "mul_")
    assert (z.a == value) is False
    assert (z.a != value) is True
    assert bits(z) == before


def test_operations_of_two_numbers_need_a_tensor() -> None:
    for name in ("add", "sub", "mul", "div", "pow", "maximum", "eq"):
        refuses(lambda z, name=name: getattr(fn, name)(2, 3), T, name)


# Each with the arguments that must not be None.
REQUIRED: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "conv2d": (F.conv2d, ("x", "w")),
    "conv1d": (F.conv1d, ("line", "wl")),
    "linear": (F.linear, ("a", "b")),
    "matmul": (fn.matmul, ("a", "t")),
    "cross_entropy": (F.cross_entropy, ("a", "labels")),
    "nll_loss": (F.nll_loss, ("a", "labels")),
    "mse_loss": (F.mse_loss, ("a", "a")),
    "binary_cross_entropy": (F.binary_cross_entropy, ("a", "a")),
    "gaussian_nll_loss": (F.gaussian_nll_loss, ("a", "a", "a")),
    "batch_norm": (F.batch_norm, ("a",)),
    "dropout": (F.dropout, ("a",)),
    "relu": (fn.relu, ("a",)),
    "sum": (fn.sum, ("a",)),
    "max": (fn.max, ("a",)),
    "softmax": (lambda x: fn.softmax(x, 0), ("a",)),
    "reshape": (lambda x: fn.reshape(x, (6,)), ("a",)),
    "zeros_like": (fn.zeros_like, ("a",)),
    "index_select": (lambda x, i: fn.index_select(x, 0, i), ("a", "labels")),
    "copy_": (fn.Tensor.copy_, ("a", "a")),
    "view_as": (fn.Tensor.view_as, ("a", "a")),
    "from_numpy": (fn.from_numpy, ("a",)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), ("x",)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, 1), ("x",)),
}


@pytest.mark.parametrize("op", REQUIRED)
def test_none_arguments(op: str) -> None:
    f, names = REQUIRED[op]
    for missing in range(len(names)):

        def call(z: Any, missing: int = missing) -> Any:
            return f(*(None if i == missing else getattr(z, n) for i, n in enumerate(names)))

        refuses(call, T, op, "None")


@pytest.mark.parametrize("bad", [1.5, "ab", None, (2, 1.5), (2, "a"), [[1]], 2**70, (1, 2**64)])
def test_sizes_that_are_no_sizes(bad: Any) -> None:
    refuses(lambda z: fn.zeros(bad), T, "zeros")
    refuses(lambda z: z.a.reshape(bad), T, "reshape")
    refuses(lambda z: z.a.expand(bad), T, "expand")


@table(
    ("sum", T, ("dim", "1.0"), lambda z: z.a.sum(1.0)),
    ("sum", T, ("dim", "'a'"), lambda z: z.a.sum("a")),
    ("max", T, ("dim", "1.5"), lambda z: z.a.max(1.5)),
    ("conv2d", T, ("stride", "1.5"), lambda z: F.conv2d(z.x, z.w, stride=1.5)),
    ("conv2d", T, ("padding", "None"), lambda z: F.conv2d(z.x, z.w, padding=None)),
    ("conv2d", T, ("(1, 2, 3)",), lambda z: F.conv2d(z.x, z.w, stride=(1, 2, 3))),
    ("max_pool2d", T, ("kernel_size", "None"), lambda z: F.max_pool2d(z.x, None)),
    ("max_pool2d", T, ("kernel_size", "'2'"), lambda z: F.max_pool2d(z.x, "2")),
    ("fill_", T, ("None",), lambda z: z.a.fill_(None)),
    ("arange", T, ("None",), lambda z: fn.arange(None)),
    ("manual_seed", T, ("1.5",), lambda z: fn.manual_seed(1.5)),
    ("set_num_threads", T, ("None",), lambda z: fn.set_num_threads(None)),
    ("from_numpy", T, ("[1.0]",), lambda z: fn.from_numpy([1.0])),
    ("from_dlpack", T, ("object",), lambda z: fn.from_dlpack(object())),
    ("from_dlpack", T, ("16 bits",), lambda z: fn.from_dlpack(np.ones(2, np.float16))),
    ("from_dlpack", T, ("128 bits",), lambda z: fn.from_dlpack(np.ones(2, complex))),
    ("contiguous", T, ("memory_format", "'x'"), lambda z: z.a.contiguous(memory_format="x")),
)
def test_arguments_of_the_wrong_kind(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


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
    code = f"import fastnn as fn, fastnn.nn.functional as F\nassert not ({call}).numpy().any()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=5)


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
        ("to", lambda z: fn.from_numpy(array).to(dtype=dtype)),
        ("to", lambda z: fn.from_numpy(array)[1:].to(getattr(fn, dtype))),
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


# --- in place -----------------------------------------------------------------------------------


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
    ("numpy", R, ("detach",), lambda z: z.p.numpy()),
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
    ("__dlpack__", V, "read-only", lambda z: np.from_dlpack(z.frozen)),
)
def test_read_only_memory(
    op: str, error: type[Exception], says: tuple[str, ...], call: Call
) -> None:
    refuses(call, error, op, *says)


def test_read_only_memory_can_be_read() -> None:
    z = inputs()
    assert not z.frozen.numpy().flags.writeable
    assert (z.frozen * 2).numpy().flags.writeable
    assert fn.from_numpy(np.frombuffer(b"\0" * 8, np.float32)).tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        z.frozen.numpy()[0] = 1


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


def test_layers_name_themselves() -> None:
    with pytest.raises(TypeError, match=r"\[Linear\].*NoneType"):
        nn.Linear(3, 2)(None)
    with pytest.raises(ValueError, match=r"\[linear\].*\(2, 4\)"):
        nn.Linear(3, 2)(fn.zeros(2, 4))
    # float64 and integer images become what the layer expects.
    for image in (np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3), np.uint8)):
        y = nn.Conv2d(1, 1, 3)(image)
        assert y.dtype is fn.float32
        assert image.sum() == 9


# --- beside NumPy, on shapes and indices drawn at random ----------------------------------------

small = hypothesis.settings(derandomize=True, deadline=None, max_examples=60)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def filled(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng(seed).integers(-9, 10, shape), np.float32)


@st.composite
def layouts(draw: st.DrawFn, shape: st.SearchStrategy[tuple[int, ...]] = shapes) -> Array:
    """An array of any order of dimensions, some of them reversed or every other element."""
    array = filled(draw(shape))
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    step = st.sampled_from([1, 1, -1, 2, -2])
    return array[(*(slice(None, None, draw(step)) for _ in range(array.ndim)), ...)]


@small
@hypothesis.given(st.data())
def test_reshape_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    factors = [n for n in (1, 2, 3, 4) if array.size % n == 0]
    shape: list[int] = []
    rest = array.size
    while len(shape) < 4 and rest > 1 and data.draw(st.booleans()):
        n = data.draw(st.sampled_from([f for f in factors if rest % f == 0]))
        shape.append(n)
        rest //= n
    last = data.draw(st.sampled_from([-1, rest])) if 0 not in shape else rest
    target = (*shape, last)
    y = fn.from_numpy(array).reshape(target)
    np.testing.assert_array_equal(y.numpy(), array.reshape(target))
    assert np.shares_memory(y.numpy(), array) == np.shares_memory(array.reshape(target), array)


@small
@hypothesis.given(st.data())
def test_permute_and_transpose_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    x = fn.from_numpy(array)
    order = data.draw(st.permutations(range(array.ndim)))
    y, expected = x.permute(*order), array.transpose(order)
    assert y.shape == expected.shape
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(y.contiguous().numpy(), expected)
    np.testing.assert_array_equal(y.clone().numpy(), expected)
    if array.ndim:
        axis = st.integers(-array.ndim, array.ndim - 1)
        a, b = data.draw(axis), data.draw(axis)
        np.testing.assert_array_equal(x.transpose(a, b).numpy(), array.swapaxes(a, b))


@st.composite
def compatible(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two arrays whose shapes broadcast."""
    shape = draw(shapes)
    parts = []
    for seed in (1, 2):
        kept = [n if draw(st.booleans()) else 1 for n in shape[draw(st.integers(0, len(shape))) :]]
        array = filled(tuple(kept), seed)
        parts.append(array.transpose(range(array.ndim)[::-1]).copy().T)  # in Fortran's order
    return parts[0], parts[1]


@small
@hypothesis.given(compatible(), st.sampled_from(["+", "-", "*", "/", "<", "==", ">="]))
def test_broadcast_arithmetic_beside_numpy(pair: tuple[Array, Array], symbol: str) -> None:
    a, b = pair
    ours = eval(f"x {symbol} y", {"x": fn.from_numpy(a), "y": fn.from_numpy(b)})
    with np.errstate(all="ignore"):
        expected = eval(f"x {symbol} y", {"x": a, "y": b})
    assert ours.shape == expected.shape
    np.testing.assert_array_equal(ours.numpy(), expected)


@small
@hypothesis.given(compatible())
def test_gradients_of_broadcast_operands_have_their_shape(pair: tuple[Array, Array]) -> None:
    a, b = (fn.tensor(v, requires_grad=True) for v in pair)
    y = a * b
    y.sum().backward()
    spread = np.broadcast_arrays(*pair)
    for t, own, other in ((a, pair[0], spread[1]), (b, pair[1], spread[0])):
        lead = other.ndim - own.ndim
        axes = tuple(
            i for i, n in enumerate(other.shape) if i < lead or (own.shape[i - lead] == 1 != n)
        )
        np.testing.assert_array_equal(t.grad.numpy(), other.sum(axes).reshape(own.shape))


@small
@hypothesis.given(st.data())
def test_indexing_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    key: list[Any] = []
    for n in array.shape[: data.draw(st.integers(0, array.ndim))]:
        bound = st.none() | st.integers(-6, 6)
        cut = st.builds(slice, bound, bound, st.none() | st.integers(1, 3))
        key.append(data.draw((cut | st.integers(-n, n - 1)) if n else cut))
    index = tuple(key)
    x = fn.tensor(array)
    expected = array.copy()
    np.testing.assert_array_equal(x[index].numpy(), array[index])
    values = filled(array[index].shape, 3)
    x[index] = fn.from_numpy(values)
    expected[index] = values
    np.testing.assert_array_equal(x.numpy(), expected)
    if array.ndim and array.shape[0]:
        rows = np.array(data.draw(st.lists(st.integers(-array.shape[0], array.shape[0] - 1))), int)
        np.testing.assert_array_equal(fn.from_numpy(array)[rows].numpy(), array[rows])


@small
@hypothesis.given(st.data())
def test_sums_beside_numpy(data: st.DataObject) -> None:
    array = data.draw(layouts())
    axes = data.draw(st.lists(st.integers(0, max(array.ndim - 1, 0)), unique=True))
    axis = tuple(axes) if array.ndim and axes else None
    keep = data.draw(st.booleans())
    y = fn.from_numpy(array).sum(axis, keep)  # whole numbers: exact
    np.testing.assert_array_equal(y.numpy(), array.sum(axis, keepdims=keep))
