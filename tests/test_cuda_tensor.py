"""Tensors that move to a GPU and back."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from cuda_run import NEEDS_EMULATION, NEEDS_GPU, run

import fastnn as fn
from fastnn import nn, optim

pytestmark = NEEDS_GPU
DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]


def numbers(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 99, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 3, 4, 5), (70001,), (3, 0, 2)])
def test_there_and_back(shape: tuple[int, ...], dtype: str) -> None:
    x = numbers(*shape, dtype=dtype)
    there = fn.from_numpy(x).to("cuda")
    assert there.device == "cuda:0"
    assert there.is_cuda
    assert (there.shape, there.dtype) == (shape, getattr(fn, dtype))
    back = there.cpu()
    assert back.device == "cpu"
    np.testing.assert_array_equal(back.numpy(), x)


def test_more_than_the_staging_memory_holds() -> None:
    x = np.random.default_rng(2).integers(0, 256, (9 << 20) + 17, np.uint8)
    there = fn.from_numpy(x).cuda()
    x_before = x.copy()
    x[:] = 0  # `to` has read it
    np.testing.assert_array_equal(there.cpu().numpy(), x_before)


def test_strides_are_kept() -> None:
    x = fn.from_numpy(numbers(2, 3, 4, 5)).contiguous(fn.channels_last)
    assert x.cuda().stride() == x.stride()
    assert x.cuda().cpu().stride() == x.stride()
    t = fn.from_numpy(numbers(3, 5)).T
    assert t.cuda().stride() == t.stride()
    np.testing.assert_array_equal(t.cuda().cpu().numpy(), t.numpy())


def test_views_bring_their_own_elements_only() -> None:
    x = numbers(6, 8)
    for view in (x[1:], x[:, ::2], x[::-1], x[2], x[::-2, 1::3]):
        there = fn.from_numpy(view).cuda()
        np.testing.assert_array_equal(there.cpu().numpy(), view)
    whole = fn.from_numpy(x).cuda()
    np.testing.assert_array_equal(whole[1:4, ::3].cpu().numpy(), x[1:4, ::3])
    np.testing.assert_array_equal(whole.T[2].cpu().numpy(), x.T[2])


def test_itself_where_it_is_there() -> None:
    x = fn.ones(2, device="cpu")
    y = x.cuda()
    assert x.cpu() is x
    assert x.to("cpu") is x
    assert y.cuda() is y
    assert y.to("cuda:0") is y
    assert y.to(fn.device("cuda")) is y
    assert y.cuda(0) is y


def test_device_and_dtype_together() -> None:
    x = fn.from_numpy(numbers(4))
    y = x.to("cuda", dtype=fn.float64)
    assert (y.device, y.dtype) == ("cuda", fn.float64)
    z = y.to(fn.int32, device="cpu")
    assert (z.device, z.dtype) == ("cpu", fn.int32)
    np.testing.assert_array_equal(z.numpy(), numbers(4))


def test_a_gradient_comes_back() -> None:
    x = fn.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    w = fn.tensor([3.0, 5.0], device="cuda", requires_grad=True)
    y = x.cuda() * w
    y.cpu().sum().backward()
    assert x.grad.device == "cpu"
    assert w.grad.device == "cuda"
    assert x.grad.tolist() == [3, 5]
    assert w.grad.tolist() == [1, 2]


def test_a_copy_on_the_gpu_is_no_leaf() -> None:
    x = fn.ones(2, device="cpu", requires_grad=True)
    assert not x.cuda().is_leaf
    assert x.detach().cuda().is_leaf


# --- values on the host ------------------------------------------------------------------------


def test_numpy_needs_a_copy_and_says_so() -> None:
    x = fn.ones(2, device="cuda")
    for look in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.add(np.ones(2), x.numpy())):
        with pytest.raises(TypeError, match=r"on cuda:0 has no NumPy array: .*\.cpu\(\)"):
            look()


def test_looking_at_values() -> None:
    x = fn.tensor([[1.5, -2.0]], device="cuda")
    assert x.tolist() == [[1.5, -2.0]]
    assert x[0, 1].item() == -2.0
    assert float(x[0, 0]) == 1.5
    assert int(x[0, 1]) == -2
    assert bool(x[0, 0] == 1.5)
    assert repr(x) == "tensor([[ 1.5, -2. ]], device='cuda:0')"
    assert [row.tolist() for row in x] == [[1.5, -2.0]]
    assert list(range(fn.tensor(3, device="cuda"))) == [0, 1, 2]


def test_pickles_and_copies() -> None:
    x = fn.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert y.device == "cuda"
        assert y.requires_grad
        assert y.tolist() == [1, 2]
        assert y.data_ptr() != x.data_ptr()


def test_files_are_of_no_device(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).to("cuda")
    fn.save(model, tmp_path / "model")
    fn.save(model.state_dict(), tmp_path / "state")
    back = fn.load(tmp_path / "model")
    for key, value in fn.load(tmp_path / "state").items():
        assert value.device == back.state_dict()[key].device == fn.get_default_device()
        np.testing.assert_array_equal(value.cpu().numpy(), model.state_dict()[key].cpu().numpy())
    model.load_state_dict(back.state_dict())
    assert model[0].weight.device == "cuda"


def test_training_goes_on_on_another_device() -> None:
    x = numbers(4, 3) / 99
    ends = []
    for devices in (("cpu", "cpu"), ("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")):
        model_state = optimizer_state = None
        for device in devices:
            fn.manual_seed(1)
            model = nn.Linear(3, 2, device=device)
            opt = optim.Adam(model.parameters(), lr=0.1)
            if model_state is not None:
                model.load_state_dict(model_state)
                opt.load_state_dict(optimizer_state)
            for _ in range(3):
                opt.zero_grad()
                (model(fn.tensor(x, dtype="float32", device=device)) ** 2).sum().backward()
                opt.step()
            assert all(s["exp_avg"].device == device for s in opt.state.values())
            model_state, optimizer_state = model.state_dict(), opt.state_dict()
        ends.append(model.weight.detach().cpu().numpy())
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-5)


# --- making tensors ----------------------------------------------------------------------------

FACTORIES = {
    "zeros": lambda **k: fn.zeros(2, 3, **k),
    "ones": lambda **k: fn.ones(2, 3, **k),
    "empty": lambda **k: fn.empty(2, 3, **k),
    "rand": lambda **k: fn.rand(2, 3, **k),
    "randn": lambda **k: fn.randn(2, 3, **k),
    "full": lambda **k: fn.full((2, 3), 7, **k),
    "arange": lambda **k: fn.arange(2, 9, 3, **k),
    "arange of floats": lambda **k: fn.arange(0.5, 2, 0.5, **k),
    "tensor": lambda **k: fn.tensor([[1.0, 2.0]], **k),
    "tensor of an array": lambda **k: fn.tensor(np.arange(6).reshape(2, 3).T, **k),
    "tensor of a tensor": lambda **k: fn.tensor(fn.tensor([1, 2], device="cpu"), **k),
    "Linear": lambda **k: nn.Linear(3, 2, **k).weight,
    "Conv2d": lambda **k: nn.Conv2d(3, 2, 3, **k).bias,
    "BatchNorm1d": lambda **k: nn.BatchNorm1d(3, **k).running_var,
}


@pytest.mark.parametrize("name", FACTORIES)
def test_factories_take_a_device(name: str) -> None:
    fn.manual_seed(3)
    here = FACTORIES[name](device="cpu")
    fn.manual_seed(3)
    there = FACTORIES[name](device="cuda")
    assert (here.device, there.device) == ("cpu", "cuda")
    assert (here.dtype, here.shape) == (there.dtype, there.shape)
    if name != "empty":
        np.testing.assert_allclose(
            there.detach().cpu().numpy(), here.detach().numpy(), rtol=1e-5, atol=1e-6
        )


def test_tensor_keeps_the_device_of_a_tensor() -> None:
    x = fn.ones(2, device="cuda")
    y = fn.tensor(x)
    assert y.device == "cuda"
    assert y.data_ptr() != x.data_ptr()
    assert fn.zeros_like(x).device == fn.ones_like(x).device == "cuda"


def test_the_default_device() -> None:
    before = fn.get_default_device()
    try:
        fn.set_default_device("cuda")
        assert fn.get_default_device() == "cuda"
        for make in FACTORIES.values():
            assert make().device == (
                "cuda" if make is not FACTORIES["tensor of a tensor"] else "cpu"
            )
        assert fn.from_numpy(np.ones(2)).device == "cpu"
        fn.set_default_device(fn.device("cpu"))
        assert fn.ones(2).device == "cpu"
    finally:
        fn.set_default_device(before)


def test_modules_move_with_their_gradients() -> None:
    model = nn.Linear(3, 2, device="cpu")
    weight = model.weight
    before = weight.detach().numpy().copy()
    weight.grad = fn.ones(2, 3, device="cpu")
    assert model.to("cuda") is model
    assert model.weight is weight
    assert weight.device == weight.grad.device == model.bias.device == "cuda"
    assert weight.requires_grad
    np.testing.assert_array_equal(weight.detach().cpu().numpy(), before)
    assert model.cpu().weight.device == "cpu"
    assert model.cuda().weight.device == model.to(device="cuda:0").weight.device == "cuda"


# --- writing to them ---------------------------------------------------------------------------


def test_copies_in_place_cross_devices() -> None:
    x = numbers(3, 4)
    there = fn.zeros(3, 4, device="cuda")
    there.copy_(fn.from_numpy(x))
    np.testing.assert_array_equal(there.cpu().numpy(), x)
    there[1:, ::2].copy_(fn.tensor([5.0], device="cpu"))
    x[1:, ::2] = 5
    np.testing.assert_array_equal(there.cpu().numpy(), x)
    here = fn.zeros(3, 4, dtype="float64", device="cpu").copy_(there)
    np.testing.assert_array_equal(here.numpy(), x)


def test_writes_in_place() -> None:
    x = fn.zeros(2, 3, device="cuda")
    x[0] = 2
    x[1, 1:] = fn.tensor([4.0, 5.0], device="cuda")
    assert x.tolist() == [[2, 2, 2], [0, 4, 5]]
    assert x.fill_(7).tolist() == [[7, 7, 7], [7, 7, 7]]
    assert (x.zero_() + 1).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_rows_by_an_index_from_anywhere() -> None:
    x = fn.arange(6, device="cuda").reshape(3, 2)
    for index in (
        [2, 0],
        np.array([2, 0]),
        fn.tensor([2, 0], device="cpu"),
        fn.tensor([2, 0]).cuda(),
    ):
        assert x[index].tolist() == [[4, 5], [0, 1]]
        assert x[index].device == "cuda"


# --- one device an operation -------------------------------------------------------------------


def test_the_device_of_gradients() -> None:
    x = fn.ones(2, device="cuda", requires_grad=True)
    with pytest.raises(ValueError, match=r"\[grad\] expected it on cuda:0; got it on cpu"):
        x.grad = fn.ones(2, device="cpu")
    y = x * 1
    with pytest.raises(ValueError, match=r"\[backward\] .*self on cuda:0 and gradient on cpu"):
        y.backward(fn.ones(2, device="cpu"))


MIXED = {
    "linear": (lambda a, b: nn.functional.linear(a, b), "input", "weight"),
    "matmul": (lambda a, b: a @ b, "self", "other"),
    "add": (lambda a, b: a + b, "self", "other"),
    "mul": (lambda a, b: fn.mul(a, b), "input", "other"),
    "cross_entropy": (lambda a, b: nn.functional.cross_entropy(a, b), "input", "target"),
    "setitem": (lambda a, b: a.__setitem__(0, b), "self", "value"),
    "sgd": (
        lambda a, b: fn._C.sgd_step([a, b], [a, b], [], fn._C.Hyper()),
        r"params\[0\]",
        r"params\[1\]",
    ),
}


@pytest.mark.parametrize("op", MIXED)
def test_tensors_of_two_devices_are_refused(op: str) -> None:
    call, first, second = MIXED[op]
    here, there = fn.ones(2, 2, device="cpu"), fn.ones(2, 2, device="cuda")
    for a, b, names in ((here, there, ("cpu", "cuda:0")), (there, here, ("cuda:0", "cpu"))):
        message = (
            rf"expected all tensors on one device; got {first} on {names[0]} and "
            rf"{second} on {names[1]}"
        )
        with pytest.raises(ValueError, match=message):
            call(a, b)
    assert here.tolist() == there.tolist() == [[1, 1], [1, 1]]


def test_labels_are_checked_where_they_are() -> None:
    x = fn.zeros(3, 4, device="cuda")
    for labels, value in (([0, 4, 1], 4), ([-1, 0, 9], -1)):
        with pytest.raises(IndexError, match=f"target {value} is out of range for 4 classes"):
            nn.functional.cross_entropy(x, fn.tensor(labels, device="cuda"))
    with pytest.raises(IndexError, match="index 3 is out of range for 3 rows"):
        fn.index_select(x, 0, fn.tensor([0, 3], device="cuda"))
    with pytest.raises(ValueError, match="cannot convert inf to int64"):
        fn.tensor([1.0, np.inf], device="cuda").long()
    fn.cuda.synchronize()
    loss = nn.functional.cross_entropy(x, fn.tensor([0, 1, 3], device="cuda"))
    assert loss.item() == pytest.approx(np.log(4))


@NEEDS_EMULATION
def test_two_gpus() -> None:
    program = """
        import numpy as np
        x = fn.from_numpy(np.arange(70000.0))
        a, b = x.to("cuda:0"), x.to("cuda:1")
        print(a.device, b.device, b.to("cuda:0").device, fn.cuda.device_count())
        print(np.array_equal(a.to("cuda:1").cpu().numpy(), x.numpy()))
        print(np.array_equal(a[::2].to("cuda:1").cpu().numpy(), x.numpy()[::2]))
        print(fn.cuda.memory_allocated(0) > 0, fn.cuda.memory_allocated(1) > 0)
        w = fn.ones(2, device="cuda:1", requires_grad=True)
        (w.to("cuda:0") * 3).to("cpu").sum().backward()
        print(w.grad.device, w.grad.tolist())
        try:
            a + b
        except ValueError as error:
            print(error)
    """
    assert run(program, FASTNN_CUDA_DEVICES=2).splitlines() == [
        "cuda:0 cuda:1 cuda:0 2",
        "True",
        "True",
        "True True",
        "cuda:1 [3.0, 3.0]",
        "[add] expected all tensors on one device; got self on cuda:0 and other on cuda:1",
    ]
