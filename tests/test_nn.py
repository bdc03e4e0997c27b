"""Layers: their arguments, the inputs they take, and the values they start from."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from devices import handed, place
from small_net import arrays, images, same, small_net

import fastnn as fn
from fastnn import nn

# --- constructor arguments --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(0, 3), ValueError, "[Linear] in_features must be at least 1; got 0"),
        (lambda: nn.Linear(2, 3.5), TypeError, "[Linear] out_features must be an integer; got 3.5"),
        (lambda: nn.Linear(True, 3), TypeError, "[Linear] in_features must be an integer; got"),
        (
            lambda: nn.Conv2d(3, 10, 3, groups=3),
            ValueError,
            "[Conv2d] out_channels must be divisible by groups; got 10 and groups 3",
        ),
        (lambda: nn.Conv2d(1, 2, 0), ValueError, "[Conv2d] kernel_size must be at least 1; got 0"),
        (lambda: nn.Conv2d(1, 2, (3,)), ValueError, "[Conv2d] kernel_size must have 2 values"),
        (lambda: nn.Conv2d(1, 2, 3, padding=-1), ValueError, "[Conv2d] padding must be at least 0"),
        (lambda: nn.Conv2d(1, 2, 3, padding="full"), ValueError, "one of same, valid; got 'full'"),
        (lambda: nn.Conv2d(1, 2, 3, 2, "same"), ValueError, "padding 'same' must have stride 1"),
        (
            lambda: nn.Conv1d(1, 2, 3, padding_mode="reflect"),
            ValueError,
            "[Conv1d] padding_mode must be one of zeros; got 'reflect'",
        ),
        (
            lambda: nn.MaxPool2d(3, padding=2),
            ValueError,
            "[MaxPool2d] padding must be at most half",
        ),
        (lambda: nn.AvgPool2d("2"), TypeError, "[AvgPool2d] kernel_size must be an integer"),
        (lambda: nn.LPPool2d(0, 2), ValueError, "[LPPool2d] norm_type must be in (0, inf); got 0"),
        (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "[AdaptiveAvgPool2d] output_size must be at"),
        (lambda: nn.Dropout("0.5"), TypeError, "[Dropout] p must be a number; got '0.5'"),
        (lambda: nn.Dropout(1.5), ValueError, "[Dropout] p must be in [0, 1]; got 1.5"),
        (lambda: nn.Dropout(math.nan), ValueError, "[Dropout] p must be in [0, 1]; got nan"),
        (lambda: nn.GELU("fast"), ValueError, "[GELU] approximate must be one of none, tanh"),
        (lambda: nn.BatchNorm2d(3, eps=-1), ValueError, "[BatchNorm2d] eps must be in [0, inf)"),
        (
            lambda: nn.BatchNorm1d(3, momentum=2),
            ValueError,
            "[BatchNorm1d] momentum must be in [0, 1]",
        ),
        (lambda: nn.MSELoss(reduction="avg"), ValueError, "[MSELoss] reduction must be one of"),
        (lambda: nn.HuberLoss(delta=0), ValueError, "[HuberLoss] delta must be in (0, inf); got 0"),
        (
            lambda: nn.CrossEntropyLoss(label_smoothing=2),
            ValueError,
            "[CrossEntropyLoss] label_smoothing must be in [0, 1]; got 2",
        ),
        (lambda: nn.Parameter(3.0), TypeError, "[Parameter] expected data to be a Tensor; got"),
    ],
)
def test_bad_arguments_are_named(make: Callable, error: type, message: str):
    with pytest.raises(error) as info:
        make()
    assert message in str(info.value)


# --- inputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("as_array", [True, False])
def test_layers_take_arrays_and_cast_images(dtype: str, as_array: bool):
    net = small_net().eval()
    x = np.random.default_rng(1).integers(0, 256, (2, 1, 4, 4))
    expected = net(place(x.astype(np.float32))).detach().cpu().numpy()
    x = x.astype(dtype)
    output = net(handed(x) if as_array else place(x))
    assert output.dtype == fn.float32
    assert np.array_equal(output.detach().cpu().numpy(), expected)


def test_what_has_gradients_is_not_cast():
    x = fn.tensor([[1.0, 2.0]], dtype=fn.float64, requires_grad=True)
    with pytest.raises((TypeError, ValueError)):
        nn.Linear(2, 1)(x)
    with pytest.raises((TypeError, ValueError)):
        nn.Linear(2, 1).double()(fn.ones((1, 2)))


@pytest.mark.parametrize("bad", [[[1.0, 2.0]], None, "12", np.array([["a", "b"]])])
def test_other_inputs_are_refused(bad: object):
    with pytest.raises(TypeError):
        nn.Linear(2, 1)(bad)


def test_batch_norm_checks_its_input_and_then_changes_nothing():
    layer = nn.BatchNorm2d(3)
    before = arrays(layer)
    with pytest.raises(ValueError, match=r"\[BatchNorm2d\] expected input \(N, C, H, W\); got"):
        layer(fn.ones((2, 3)))
    with pytest.raises(ValueError, match="batch_norm"):
        layer(fn.ones((2, 4, 5, 5)))
    assert same(arrays(layer), before)


def test_dropout():
    layer, x = nn.Dropout(0.25), fn.ones((200, 200))
    fn.manual_seed(3)
    y = layer(x).cpu().numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.01
    fn.manual_seed(3)
    assert np.array_equal(layer(x).cpu().numpy(), y)
    assert not np.array_equal(layer(x).cpu().numpy(), y)
    assert np.array_equal(layer.eval()(x).cpu().numpy(), x.cpu().numpy())


def test_losses_take_arrays():
    logits = place(images(4, 3))
    target = np.array([0, 2, 1, 1])
    expected = nn.CrossEntropyLoss()(logits, place(target)).item()
    assert nn.CrossEntropyLoss()(logits, handed(target)).item() == expected
    y = images(4, 3, seed=1).astype(np.float64)
    loss = nn.MSELoss()(logits, handed(y))
    assert loss.dtype == fn.float32
    assert loss.item() == pytest.approx(((logits.cpu().numpy() - y) ** 2).mean(), rel=1e-6)
    weighted = nn.CrossEntropyLoss(weight=handed(np.array([1.0, 2.0, 3.0])))
    assert list(weighted.state_dict()) == ["weight"]
    assert math.isfinite(weighted(logits, handed(target)).item())


# --- start values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Linear(300, 200), 300),
        (lambda: nn.Conv2d(8, 200, 5, groups=2), 4 * 25),
        (lambda: nn.Conv1d(30, 200, 7), 30 * 7),
    ],
)
def test_default_start_is_uniform_within_one_over_root_fan_in(layer: Callable, fan_in: int):
    fn.manual_seed(0)
    made, bound = layer(), 1 / math.sqrt(fan_in)
    for p in (made.weight, made.bias):
        values = p.detach().cpu().numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.9 * bound
        assert abs(values.std() / (bound / math.sqrt(3)) - 1) < 0.15
    fn.manual_seed(0)
    assert same(arrays(layer()), arrays(made))


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: nn.init.uniform_(t, -1, 3), 4 / math.sqrt(12)),
        (lambda t: nn.init.normal_(t, 1, 0.5), 0.5),
        (lambda t: nn.init.xavier_uniform_(t, gain=2), 2 * math.sqrt(2 / (600 * 9))),
        (lambda t: nn.init.xavier_normal_(t), math.sqrt(2 / (600 * 9))),
        (lambda t: nn.init.kaiming_uniform_(t), math.sqrt(2 / (200 * 9))),
        (lambda t: nn.init.kaiming_uniform_(t, a=math.sqrt(5)), math.sqrt(1 / 3 / (200 * 9))),
        (
            lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
            math.sqrt(2 / (400 * 9)),
        ),
        (nn.init.ones_, 0),
        (nn.init.zeros_, 0),
        (lambda t: nn.init.constant_(t, 0.3), 0),
    ],
)
def test_init_standard_deviations(fill: Callable, std: float):
    fn.manual_seed(0)
    weight = nn.Parameter(fn.empty((400, 200, 3, 3)))
    assert fill(weight) is weight
    assert weight.requires_grad
    values = weight.detach().cpu().numpy().astype(np.float64)
    assert abs(values.std() - std) <= 0.005 * std + 1e-12  # 720,000 draws: about 0.1 %


def test_init_errors():
    with pytest.raises(ValueError, match=r"\[calculate_gain\] nonlinearity must be one of"):
        nn.init.calculate_gain("swish")
    with pytest.raises(ValueError, match=r"\[kaiming\] mode must be one of fan_in, fan_out"):
        nn.init.kaiming_normal_(fn.zeros((2, 2)), mode="fan")
    with pytest.raises(ValueError, match=r"\[init\] expected a weight \(out, in, ...\); got shape"):
        nn.init.xavier_normal_(fn.zeros(3))
