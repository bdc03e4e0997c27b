"""Modules: registration, walking, saving and loading, containers, repr, summary."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from devices import handed, on_gpu, place
from small_net import arrays, images, same, small_net

import fastnn as fn
from fastnn import nn

# --- Module: registration and walking ---------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        self.scale = nn.Parameter(fn.ones(3))
        self.register_buffer("offset", fn.zeros(3))
        self.register_buffer("scratch", fn.zeros(3), persistent=False)
        self.heads = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])

    def forward(self, x):
        h = self.body(x) * self.scale + self.offset
        return self.heads[0](h) + self.heads[1](h)


def test_attributes_register_in_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "body.0.weight",
        "body.0.bias",
        "heads.0.weight",
        "heads.0.bias",
        "heads.1.weight",
        "heads.1.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == ["offset", "scratch"]
    assert [name for name, _ in net.named_children()] == ["body", "heads"]
    paths = ["", "body", "body.0", "body.1", "heads", "heads.0", "heads.1"]
    assert [path for path, _ in net.named_modules()] == paths
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert "scratch" not in net.state_dict()
    assert "offset" in net.state_dict()


def test_shared_parameters_come_once_but_are_saved_twice():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert len(net.state_dict()) == 4
    net.double()
    assert net[1].weight is net[0].weight


def test_assignment_checks_the_kind():
    layer = nn.Linear(2, 3)
    with pytest.raises(TypeError, match=r"\[Linear\] weight must be a Parameter or None; got"):
        layer.weight = fn.zeros((3, 2))
    with pytest.raises(TypeError, match=r"\[Net\] body must be a Module or None; got int"):
        Net().body = 3
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    assert repr(layer) == "Linear(in_features=2, out_features=3, bias=False)"


def test_an_attribute_can_change_its_kind_and_go():
    net = Net()
    net.body = nn.Identity()
    net.scale = None
    del net.heads
    assert list(net.state_dict()) == ["offset"]
    assert not hasattr(net, "heads")


@pytest.mark.parametrize(
    ("register", "error", "message"),
    [
        (lambda m: m.register_parameter("a.b", None), ValueError, "without dots"),
        (lambda m: m.register_parameter("", None), ValueError, "without dots"),
        (lambda m: m.register_parameter("forward", None), ValueError, "already an attribute"),
        (lambda m: m.register_parameter("w", fn.zeros(2)), TypeError, "must be a Parameter"),
        (lambda m: m.register_buffer("b", 3.0), TypeError, "must be a Tensor"),
        (lambda m: m.add_module("m", 3), TypeError, "must be a Module"),
        (lambda m: m.train("yes"), TypeError, "mode must be a bool"),
        (lambda m: m(1), NotImplementedError, r"\[Module\] this module has no forward"),
    ],
)
def test_registration_errors(register: Callable, error: type, message: str):
    with pytest.raises(error, match=message):
        register(nn.Module())


def test_forgotten_super_init_is_named():
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"\[Forgetful\] call super\(\).__init__\(\)"):
        Forgetful()


def test_train_eval_and_freezing_reach_every_module():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_apply_visits_children_first():
    seen: list[str] = []
    Net().apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Sequential", "Linear", "Linear", "ModuleList", "Net"]


def test_calls_go_to_the_forward_that_is_there():
    class Doubled(nn.Identity):
        def forward(self, x):
            return 2 * x

    class Logged(Doubled):
        def __call__(self, x):
            return [super().__call__(x)]

    double = Doubled()
    assert double(3) == 6
    assert Logged()(3) == [6]
    double.forward = lambda x: x + 1
    assert double(3) == 4
    assert nn.Sequential(double, Logged())(1) == [4]


def test_zero_grad():
    net = Net()
    net(place(images(4, 2))).sum().backward()
    assert np.abs(net.scale.grad.cpu().numpy()).max() > 0
    net.zero_grad(set_to_none=False)
    assert np.array_equal(net.scale.grad.cpu().numpy(), np.zeros(3))
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_copies_are_independent():
    net = small_net()
    x = place(images(2, 1, 4, 4))
    net.eval()
    expected = net(x).detach().cpu().numpy()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert np.array_equal(twin(x).detach().cpu().numpy(), expected)
        assert twin[0].weight.requires_grad
        nn.init.zeros_(twin[0].weight)
        assert twin[0].weight is twin[0]._parameters["weight"]
    assert np.array_equal(net(x).detach().cpu().numpy(), expected)


def test_dtype_conversion():
    net = small_net().eval()
    before = arrays(net)
    net.to(fn.float64)
    assert net[0].weight.dtype == fn.float64
    assert net[1].running_var.dtype == fn.float64
    assert net[1].num_batches_tracked.dtype == fn.int64
    x = images(2, 1, 4, 4)
    assert net(place(x).double() if on_gpu() else x).dtype == fn.float64
    assert same(arrays(net.float()), before)
    with pytest.raises(TypeError, match=r"\[to\] expected dtype float32 or float64; got .*int64"):
        net.to(fn.int64)
    weight = net[0].weight
    assert net.to("cpu")[0].weight is weight


# --- state_dict -------------------------------------------------------------------------------


def test_state_dict_has_pytorch_names_and_shares_storage():
    net = small_net()
    assert {key: tuple(t.shape) for key, t in net.state_dict().items()} == {
        "0.weight": (4, 1, 3, 3),
        "0.bias": (4,),
        "1.weight": (4,),
        "1.bias": (4,),
        "1.running_mean": (4,),
        "1.running_var": (4,),
        "1.num_batches_tracked": (),
        "4.weight": (3, 16),
        "4.bias": (3,),
    }
    assert list(nn.Linear(1, 1).state_dict(prefix="head.")) == ["head.weight", "head.bias"]
    net.state_dict()["4.bias"].fill_(7)
    assert np.array_equal(net[4].bias.detach().cpu().numpy(), [7, 7, 7])
    assert not net.state_dict()["0.weight"].requires_grad


@pytest.mark.parametrize("kind", ["tensors", "arrays", "float64 arrays"])
def test_state_dict_round_trip(kind: str):
    source, target = small_net(), small_net()
    source(handed(images(8, 1, 4, 4)))  # moves the running statistics
    for p in source.parameters():
        nn.init.normal_(p)
    state = source.state_dict() if kind == "tensors" else arrays(source)
    if kind == "float64 arrays":
        state = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in state.items()}
    weight = target[0].weight
    result = target.load_state_dict(state)
    assert target[0].weight is weight
    assert repr(result) == "<All keys matched successfully>"
    assert same(arrays(source), arrays(target))
    assert int(target[1].num_batches_tracked.item()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.bias"), "missing key: '0.bias'"),
        (lambda s: s.update({"9.bias": np.zeros(3)}), "unexpected key: '9.bias'"),
        (lambda s: s.update({"4.weight": np.zeros((16, 3))}), r"expected shape \(3, 16\); got"),
        (lambda s: s.update({"4.bias": np.array(["a", "b", "c"])}), "'4.bias'"),
        (lambda s: s.update({"4.bias": np.zeros(3, np.complex64)}), "'4.bias'"),
        (lambda s: s.update({"1.num_batches_tracked": np.array(0.5)}), "expected dtype .*int64"),
    ],
)
def test_a_refused_state_dict_changes_nothing(change: Callable, message: str):
    net = small_net()
    before = arrays(net)
    state = {key: value + 1 for key, value in before.items()}
    change(state)
    with pytest.raises(ValueError, match=rf"(?s)\[load_state_dict\] Sequential .*{message}"):
        net.load_state_dict(state)
    assert same(arrays(net), before)


def test_every_problem_is_listed():
    state = arrays(small_net())
    del state["0.bias"], state["1.weight"]
    state["x"], state["4.bias"] = np.zeros(1), np.zeros(9)
    with pytest.raises(ValueError, match="load_state_dict") as info:
        small_net().load_state_dict(state)
    for part in ("'0.bias'", "'1.weight'", "'x'", "'4.bias': expected shape (3,); got (9,)"):
        assert part in str(info.value)


def test_not_strict_takes_what_fits():
    net = small_net()
    result = net.load_state_dict({"4.bias": np.ones(3), "other": np.ones(2)}, strict=False)
    assert result.unexpected_keys == ["other"]
    assert "0.weight" in result.missing_keys
    assert np.array_equal(net[4].bias.detach().cpu().numpy(), np.ones(3))


# --- containers -------------------------------------------------------------------------------


def test_sequential_is_a_list_of_layers():
    a, b, c = nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)
    net = nn.Sequential(a, b).append(c)
    assert len(net) == 3
    assert net[0] is a
    assert net[-1] is c
    assert [*net] == [a, b, c]
    assert [*net[1:]] == [b, c]
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]  # as in PyTorch, names stay
    net[1] = nn.Tanh()
    assert isinstance(net[1], nn.Tanh)
    del net[1]
    net.insert(0, b)
    assert [*net] == [b, a, c]
    assert list(net.state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    with pytest.raises(IndexError, match=r"\[Sequential\] index must be in \[-3, 3\); got 3"):
        net[3]
    with pytest.raises(TypeError, match=r"\[Sequential\] expected modules; got function"):
        nn.Sequential(a, lambda x: x)


def test_sequential_with_names():
    net = nn.Sequential({"first": nn.Linear(1, 2), "act": nn.ReLU()})
    assert list(net.state_dict()) == ["first.weight", "first.bias"]
    assert isinstance(net.act, nn.ReLU)


def test_module_list_registers_but_is_not_called():
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers.extend([nn.Linear(1, 1), nn.ReLU()])
    assert len(list(layers.parameters())) == 4
    assert [type(m).__name__ for m in layers[1:]] == ["Linear", "ReLU"]
    with pytest.raises(NotImplementedError):
        layers(1)


# --- repr -------------------------------------------------------------------------------------


def test_repr():
    assert repr(small_net()) == (
        "Sequential(\n"
        "  (0): Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1))\n"
        "  (1): BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "  (2): ReLU()\n"
        "  (3): Flatten(start_dim=1, end_dim=-1)\n"
        "  (4): Linear(in_features=16, out_features=3, bias=True)\n"
        ")"
    )
    assert repr(Net()).splitlines()[5:8] == [
        "  (heads): ModuleList(",
        "    (0-1): 2 x Linear(in_features=3, out_features=1, bias=True)",
        "  )",
    ]


# --- summary ----------------------------------------------------------------------------------


def test_summary_of_a_convolutional_network():
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 40, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(640, 10),
    )
    table = net.summary((1, 28, 28))
    assert [row.output_shape for row in table.rows] == [
        (20, 24, 24),
        (20, 24, 24),
        (20, 12, 12),
        (40, 8, 8),
        (40, 4, 4),
        (640,),
        (640,),
        (10,),
    ]
    assert [row.params for row in table.rows if row.params] == [520, 20_040, 6_410]
    flops = (2 * 25 * 20 * 24 * 24, 2 * 500 * 40 * 8 * 8, 2 * 640 * 10)
    assert tuple(row.flops for row in table.rows if row.flops) == flops
    assert table.total_params == 26_970
    assert table.total_flops == sum(flops)
    lines = str(table).splitlines()
    assert lines[0].split() == ["Layer", "Type", "Output", "shape", "Parameters", "FLOPs"]
    assert lines[2].split() == ["0", "Conv2d", "(20,", "24,", "24)", "520", "576,000"]
    assert "26,970" in lines[-2]
    assert "two per multiply-add" in lines[-1]


def test_summary_leaves_the_model_as_it_was():
    net = small_net()
    net[1].eval()
    before, modes = arrays(net), [m.training for m in net.modules()]
    nn.summary(net, (1, 4, 4))
    with pytest.raises((ValueError, TypeError)):
        net.summary((2, 4, 4))
    assert same(arrays(net), before)
    assert [m.training for m in net.modules()] == modes
    assert not any("forward" in m.__dict__ for m in net.modules())


def test_summary_counts_shared_frozen_own_and_uncalled_parameters_once():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.unused = nn.Linear(3, 1)
            self.gain = nn.Parameter(fn.ones(1))

        def forward(self, x):
            return self.layer(self.layer(x)) * self.gain

    net = Odd()
    net.unused.requires_grad_(False)
    table = net.summary((3,))
    assert [(r.name, r.params) for r in table.rows] == [
        ("layer", 12),
        ("layer", 0),
        ("Odd", 1),
        ("unused", 4),
    ]
    assert table.total_params == 17
    assert table.trainable_params == 13
    assert table.total_flops == 2 * 2 * 9
    assert "Frozen parameters: 4" in str(table)
