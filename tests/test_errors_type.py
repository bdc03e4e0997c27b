"""Bad input: dtypes, devices, and arguments of the wrong kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import handed
from refusals import Call, T, V, bits, bn, inputs, refuses, table

import fastnn as fn
from fastnn import nn
from fastnn.nn import functional as F


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
    ("zeros", V, ("'gpu'", "unknown device"), lambda z: fn.zeros(2, device="gpu")),
    ("tensor", V, ("'cuda:x'", "unknown device"), lambda z: fn.tensor(2, device="cuda:x")),
    ("to", V, ("'gpu'", "unknown device"), lambda z: z.a.to("gpu")),
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


def test_layers_name_themselves() -> None:
    with pytest.raises(TypeError, match=r"\[Linear\].*NoneType"):
        nn.Linear(3, 2)(None)
    with pytest.raises(ValueError, match=r"\[linear\].*\(2, 4\)"):
        nn.Linear(3, 2)(fn.zeros(2, 4))
    # float64 and integer images become what the layer expects.
    for image in (np.ones((1, 1, 3, 3)), np.ones((1, 1, 3, 3), np.uint8)):
        y = nn.Conv2d(1, 1, 3)(handed(image))
        assert y.dtype is fn.float32
        assert image.sum() == 9
