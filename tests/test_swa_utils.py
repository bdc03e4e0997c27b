"""Averages of weights, beside PyTorch's and NumPy, in recorded steps too."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from devices import place, shares_memory
from steps import examples, mixed_net, mlp_without_dropout, same_bits

import fastnn as fn
import fastnn.nn
import fastnn.optim
from fastnn import nn, optim
from fastnn.nn import functional as F
from fastnn.optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_multi_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)

AVERAGES = {"mean": get_swa_multi_avg_fn, "moving": lambda: get_ema_multi_avg_fn(0.9)}


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {k: t.detach().cpu().numpy().copy() for k, t in model.state_dict().items()}


def redraw(model: nn.Module) -> None:
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype in (fn.float32, fn.float64):
            nn.init.normal_(tensor, mean=3)
        else:
            tensor.add_(1)


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("name", AVERAGES)
def test_averages(name: str, use_buffers: bool) -> None:
    model = mixed_net()
    average = AveragedModel(model, multi_avg_fn=AVERAGES[name](), use_buffers=use_buffers)
    seen = []
    for _ in range(4):
        redraw(model)
        seen.append(arrays(model))
        average.update_parameters(model)
    trained = dict(model.named_parameters())
    for key, value in arrays(average.module).items():
        history = np.stack([s[key] for s in seen]).astype(np.float64)
        expected = history[0]
        for i, w in enumerate(history[1:], 1):
            kept = 0.9 if name == "moving" else i / (i + 1)
            expected = kept * expected + (1 - kept) * w
        if key not in trained and (not use_buffers or value.dtype == np.int64):
            expected = history[-1]
        np.testing.assert_allclose(value, expected, rtol=2e-6, atol=1e-6, err_msg=key)
    assert average.n_averaged.item() == 4


@pytest.mark.parametrize("name", AVERAGES)
def test_the_first_update_is_a_copy(name: str) -> None:
    model = mlp_without_dropout()
    average = AveragedModel(model, multi_avg_fn=AVERAGES[name]())
    redraw(model)
    average.update_parameters(model)
    for a, b in zip(average.parameters(), model.parameters(), strict=True):
        assert a.tolist() == b.tolist()
        assert not shares_memory(a.detach(), b.detach())


def test_a_moving_average_of_what_stays_the_same_stays_the_same() -> None:
    model = mlp_without_dropout()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9999))
    for _ in range(5):
        average.update_parameters(model)
    for a, b in zip(average.parameters(), model.parameters(), strict=True):
        assert a.tolist() == b.tolist()


def test_a_function_of_one_s_own() -> None:
    counts = []

    def largest(averaged: list[Any], current: list[Any], count: fn.Tensor) -> None:
        counts.append(count.item())
        for a, w in zip(averaged, current, strict=True):
            a.copy_(fn.maximum(a, w))

    model = nn.Linear(2, 1)
    average = AveragedModel(model, multi_avg_fn=largest)
    nn.init.constant_(model.weight, 5)
    average.update_parameters(model)
    nn.init.constant_(model.weight, 4)
    average.update_parameters(model)
    assert average.module.weight.tolist() == [[5, 5]]
    assert counts == [0, 1]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", AVERAGES)
def test_in_a_recorded_step(name: str, count: int, threads: Callable) -> None:
    threads(count)

    def train(compile: Any) -> Any:
        model = mixed_net()
        average = AveragedModel(model, multi_avg_fn=AVERAGES[name]())
        opt = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            average.update_parameters(model)
            return loss

        step = compile(step)
        losses = [step(x, y) for x, y in examples(6, 8, 2, 6, 6)]
        assert average.n_averaged.item() == 6
        return losses, model.state_dict(), average.state_dict()

    same_bits(train, recordings=2)


@pytest.mark.parametrize("name", AVERAGES)
def test_an_epoch_in_cpp_goes_on_from_the_last(name: str) -> None:
    x, y = (np.concatenate(part) for part in zip(*examples(6, 8, 12), strict=True))
    ends = []
    for whole in (True, False):
        fn.manual_seed(0)
        model = mlp_without_dropout()
        average = AveragedModel(model, multi_avg_fn=AVERAGES[name]())
        opt = optim.SGD(model.parameters(), lr=0.1)

        @fn.compile
        def step(x: Any, y: Any, model: Any = model, average: Any = average, opt: Any = opt) -> Any:
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            average.update_parameters(model)
            return loss

        if whole:
            for _ in range(2):
                step.run_epoch(place(x), place(y), 8, shuffle=False)
        else:
            for i in [*range(0, 48, 8)] * 2:
                step(place(x[i : i + 8]), place(y[i : i + 8]))
        ends.append(arrays(average))
    assert ends[0]["n_averaged"] == 12
    for key in ends[0]:
        np.testing.assert_array_equal(ends[0][key], ends[1][key], err_msg=key)


def test_the_copy_is_laid_out_as_the_model() -> None:
    model = mixed_net()
    for a, b in zip(
        AveragedModel(model).module.parameters(), copy.deepcopy(model).parameters(), strict=True
    ):
        assert a.stride() == b.stride()
    for a, b in zip(AveragedModel(model).parameters(), model.parameters(), strict=True):
        assert a.stride() == b.stride()


def test_state_dict_goes_on_where_it_was() -> None:
    model = mixed_net()
    average = AveragedModel(model)
    for _ in range(3):
        redraw(model)
        average.update_parameters(model)
    saved = average.state_dict()
    assert list(saved) == ["n_averaged", *(f"module.{key}" for key in model.state_dict())]
    other = AveragedModel(mixed_net())
    other.load_state_dict(saved)
    redraw(model)
    for a in (average, other):
        a.update_parameters(model)
    for key, value in arrays(average).items():
        np.testing.assert_array_equal(arrays(other)[key], value)


def test_the_average_computes_as_its_module() -> None:
    model = mixed_net().eval()
    average = AveragedModel(model)
    x = place(np.ones((2, 2, 6, 6), np.float32))
    assert average(x).tolist() == model(x).tolist()
    assert not average.module.training


# --- running statistics -------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [False, True])
def test_update_bn(pairs: bool) -> None:
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(72))
    model.eval()
    redraw(model)
    batches = [x for x, _ in examples(4, 8, 2, 6, 6)]
    update_bn([[place(x), None] if pairs else place(x) for x in batches], model)
    mean = np.mean([x.mean((0, 2, 3)) for x in batches], axis=0)
    var = np.mean([x.astype(np.float64).var((0, 2, 3), ddof=1) for x in batches], axis=0)
    np.testing.assert_allclose(model[0].running_mean.cpu().numpy(), mean, atol=1e-6)
    np.testing.assert_allclose(model[0].running_var.cpu().numpy(), var, rtol=1e-5)
    assert model[0].num_batches_tracked.item() == 4
    assert model[0].momentum == model[3].momentum == 0.1
    assert not model.training
    assert not model[2].training


def test_update_bn_without_normalisations_reads_nothing() -> None:
    update_bn(iter([None]), nn.Linear(2, 2))


def test_update_bn_puts_the_momentum_back_after_an_error() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3)).eval()
    with pytest.raises(ValueError, match="BatchNorm1d"):
        update_bn([place(np.ones((2, 2, 2, 2), np.float32))], model)
    assert model[0].momentum == 0.1
    assert not model.training


# --- the schedule -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "epochs", "rates"),
    [
        ("linear", 4, [1.0, 0.775, 0.55, 0.325, 0.1, 0.1]),
        ("cos", 2, [1.0, 0.55, 0.1, 0.1]),
        ("cos", 0, [0.1, 0.1]),
    ],
)
def test_swalr(strategy: str, epochs: int, rates: list[float]) -> None:
    opt = optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0)
    schedule = SWALR(opt, 0.1, epochs, strategy)
    seen = [opt.param_groups[0]["lr"]]
    for _ in rates[1:]:
        schedule.step()
        seen.append(opt.param_groups[0]["lr"])
    assert seen == pytest.approx(rates, rel=1e-14)


def test_swalr_begins_where_another_schedule_ends_and_where_its_state_does() -> None:
    def course(stop: int | None) -> list[float]:
        opt = optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0)
        before, after = optim.lr_scheduler.StepLR(opt, 1, 0.5), SWALR(opt, 0.05, 4, "linear")
        seen = []
        for epoch in range(8):
            if epoch == stop:
                saved = copy.deepcopy((after.state_dict(), opt.state_dict()))
                opt = optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0)
                after = SWALR(opt, 0.05, 4, "linear")
                after.load_state_dict(saved[0])
                opt.load_state_dict(saved[1])
            seen.append(opt.param_groups[0]["lr"])
            (before if epoch < 2 else after).step()
        return seen

    assert course(None) == pytest.approx([1, 0.5, 0.25, 0.2, 0.15, 0.1, 0.05, 0.05])
    for stop in (2, 3, 5):
        assert course(stop) == course(None)


def test_swalr_after_another_in_one_schedule_goes_on_where_its_state_is_loaded() -> None:
    def made() -> tuple[optim.Optimizer, Any]:
        opt = sgd()
        parts = [optim.lr_scheduler.StepLR(opt, 1, 0.5), SWALR(opt, 0.05, 4, "linear")]
        return opt, optim.lr_scheduler.SequentialLR(opt, parts, [3])

    def course(stop: int | None) -> list[float]:
        opt, schedule = made()
        seen = []
        for epoch in range(9):
            if epoch == stop:
                saved = copy.deepcopy((schedule.state_dict(), opt.state_dict()))
                opt, schedule = made()
                schedule.load_state_dict(saved[0])
                opt.load_state_dict(saved[1])
            seen.append(opt.param_groups[0]["lr"])
            schedule.step()
        return seen

    assert course(None) == pytest.approx([1, 0.5, 0.25, 0.25, 0.2, 0.15, 0.1, 0.05, 0.05])
    for stop in (2, 3, 4, 6):
        assert course(stop) == course(None)


# --- refused ------------------------------------------------------------------------------------


def sgd() -> optim.Optimizer:
    return optim.SGD([fn.ones(1, requires_grad=True)], lr=1.0)


REFUSED: list[tuple[Callable[[], Any], type, str]] = [
    (lambda: AveragedModel(3), TypeError, "[AveragedModel] model must be a Module; got int"),
    (
        lambda: AveragedModel(nn.Linear(2, 3)).update_parameters(nn.Linear(3, 2)),
        ValueError,
        "[update_parameters] expected a model of {'weight': (3, 2), 'bias': (3,)}; "
        "got {'weight': (2, 3), 'bias': (2,)}",
    ),
    (lambda: get_ema_multi_avg_fn(1.1), ValueError, "decay must be in [0, 1]; got 1.1"),
    (lambda: SWALR(sgd(), -1.0), ValueError, "[SWALR] swa_lr must be in [0, inf); got -1.0"),
    (lambda: SWALR(sgd(), [1.0, 2.0]), ValueError, "swa_lr must be one number or 1; got 2"),
    (lambda: SWALR(sgd(), 1.0, -1), ValueError, "anneal_epochs must be at least 0; got -1"),
    (lambda: SWALR(sgd(), 1.0, 1, "x"), ValueError, "anneal_strategy must be one of cos, linear"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


# --- beside PyTorch -----------------------------------------------------------------------------


def course_of(library: Any, name: str, use_buffers: bool, state: Any) -> Any:
    """Averages along a training that is given by its weights alone, then update_bn."""
    tensor = place if library is fn else library.from_numpy
    utils = library.optim.swa_utils
    nn = library.nn
    model = nn.Sequential(nn.Linear(12, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5))
    model.load_state_dict(
        state if library is fn else {k: library.tensor(v) for k, v in state.items()}
    )
    make = utils.get_swa_multi_avg_fn if name == "mean" else utils.get_ema_multi_avg_fn
    average = utils.AveragedModel(
        model, multi_avg_fn=make(*[0.7] * (name == "moving")), use_buffers=use_buffers
    )
    opt = library.optim.SGD(model.parameters(), lr=0.1)
    for x, y in examples(5, 8, 12):
        loss = nn.CrossEntropyLoss()(model(tensor(x)), tensor(y))
        opt.zero_grad()
        loss.backward()
        opt.step()
        average.update_parameters(model)
    along = {k: v.detach().cpu().numpy().copy() for k, v in average.state_dict().items()}
    utils.update_bn([(tensor(x), None) for x, _ in examples(3, 8, 12)], average)
    return along, {k: v.detach().cpu().numpy() for k, v in average.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "use_buffers"),  # PyTorch's mean cannot take the counts of batches that are buffers
    [("mean", False), ("moving", False), ("moving", True)],
)
def test_beside_torch(name: str, use_buffers: bool) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    start = torch.nn.Sequential(
        torch.nn.Linear(12, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Linear(6, 5)
    )
    state = {k: v.numpy() for k, v in start.state_dict().items()}
    ours, theirs = (course_of(lib, name, use_buffers, state) for lib in (fn, torch))
    for mine, other in zip(ours, theirs, strict=True):
        assert list(mine) == list(other)
        for key, value in other.items():
            if key == "module.1.num_batches_tracked" and mine is ours[0] and use_buffers:
                continue  # PyTorch averages it
            np.testing.assert_allclose(mine[key], value, rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_swalr_beside_torch(strategy: str, epochs: int) -> None:
    torch = pytest.importorskip("torch")
    courses = []
    for library in (fn, torch):
        params = [library.ones(1, requires_grad=True) for _ in range(2)]
        opt = library.optim.SGD([{"params": params[:1], "lr": 0.5}, {"params": params[1:]}], lr=1.0)
        before = library.optim.lr_scheduler.ExponentialLR(opt, 0.8)
        after = library.optim.swa_utils.SWALR(opt, [0.05, 0.02], epochs, strategy)
        seen = []
        opt.step()
        for epoch in range(10):
            seen.append([group["lr"] for group in opt.param_groups])
            # With 0 epochs there is another rate from the start, which PyTorch would decay.
            (before if epoch < 3 and epochs else after).step()
        courses.append(np.array(seen))
    np.testing.assert_allclose(*courses, rtol=1e-10)
